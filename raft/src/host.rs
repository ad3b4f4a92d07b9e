//! The event loop: feeds inputs to a replica and carries out what the replica asks for.
//!
//! One turn of the loop, as `docs/ARCHITECTURE.md` draws it:
//!
//! ```text
//! drain      wait for the inbox or the next tick; take what waits, peers before clients
//! step       all inputs, under one lock; take the output; unlock
//! release    send what may leave before anything is stored: Appends, read rounds, answers;
//!            pass work on a snapshot to its thread
//! persist    store the records of the whole batch with one sync
//! finish     send what waited for the sync: vote requests, votes, acknowledgements
//! confirm    step the replica with the sync at once: a commit may need the leader's own copy
//! ```
//!
//! Nothing waits in order to batch: a batch is what arrived during the turn before.
//!
//! The loop knows no sockets and no pipes. Inputs wait in an [`Inbox`], which reader threads fill;
//! outputs go to the host's [`FrontEnd`].
//!
//! Time is a count of ticks of [`TICK`]. The loop looks at the clock only after it has drained the
//! inbox, and all ticks that are due count as one, so that a node that was stopped for a while
//! reads its messages before it starts an election.

mod inbox;
mod outbox;
mod queue;
pub mod shared;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raft_core::{
    Envelope, Input, Persisted, Released, Response, StateMachine, Status, Synced, Ticket, Wal,
};

use self::inbox::{Arrival, Inflow, Peers};
pub use self::inbox::{ClientRequest, Inbox, SnapshotResult};
pub use self::outbox::Outbox;
pub use self::queue::{Depth, Depths, Limit};
use self::shared::Stepper;
pub use self::snapshots::{Image, SnapshotThread};

/// The named limits of the queues.
pub mod limits {
    pub use super::inbox::{CLIENTS as INBOX_CLIENTS, DRAIN, OPEN, PEERS as INBOX_PEERS};
    pub use super::outbox::{CLIENTS as OUTBOX_CLIENTS, PEERS as OUTBOX_PEERS};
}

/// How long a tick of the core lasts.
pub const TICK: Duration = Duration::from_millis(10);

/// Receives the loop's output. No function here may wait, since the loop would stop meanwhile.
pub trait FrontEnd<S: StateMachine> {
    /// What it takes to reply to a client.
    type ReplyTo;

    /// Sends messages to peers. Any of them may be lost.
    fn send(&mut self, messages: Vec<Envelope<S>>);

    /// Answers clients.
    fn answer(&mut self, answers: Vec<(Self::ReplyTo, Response<S>)>);

    /// Called with the state after each turn.
    fn observe(&mut self, status: &Status);

    /// Called with the result of work on a snapshot, before the replica gets it.
    fn snapshot_finished(&mut self, result: &SnapshotResult<S>);
}

/// Why a host stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError<E> {
    /// A batch could not be stored.
    Log(E),
    /// A snapshot could not be stored or read, for this reason.
    Snapshots(String),
}

/// The inputs of one drain, and whether more may arrive.
type Drained<S> = (Inflow, Vec<Input<S>>);

/// A replica, its storage and its front end.
#[derive(Debug)]
pub struct Host<S: StateMachine, W, F: FrontEnd<S>> {
    stepper: Stepper<S>,
    inbox: Arc<Inbox<S, F::ReplyTo>>,
    wal: W,
    snapshots: SnapshotThread<S>,
    front_end: F,
    /// Where the reply to each open request goes, and the bytes that the request holds. The core
    /// bounds their number.
    open: BTreeMap<Ticket, (F::ReplyTo, usize)>,
    tickets: u64,
    /// The proof that the last output was stored; `None` only while one is stored.
    persisted: Option<Persisted>,
    /// The receipt for all outputs so far; the next turn begins with it.
    stored: Option<Synced>,
}

impl<S, W, F> Host<S, W, F>
where
    S: StateMachine,
    W: Wal<S::Command>,
    F: FrontEnd<S>,
{
    /// A host for the replica of `stepper`, which was never stepped before. The snapshot thread
    /// puts its results into the same inbox.
    pub fn new(
        stepper: Stepper<S>,
        inbox: Arc<Inbox<S, F::ReplyTo>>,
        wal: W,
        snapshots: SnapshotThread<S>,
        front_end: F,
    ) -> Self {
        Self {
            persisted: Some(stepper.persisted()),
            stepper,
            inbox,
            wal,
            snapshots,
            front_end,
            open: BTreeMap::new(),
            tickets: 0,
            stored: None,
        }
    }

    /// Runs until the inbox is closed, every request is answered and nothing is left to do, but no
    /// longer than `grace` after the inbox was closed.
    ///
    /// For the time `settle` the node sends nothing to its peers: their messages wait in the inbox,
    /// no tick passes, and clients' requests are taken and wait for a leader. A lone voter needs no
    /// such time.
    ///
    /// # Errors
    /// Those of storage. The node must not be used any more.
    pub fn run(mut self, settle: Duration, grace: Duration) -> Result<(), HostError<W::Error>> {
        // The output of a lone voter's first steps.
        self.turn(Vec::new())?;
        if self.settle(Instant::now() + settle)? == Inflow::Ended {
            return Ok(());
        }

        let mut next_tick = Instant::now() + TICK;
        let mut end = None;
        loop {
            let (inflow, mut inputs) = self.drain(next_tick, Peers::Taken)?;
            // The clock is read after the inbox, never before.
            let now = Instant::now();
            if now >= next_tick {
                inputs.push(Input::Tick);
                next_tick = following(next_tick, now);
            }
            self.turn(inputs)?;
            if inflow == Inflow::Ended {
                let end = *end.get_or_insert(now + grace);
                if self.open.is_empty() || now >= end {
                    return Ok(());
                }
            }
        }
    }

    /// Runs without peers until the given time. Returns `Ended` if the input ends earlier and no
    /// request is open.
    fn settle(&mut self, until: Instant) -> Result<Inflow, HostError<W::Error>> {
        while Instant::now() < until {
            // A closed inbox wakes nothing, so look at it now and then.
            let soon = until.min(Instant::now() + TICK);
            let (inflow, inputs) = self.drain(soon, Peers::Held)?;
            self.turn(inputs)?;
            if inflow == Inflow::Ended && self.open.is_empty() {
                return Ok(inflow);
            }
        }
        Ok(Inflow::Open)
    }

    /// Takes what has arrived, as inputs, and notes where replies go.
    fn drain(
        &mut self,
        deadline: Instant,
        peers: Peers,
    ) -> Result<Drained<S>, HostError<W::Error>> {
        let mut batch = Vec::new();
        let inflow = self.inbox.drain(deadline, peers, &mut batch);
        let inputs = batch.into_iter().map(|arrival| self.input(arrival));
        Ok((inflow, inputs.collect::<Result<_, _>>()?))
    }

    fn input(&mut self, arrival: Arrival<S, F::ReplyTo>) -> Result<Input<S>, HostError<W::Error>> {
        match arrival {
            Arrival::Peer(envelope) => Ok(Input::Receive(envelope)),
            Arrival::Snapshot(result) => {
                self.front_end.snapshot_finished(&result);
                match result {
                    SnapshotResult::Stored { id, took: _ } => Ok(Input::SnapshotStored(id)),
                    SnapshotResult::Installed {
                        id,
                        membership,
                        machine,
                        took: _,
                    } => Ok(Input::SnapshotInstalled {
                        snapshot: id,
                        membership,
                        machine,
                    }),
                    SnapshotResult::Broken { id, reason: _ } => Ok(Input::SnapshotBroken(id)),
                    SnapshotResult::Failed(reason) => Err(HostError::Snapshots(reason)),
                }
            }
            Arrival::Client {
                reply_to,
                request,
                bytes,
            } => {
                self.tickets += 1;
                let ticket = Ticket(self.tickets);
                self.open.insert(ticket, (reply_to, bytes));
                Ok(match request {
                    ClientRequest::Write(command) => Input::Write { ticket, command },
                    ClientRequest::Read(query) => Input::Read { ticket, query },
                })
            }
        }
    }

    /// One turn. Returns when everything that it led to is done.
    fn turn(&mut self, inputs: Vec<Input<S>>) -> Result<(), HostError<W::Error>> {
        let stored = self.stored.take().map(Input::Synced);
        let (mut output, mut status) = self.stepper.step(stored.into_iter().chain(inputs));
        loop {
            let Released {
                messages,
                replies,
                task,
            } = output.release(&mut self.snapshots);
            if let Some(error) = self.snapshots.read_error() {
                return Err(HostError::Snapshots(error.to_string()));
            }
            // Answers first: clients wait for them, and the followers' work comes afterwards.
            if !replies.is_empty() {
                let mut freed = 0;
                let mut close = |ticket| {
                    let (reply_to, bytes) = self.open.remove(&ticket).expect("one reply each");
                    freed += bytes;
                    reply_to
                };
                let answers = replies.into_iter().map(|r| (close(r.ticket), r.response));
                self.front_end.answer(answers.collect());
                self.inbox.answered(freed);
            }
            if !messages.is_empty() {
                self.front_end.send(messages);
            }
            if let Some(task) = task {
                self.snapshots.begin(task);
            }
            self.front_end.observe(&status);
            let stores = !output.records().is_empty();
            let before = self.persisted.take().expect("one output at a time");
            let stored = output.persist(before, &mut self.wal);
            let (durable, persisted) = stored.map_err(HostError::Log)?;
            self.persisted = Some(persisted);
            let (messages, synced) = durable.finish();
            if !messages.is_empty() {
                self.front_end.send(messages);
            }
            if !stores {
                // The receipt repeats what the replica knows, so it can wait for the next turn.
                self.stored = Some(synced);
                return Ok(());
            }
            (output, status) = self.stepper.step([Input::Synced(synced)]);
        }
    }
}

/// The time of the tick after the one that was due at `due`. Missed ticks are not made up for; a
/// tick that is a little late does not delay those after it.
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
    use crate::host::shared::share;
    use crate::kv::{Command, Kv, Lookup, Outcome};
    use crate::storage::disk::memory::Memory;
    use crate::storage::disk::real::Real;
    use crate::storage::{self, Identity};

    /// The actions of a host, in order.
    type Events = Rc<RefCell<Vec<String>>>;

    struct Recorder {
        events: Events,
        answers: Vec<(u8, Response<Kv>)>,
        /// Closed when the work on a snapshot is finished.
        closes: Option<Arc<Inbox<Kv, u8>>>,
    }

    impl Recorder {
        fn new(events: Events) -> Self {
            Self {
                events,
                answers: Vec::new(),
                closes: None,
            }
        }
    }

    impl FrontEnd<Kv> for &mut Recorder {
        type ReplyTo = u8;

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

        fn snapshot_finished(&mut self, result: &SnapshotResult<Kv>) {
            let text = match result {
                SnapshotResult::Stored { id, .. } => format!("stored {}", id.last.index),
                SnapshotResult::Installed { id, .. } => format!("installed {}", id.last.index),
                SnapshotResult::Broken { reason, .. } => format!("broken: {reason}"),
                SnapshotResult::Failed(_) => "failed".into(),
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

    /// A snapshot thread whose results go to the inbox.
    fn snapshots(
        inbox: &Arc<Inbox<Kv, u8>>,
        disk: Arc<dyn storage::disk::Disk>,
    ) -> SnapshotThread<Kv> {
        let identity = Identity::new("n1", ["n1"]);
        let opened = storage::open::<Command>(disk, &identity, storage::Options::default());
        SnapshotThread::start(
            opened.unwrap().snapshots,
            Membership::of([NodeId(0)]),
            inbox.clone(),
        )
        .unwrap()
    }

    /// A host of the first of this many nodes.
    fn host<'a, W: Wal<Command>>(
        nodes: u64,
        inbox: &Arc<Inbox<Kv, u8>>,
        wal: W,
        front_end: &'a mut Recorder,
    ) -> Host<Kv, W, &'a mut Recorder> {
        let snapshots = snapshots(inbox, Arc::new(Memory::new()));
        let stepper = stepper(nodes, Limits::default());
        Host::new(stepper, inbox.clone(), wal, snapshots, front_end)
    }

    fn stepper(nodes: u64, limits: Limits) -> Stepper<Kv> {
        let replica = Replica::restore(Restored {
            id: NodeId(0),
            membership: Membership::of((0..nodes).map(NodeId)),
            config: Config {
                heartbeat: 1,
                shortest_election: 2,
                longest_election: 2,
                request_deadline: 4,
                limits,
            },
            ballot: Ballot::default(),
            snapshot: None,
            machine: Kv::default(),
            entries: Vec::new(),
            incarnation: Incarnation(1),
            seed: 1,
        });
        share(replica).0
    }

    fn read() -> ClientRequest<Kv> {
        let key = value!("k").into();
        ClientRequest::Read(Lookup { key })
    }

    fn write() -> ClientRequest<Kv> {
        let (key, value) = (value!("k").into(), value!(1).into());
        ClientRequest::Write(Command::Write { key, value })
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn lone_node_answers_what_arrived_before_the_end() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(1, write(), 1).unwrap();
        inbox.close();
        let host = host(1, &inbox, Disk(events.clone()), &mut front_end);
        host.run(Duration::ZERO, HOUR).unwrap();
        assert_eq!(
            front_end.answers,
            [(1, Response::Applied(Outcome::Written))]
        );
        // Its vote and its blank entry, then the write, which is answered as soon as it is stored.
        assert_eq!(*events.borrow(), ["store 2", "store 1", "answer"]);
    }

    #[test]
    fn answered_requests_free_their_room() {
        let mut front_end = Recorder::new(Events::default());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(1, write(), limits::OPEN).unwrap();
        inbox.submit(2, write(), 1).unwrap_err();
        inbox.close();
        let disk = Disk(Events::default());
        let host = host(1, &inbox, disk, &mut front_end);
        host.run(Duration::ZERO, HOUR).unwrap();
        inbox.submit(2, write(), limits::OPEN).unwrap();
    }

    #[test]
    fn vote_is_stored_before_it_is_sent() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
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
        let host = host(3, &inbox, Disk(events.clone()), &mut front_end);
        host.run(Duration::ZERO, Duration::ZERO).unwrap();
        assert_eq!(*events.borrow(), ["store 1", "send vote_reply"]);
    }

    #[test]
    fn without_a_quorum_requests_are_refused_at_their_deadline() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(1, read(), 1).unwrap();
        inbox.submit(2, write(), 1).unwrap();
        inbox.close();
        let host = host(3, &inbox, Disk(events), &mut front_end);
        host.run(Duration::ZERO, HOUR).unwrap();
        let answered: Vec<u8> = front_end.answers.iter().map(|(to, _)| *to).collect();
        assert_eq!(answered, [1, 2]);
        for (_, response) in &front_end.answers {
            assert!(matches!(response, Response::Refused(_)), "{response:?}");
        }
    }

    #[test]
    fn settling_node_sends_nothing_to_peers() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(1, read(), 1).unwrap();
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
        let mut host = host(3, &inbox, Disk(events.clone()), &mut front_end);
        host.settle(Instant::now() + TICK).unwrap();
        assert_eq!(*events.borrow(), [""; 0]);
        let (_, inputs) = host.drain(Instant::now(), Peers::Taken).unwrap();
        host.turn(inputs).unwrap();
        assert_eq!(*events.borrow(), ["send pre_vote_reply"]);
    }

    #[test]
    fn node_without_input_ends_at_once() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.close();
        let host = host(3, &inbox, Disk(events.clone()), &mut front_end);
        host.run(HOUR, HOUR).unwrap();
        assert_eq!(*events.borrow(), [""; 0]);
    }

    #[test]
    fn node_that_cannot_store_stops() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let host = host(1, &Arc::default(), Full, &mut front_end);
        assert_eq!(
            host.run(Duration::ZERO, HOUR),
            Err(HostError::Log("no space"))
        );
        assert_eq!(*events.borrow(), [""; 0]);
    }

    /// Runs a lone node until it has stored a snapshot on this disk. `spoil` is called first.
    fn run_until_snapshot(
        disk: Arc<dyn storage::disk::Disk>,
        spoil: impl FnOnce(),
        events: &Events,
    ) -> Result<(), HostError<&'static str>> {
        let inbox = Arc::default();
        let snapshots = snapshots(&inbox, disk);
        spoil();
        let limits = Limits {
            snapshot_entries: 4,
            ..Limits::default()
        };
        for client in 1..=5 {
            inbox.submit(client, write(), 1).unwrap();
        }
        let mut front_end = Recorder::new(events.clone());
        front_end.closes = Some(inbox.clone());
        let wal = Disk(events.clone());
        Host::new(stepper(1, limits), inbox, wal, snapshots, &mut front_end)
            .run(Duration::ZERO, HOUR)
    }

    #[test]
    fn log_begins_after_a_stored_snapshot() {
        let events = Events::default();
        run_until_snapshot(Arc::new(Memory::new()), || (), &events).unwrap();
        // The last record is the base.
        let expected = ["store 2", "store 1", "answer", "stored 6", "store 1"];
        assert_eq!(*events.borrow(), expected);
    }

    #[test]
    fn node_that_cannot_store_a_snapshot_stops() {
        let events = Events::default();
        let folder = std::env::temp_dir().join(format!("stdraft-{}-lost", std::process::id()));
        let disk = Arc::new(Real::create(&folder).unwrap());
        let lose_folder = || std::fs::remove_dir_all(&folder).unwrap();
        match run_until_snapshot(disk, lose_folder, &events) {
            Err(HostError::Snapshots(reason)) => assert!(reason.contains("snapshot-"), "{reason}"),
            other => panic!("{other:?}"),
        }
        assert_eq!(events.borrow().last().unwrap(), "failed");
    }

    #[test]
    fn late_ticks_count_as_one() {
        let due = Instant::now();
        assert_eq!(following(due, due), due + TICK);
        assert_eq!(following(due, due + TICK / 2), due + TICK);
        assert_eq!(following(due, due + TICK), due + 2 * TICK);
        assert_eq!(following(due, due + 100 * TICK), due + 101 * TICK);
    }
}
