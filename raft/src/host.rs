//! The event loop: it gives a replica what happens, and does what the replica asks for.
//!
//! One turn of the loop, as `docs/ARCHITECTURE.md` draws it:
//!
//! ```text
//! drain      wait for the inbox or the next tick; take what waits, peers before clients
//! step       all of it, under one lock; take the output; unlock
//! release    hand on what may leave before anything is stored: Appends, rounds, answers;
//!            begin the work on a snapshot, if there is any, on a thread beside this one
//! persist    store the records of the whole batch with one sync
//! finish     hand on what waited for that: vote requests, votes, acknowledgements
//! confirm    tell the replica, at once, since a leader's own copy may be what a commit lacked
//! ```
//!
//! Nothing waits in order to batch: a batch is what came while the turn before was under way.
//!
//! The loop knows no sockets and no pipes. What comes in waits in an [`Inbox`], filled by whatever
//! threads read; what goes out is handed to the host's [`Ends`].
//!
//! Time is a count of ticks of [`TICK`]. The loop looks at the clock only after it has drained the
//! inbox, and all ticks that are due count as one, so that a node that was stopped for a while
//! reads its mail before it thinks of an election.

mod archive;
mod forgetful;
mod inbox;
mod lane;
mod outbox;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raft_core::{Envelope, Input, Released, Response, StateMachine, Status, Synced, Ticket, Wal};

pub use self::archive::{Archive, Finished, Image};
pub use self::forgetful::Forgetful;
use self::inbox::{Arrival, Inflow, Peers};
pub use self::inbox::{Inbox, Request, Wish};
pub use self::lane::Limit;
pub use self::outbox::Outbox;
use crate::cell::Stepper;

/// The named limits of the queues.
pub mod limits {
    pub use super::inbox::{CLIENTS as INBOX_CLIENTS, DRAIN, OPEN, PEERS as INBOX_PEERS};
    pub use super::outbox::{CLIENTS as OUTBOX_CLIENTS, PEERS as OUTBOX_PEERS};
}

/// How long a tick of the core lasts.
pub const TICK: Duration = Duration::from_millis(10);

/// Where the loop's output goes. Nothing here may wait: the loop would stand still.
pub trait Ends<S: StateMachine> {
    /// Whatever it takes to answer a client.
    type Asker;

    /// Sends messages to peers. Any of them may be lost.
    fn send(&mut self, messages: Vec<Envelope<S>>);

    /// Answers clients.
    fn answer(&mut self, answers: Vec<(Self::Asker, Response<S>)>);

    /// Sees the state after a turn.
    fn observe(&mut self, status: &Status);

    /// Sees what became of the work on a snapshot, before the replica is told.
    fn finished(&mut self, finished: &Finished<S>);
}

/// Why a host stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure<E> {
    /// A batch could not be stored.
    Log(E),
    /// A snapshot could not be stored or read, for this reason.
    Snapshots(String),
}

/// A replica, its storage and its ends.
#[derive(Debug)]
pub struct Host<S: StateMachine, W, E: Ends<S>> {
    stepper: Stepper<S>,
    inbox: Arc<Inbox<S, E::Asker>>,
    wal: W,
    archive: Archive<S>,
    ends: E,
    /// Whose each open request is, and how many bytes it holds. The core bounds how many there
    /// are.
    askers: BTreeMap<Ticket, (E::Asker, usize)>,
    tickets: u64,
    /// Says that all outputs through this one are stored; the next turn begins with it.
    stored: Option<Synced>,
}

impl<S, W, E> Host<S, W, E>
where
    S: StateMachine,
    W: Wal<S::Command>,
    E: Ends<S>,
{
    /// A host for the replica behind `stepper`, which was never stepped before. The archive puts
    /// its results into the same inbox.
    pub fn new(
        stepper: Stepper<S>,
        inbox: Arc<Inbox<S, E::Asker>>,
        wal: W,
        archive: Archive<S>,
        ends: E,
    ) -> Self {
        Self {
            stepper,
            inbox,
            wal,
            archive,
            ends,
            askers: BTreeMap::new(),
            tickets: 0,
            stored: None,
        }
    }

    /// Runs until the inbox is closed, all that was taken is answered and nothing is left to do,
    /// but no longer than `grace` after the inbox was closed.
    ///
    /// For the time `settle` the node says nothing to its peers: what they say waits in the inbox,
    /// no tick goes by, and clients' requests are taken and wait for a leader. A lone voter needs
    /// no such time.
    ///
    /// # Errors
    /// The storage's. Nothing may be done with the node then.
    pub fn run(mut self, settle: Duration, grace: Duration) -> Result<(), Failure<W::Error>> {
        // What a lone voter did when it was made.
        self.turn(Vec::new())?;
        if self.settle(Instant::now() + settle)? == Inflow::Ended {
            return Ok(());
        }

        let mut next_tick = Instant::now() + TICK;
        let mut end = None;
        let mut batch = Vec::new();
        loop {
            let inflow = self.inbox.drain(next_tick, Peers::Heard, &mut batch);
            let mut inputs = self.inputs(&mut batch)?;
            // The clock is looked at after the mail is read, never before.
            let now = Instant::now();
            if now >= next_tick {
                inputs.push(Input::Tick);
                next_tick = following(next_tick, now);
            }
            self.turn(inputs)?;
            if inflow == Inflow::Ended {
                let end = *end.get_or_insert(now + grace);
                if self.askers.is_empty() || now >= end {
                    return Ok(());
                }
            }
        }
    }

    /// Waits until then. Ended, if the input ends before and nobody waits for anything.
    fn settle(&mut self, until: Instant) -> Result<Inflow, Failure<W::Error>> {
        let mut batch = Vec::new();
        while Instant::now() < until {
            // An inbox that is closed already wakes nobody, so this looks at it now and then.
            let soon = until.min(Instant::now() + TICK);
            let inflow = self.inbox.drain(soon, Peers::Held, &mut batch);
            let inputs = self.inputs(&mut batch)?;
            self.turn(inputs)?;
            if inflow == Inflow::Ended && self.askers.is_empty() {
                return Ok(inflow);
            }
        }
        Ok(Inflow::Open)
    }

    /// Turns what arrived into inputs, and notes who asked.
    fn inputs(
        &mut self,
        batch: &mut Vec<Arrival<S, E::Asker>>,
    ) -> Result<Vec<Input<S>>, Failure<W::Error>> {
        let input = |arrival| match arrival {
            Arrival::Peer(envelope) => Ok(Input::Receive(envelope)),
            Arrival::Finished(finished) => {
                self.ends.finished(&finished);
                match finished {
                    Finished::Stored { id, took: _ } => Ok(Input::SnapshotStored(id)),
                    Finished::Installed {
                        id,
                        membership,
                        machine,
                        took: _,
                    } => Ok(Input::SnapshotInstalled {
                        snapshot: id,
                        membership,
                        machine,
                    }),
                    Finished::Broken { id, reason: _ } => Ok(Input::SnapshotBroken(id)),
                    Finished::Failed(reason) => Err(Failure::Snapshots(reason)),
                }
            }
            Arrival::Client(Request { asker, wish }, bytes) => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.askers.insert(ticket, (asker, bytes));
                Ok(match wish {
                    Wish::Write(command) => Input::Write { ticket, command },
                    Wish::Read(query) => Input::Read { ticket, query },
                })
            }
        };
        batch.drain(..).map(input).collect()
    }

    /// One turn. Ends when all that it led to is done.
    fn turn(&mut self, inputs: Vec<Input<S>>) -> Result<(), Failure<W::Error>> {
        let stored = self.stored.take().map(Input::Synced);
        let (mut output, mut status) = self.stepper.step(stored.into_iter().chain(inputs));
        loop {
            let Released {
                messages,
                replies,
                task,
            } = output.release(&mut self.archive);
            if let Some(error) = self.archive.failure() {
                return Err(Failure::Snapshots(error.to_string()));
            }
            // The answers first: clients wait for them, and the followers' work comes after.
            if !replies.is_empty() {
                let mut freed = 0;
                let mut owner = |ticket| {
                    let (asker, bytes) = self.askers.remove(&ticket).expect("one answer for each");
                    freed += bytes;
                    asker
                };
                let answers = replies.into_iter().map(|r| (owner(r.ticket), r.response));
                self.ends.answer(answers.collect());
                self.inbox.answered(freed);
            }
            if !messages.is_empty() {
                self.ends.send(messages);
            }
            if let Some(task) = task {
                self.archive.begin(task);
            }
            self.ends.observe(&status);
            let stores = !output.records().is_empty();
            let durable = output.persist(&mut self.wal).map_err(Failure::Log)?;
            let (messages, synced) = durable.finish();
            if !messages.is_empty() {
                self.ends.send(messages);
            }
            if !stores {
                // It can only repeat what the replica knows, so it need not hear it now.
                self.stored = Some(synced);
                return Ok(());
            }
            (output, status) = self.stepper.step([Input::Synced(synced)]);
        }
    }
}

/// When the tick after the one that was due at `due` is due. Ticks that were missed are not made up
/// for; a tick that is a little late does not delay those after it.
fn following(due: Instant, now: Instant) -> Instant {
    let next = due + TICK;
    if next > now { next } else { now + TICK }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use json::value;
    use raft_core::{
        Ballot, Config, EntryId, Incarnation, Limits, Membership, Message, NodeId, Record, Replica,
        Restored, Term,
    };

    use super::*;
    use crate::cell::cell;
    use crate::kv::{Command, Kv, Lookup, Outcome};
    use crate::storage::disk::{Memory, Real};
    use crate::storage::{self, Identity};

    /// What a host did, in order.
    type Events = Rc<RefCell<Vec<String>>>;

    struct Ends {
        events: Events,
        answers: Vec<(u8, Response<Kv>)>,
        /// Ends with the work on a snapshot.
        closes: Option<Arc<Inbox<Kv, u8>>>,
    }

    impl Ends {
        fn new(events: Events) -> Self {
            Self {
                events,
                answers: Vec::new(),
                closes: None,
            }
        }
    }

    impl super::Ends<Kv> for &mut Ends {
        type Asker = u8;

        fn send(&mut self, messages: Vec<Envelope<Kv>>) {
            let kinds = messages.iter().map(|envelope| envelope.message.kind());
            let text = format!("send {}", kinds.collect::<Vec<_>>().join(" "));
            self.events.borrow_mut().push(text);
        }

        fn answer(&mut self, answers: Vec<(u8, Response<Kv>)>) {
            self.events.borrow_mut().push("answer".into());
            self.answers.extend(answers);
        }

        fn observe(&mut self, _: &Status) {}

        fn finished(&mut self, finished: &Finished<Kv>) {
            let text = match finished {
                Finished::Stored { id, .. } => format!("stored {}", id.last.index),
                Finished::Installed { id, .. } => format!("installed {}", id.last.index),
                Finished::Broken { reason, .. } => format!("broken: {reason}"),
                Finished::Failed(_) => "failed".into(),
            };
            self.events.borrow_mut().push(text);
            if let Some(inbox) = &self.closes {
                inbox.close();
            }
        }
    }

    struct Disk(Events);

    impl Wal<Command> for Disk {
        type Error = &'static str;

        fn append_and_sync(&mut self, records: &[Record<Command>]) -> Result<(), Self::Error> {
            self.0.borrow_mut().push(format!("store {}", records.len()));
            Ok(())
        }
    }

    struct Full;

    impl Wal<Command> for Full {
        type Error = &'static str;

        fn append_and_sync(&mut self, _: &[Record<Command>]) -> Result<(), Self::Error> {
            Err("no space")
        }
    }

    /// An archive whose results go to the inbox.
    fn archive(inbox: &Arc<Inbox<Kv, u8>>, disk: Arc<dyn storage::disk::Disk>) -> Archive<Kv> {
        let identity = Identity::new("n1", ["n1"]);
        let opened = storage::open::<Command>(disk, &identity, storage::Options::default());
        Archive::start(
            opened.unwrap().snapshots,
            Membership::of([NodeId(0)]),
            inbox.clone(),
        )
        .unwrap()
    }

    /// A host of the first of so many nodes.
    fn host<'a, W: Wal<Command>>(
        nodes: u64,
        inbox: &Arc<Inbox<Kv, u8>>,
        wal: W,
        ends: &'a mut Ends,
    ) -> Host<Kv, W, &'a mut Ends> {
        let archive = archive(inbox, Arc::new(Memory::new()));
        let stepper = stepper(nodes, Limits::default());
        Host::new(stepper, inbox.clone(), wal, archive, ends)
    }

    fn stepper(nodes: u64, limits: Limits) -> Stepper<Kv> {
        let replica = Replica::restore(Restored {
            id: NodeId(0),
            membership: Membership::of((0..nodes).map(NodeId)),
            config: Config {
                heartbeat: 1,
                shortest_election: 2,
                longest_election: 2,
                limits,
            },
            ballot: Ballot::default(),
            snapshot: None,
            machine: Kv::default(),
            entries: Vec::new(),
            incarnation: Incarnation(1),
            seed: 1,
        });
        cell(replica).0
    }

    fn read(asker: u8) -> Request<Kv, u8> {
        let key = value!("k");
        let wish = Wish::Read(Lookup { key });
        Request { asker, wish }
    }

    fn write(asker: u8) -> Request<Kv, u8> {
        let (key, value) = (value!("k"), value!(1).into());
        let wish = Wish::Write(Command::Write { key, value });
        Request { asker, wish }
    }

    const NO_TIME: Duration = Duration::ZERO;
    const A_WHILE: Duration = Duration::from_secs(3600);

    #[test]
    fn a_lone_node_answers_all_that_came_before_the_end() {
        let events = Events::default();
        let mut ends = Ends::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(write(1), 1).unwrap();
        inbox.close();
        let host = host(1, &inbox, Disk(events.clone()), &mut ends);
        host.run(NO_TIME, A_WHILE).unwrap();
        assert_eq!(ends.answers, [(1, Response::Applied(Outcome::Written))]);
        // Its vote and its blank entry, then the write; which is answered as soon as it is stored.
        assert_eq!(*events.borrow(), ["store 2", "store 1", "answer"]);
    }

    #[test]
    fn what_is_answered_takes_no_room() {
        let mut ends = Ends::new(Events::default());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(write(1), limits::OPEN).unwrap();
        inbox.submit(write(2), 1).unwrap_err();
        inbox.close();
        let disk = Disk(Events::default());
        let host = host(1, &inbox, disk, &mut ends);
        host.run(NO_TIME, A_WHILE).unwrap();
        inbox.submit(write(2), limits::OPEN).unwrap();
    }

    #[test]
    fn a_vote_is_stored_before_it_is_sent() {
        let events = Events::default();
        let mut ends = Ends::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        let last = EntryId::default();
        let vote = Envelope {
            from: NodeId(1),
            to: NodeId(0),
            term: Term(1),
            message: Message::Vote(raft_core::Vote { last }),
        };
        inbox.deliver(vote, 1);
        inbox.close();
        let host = host(3, &inbox, Disk(events.clone()), &mut ends);
        host.run(NO_TIME, NO_TIME).unwrap();
        assert_eq!(*events.borrow(), ["store 1", "send vote_reply"]);
    }

    #[test]
    fn without_a_quorum_requests_are_refused_at_their_deadline() {
        let events = Events::default();
        let mut ends = Ends::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(read(1), 1).unwrap();
        inbox.submit(write(2), 1).unwrap();
        inbox.close();
        let host = host(3, &inbox, Disk(events), &mut ends);
        host.run(NO_TIME, A_WHILE).unwrap();
        let askers: Vec<u8> = ends.answers.iter().map(|(asker, _)| *asker).collect();
        assert_eq!(askers, [1, 2]);
        for (_, response) in &ends.answers {
            assert!(matches!(response, Response::Refused(_)), "{response:?}");
        }
    }

    #[test]
    fn nothing_is_said_to_peers_while_the_node_settles() {
        let events = Events::default();
        let mut ends = Ends::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(read(1), 1).unwrap();
        let round = raft_core::RequestId {
            incarnation: Incarnation(2),
            counter: 1,
        };
        let last = EntryId::default();
        let pre_vote = Envelope {
            from: NodeId(1),
            to: NodeId(0),
            term: Term(0),
            message: Message::PreVote(raft_core::PreVote { round, last }),
        };
        inbox.deliver(pre_vote, 1);
        inbox.close();
        let mut host = host(3, &inbox, Disk(events.clone()), &mut ends);
        // Long enough for an election, were there ticks.
        host.settle(Instant::now() + 10 * TICK).unwrap();
        assert_eq!(*events.borrow(), [""; 0]);
        host.run(NO_TIME, NO_TIME).unwrap();
        assert_eq!(*events.borrow(), ["send pre_vote_reply"]);
    }

    #[test]
    fn a_node_does_not_settle_for_nothing() {
        let events = Events::default();
        let mut ends = Ends::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.close();
        let host = host(3, &inbox, Disk(events.clone()), &mut ends);
        host.run(A_WHILE, A_WHILE).unwrap();
        assert_eq!(*events.borrow(), [""; 0]);
    }

    #[test]
    fn a_node_that_cannot_store_stops() {
        let events = Events::default();
        let mut ends = Ends::new(events.clone());
        let host = host(1, &Arc::default(), Full, &mut ends);
        assert_eq!(host.run(NO_TIME, A_WHILE), Err(Failure::Log("no space")));
        assert_eq!(*events.borrow(), [""; 0]);
    }

    /// Runs a lone node until it has stored a snapshot on this disk. `spoil` is called before.
    fn until_a_snapshot(
        disk: Arc<dyn storage::disk::Disk>,
        spoil: impl FnOnce(),
        events: &Events,
    ) -> Result<(), Failure<&'static str>> {
        let inbox = Arc::default();
        let archive = archive(&inbox, disk);
        spoil();
        let limits = Limits {
            snapshot_entries: 4,
            ..Limits::default()
        };
        for asker in 1..=5 {
            inbox.submit(write(asker), 1).unwrap();
        }
        let mut ends = Ends::new(events.clone());
        ends.closes = Some(inbox.clone());
        let wal = Disk(events.clone());
        Host::new(stepper(1, limits), inbox, wal, archive, &mut ends).run(NO_TIME, A_WHILE)
    }

    #[test]
    fn a_snapshot_is_stored_and_then_the_log_begins_behind_it() {
        let events = Events::default();
        until_a_snapshot(Arc::new(Memory::new()), || (), &events).unwrap();
        // The last record is the base.
        let expected = ["store 2", "store 1", "answer", "stored 6", "store 1"];
        assert_eq!(*events.borrow(), expected);
    }

    #[test]
    fn a_node_that_cannot_store_a_snapshot_stops() {
        let events = Events::default();
        let folder = std::env::temp_dir().join(format!("stdraft-{}-lost", std::process::id()));
        let disk = Arc::new(Real::create(&folder).unwrap());
        let lose_folder = || std::fs::remove_dir_all(&folder).unwrap();
        match until_a_snapshot(disk, lose_folder, &events) {
            Err(Failure::Snapshots(reason)) => assert!(reason.contains("snapshot-"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(events.borrow().last().unwrap(), "failed");
    }

    #[test]
    fn late_ticks_count_as_one_and_delay_nobody() {
        let due = Instant::now();
        assert_eq!(following(due, due), due + TICK);
        assert_eq!(following(due, due + TICK / 2), due + TICK);
        assert_eq!(following(due, due + TICK), due + 2 * TICK);
        assert_eq!(following(due, due + 100 * TICK), due + 101 * TICK);
    }
}
