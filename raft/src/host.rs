//! The event loop: feeds inputs to a replica and carries out what the replica asks for.
//!
//! One turn of the loop, as `docs/ARCHITECTURE.md` draws it:
//!
//! ```text
//! drain      wait for the inbox or the next tick; take what waits, peers before clients
//! step       all inputs, under one lock; take the output; unlock
//! release    send what may leave before anything is stored: Appends, read rounds, answers;
//!            pass work on a snapshot to its thread
//! persist    pass the output to the log's thread, which stores all that waits with one sync
//! ```
//!
//! What the thread has stored arrives in the inbox, as any input: the messages that waited for the
//! sync leave (vote requests, votes, acknowledgements), and the replica gets the receipt. So the
//! loop never waits for a disk. A log that needs no disk is written in the loop itself ([`Log`]).
//!
//! Nothing waits in order to batch: a batch is what arrived during the turn before, and a sync
//! stores what arrived during the sync before.
//!
//! The loop knows no sockets and no pipes. Inputs wait in an [`Inbox`], which reader threads fill;
//! outputs go to the host's [`FrontEnd`].
//!
//! Time is a count of ticks of [`TICK`]. The loop looks at the clock only after it has drained the
//! inbox, and all ticks that are due count as one, so that a node that was stopped for a while
//! reads its messages before it starts an election.

mod inbox;
mod log;
mod outbox;
mod queue;
pub mod shared;
mod snapshots;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use raft_core::{
    Envelope, Input, Output, Released, Response, StateMachine, Status, Ticket, Volatile, Wal,
};

use self::inbox::{Arrival, Inflow, Peers};
pub use self::inbox::{ClientRequest, Inbox, SnapshotResult};
use self::log::LogResult;
pub use self::log::{InlineLog, Log, LogThread, LogWatch};
pub use self::outbox::Outbox;
pub use self::queue::{Depth, Depths, Limit};
use self::shared::Stepper;
pub use self::snapshots::{Image, SnapshotThread};

/// The named limits of the queues.
pub mod limits {
    pub use super::inbox::{CLIENTS as INBOX_CLIENTS, DRAIN, OPEN, PEERS as INBOX_PEERS};
    pub use super::log::LATE;
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

    /// Called after each turn with the time that it took.
    fn turned(&mut self, took: Duration);

    /// Called with the result of work on a snapshot, before the replica gets it.
    fn snapshot_finished(&mut self, result: &SnapshotResult<S>);
}

/// Why a host stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostError {
    /// Outputs could not be stored, for this reason.
    Log(String),
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
    log: Log<S, W>,
    snapshots: SnapshotThread<S>,
    front_end: F,
    /// Where the reply to each open request goes, and the bytes that the request holds. The core
    /// bounds their number.
    open: BTreeMap<Ticket, (F::ReplyTo, usize)>,
    tickets: u64,
    /// When the present turn began.
    began: Instant,
    /// Whether the replica has committed entries to apply.
    applies: bool,
}

impl<S, W, F> Host<S, W, F>
where
    S: StateMachine,
    W: Wal<S::Command, Error: fmt::Display>,
    F: FrontEnd<S>,
{
    /// A host for the replica of `stepper`, which was never stepped before. The threads of the log
    /// and of snapshots put their results into the same inbox.
    pub fn new(
        stepper: Stepper<S>,
        inbox: Arc<Inbox<S, F::ReplyTo>>,
        log: Log<S, W>,
        snapshots: SnapshotThread<S>,
        front_end: F,
    ) -> Self {
        Self {
            stepper,
            inbox,
            log,
            snapshots,
            front_end,
            open: BTreeMap::new(),
            tickets: 0,
            began: Instant::now(),
            applies: false,
        }
    }

    /// Runs until the inbox is closed, every request is answered and nothing is left to do, but no
    /// longer than `grace` after the inbox was closed: the disk may hang.
    ///
    /// For the time `settle` the node sends nothing to its peers: their messages wait in the inbox,
    /// no tick passes, and clients' requests are taken and wait for a leader. A lone voter needs no
    /// such time.
    ///
    /// # Errors
    /// Those of storage. The node must not be used any more.
    pub fn run(mut self, settle: Duration, grace: Duration) -> Result<(), HostError> {
        // The output of a lone voter's first steps.
        self.turn(Vec::new())?;
        if self.settle(Instant::now() + settle)? == Inflow::Ended {
            return Ok(());
        }

        let mut next_tick = Instant::now() + TICK;
        let mut end = None;
        loop {
            let was_idle = self.log.is_idle();
            let until = match self.applies {
                true => Instant::now(),
                false => next_tick,
            };
            let (inflow, mut inputs) = self.drain(until, Peers::Taken)?;
            // The clock is read after the inbox, never before.
            let now = Instant::now();
            if now >= next_tick {
                inputs.push(Input::Tick);
                next_tick = following(next_tick, now);
            }
            self.turn(inputs)?;
            if inflow == Inflow::Ended {
                let end = *end.get_or_insert(now + grace);
                let is_done = self.open.is_empty() && was_idle && self.log.is_idle();
                if is_done || now >= end {
                    return Ok(());
                }
            }
        }
    }

    /// Runs without peers until the given time. Returns `Ended` if the input ends earlier and no
    /// request is open.
    fn settle(&mut self, until: Instant) -> Result<Inflow, HostError> {
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
    fn drain(&mut self, deadline: Instant, peers: Peers) -> Result<Drained<S>, HostError> {
        let mut batch = Vec::new();
        let inflow = self.inbox.drain(deadline, peers, &mut batch);
        self.began = Instant::now();
        let inputs = batch.into_iter().map(|arrival| self.input(arrival));
        Ok((inflow, inputs.collect::<Result<_, _>>()?))
    }

    fn input(&mut self, arrival: Arrival<S, F::ReplyTo>) -> Result<Input<S>, HostError> {
        match arrival {
            Arrival::Log(result) => self.stored(result),
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

    /// One turn. A log without a thread is stored at once, with all that this leads to.
    fn turn(&mut self, mut inputs: Vec<Input<S>>) -> Result<(), HostError> {
        loop {
            let output = self.step(inputs)?;
            let has_records = !output.records().is_empty();
            let result = match &mut self.log {
                Log::Thread(thread) => {
                    thread.store(output);
                    break;
                }
                Log::Inline(log) => log.store(output),
            };
            let receipt = self.stored(result)?;
            if !has_records {
                // The receipt has no news for the replica.
                break;
            }
            inputs = vec![receipt];
        }
        self.front_end.turned(self.began.elapsed());
        Ok(())
    }

    /// Steps through the inputs, and releases what need not wait for the disk.
    fn step(&mut self, inputs: Vec<Input<S>>) -> Result<Output<S, Volatile>, HostError> {
        let (mut output, status) = self.stepper.step(inputs);
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
        self.applies = status.applied < status.commit.index;
        Ok(output)
    }

    /// Sends what waited for the disk. Returns the receipt for the replica.
    fn stored(&mut self, result: LogResult<S>) -> Result<Input<S>, HostError> {
        match result {
            LogResult::Stored { late, synced } => {
                if !late.is_empty() {
                    self.front_end.send(late);
                }
                Ok(Input::Synced(synced))
            }
            LogResult::Failed(reason) => Err(HostError::Log(reason)),
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
    use std::sync::Mutex;
    use std::sync::mpsc::{Receiver, channel};

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
    type Events = Arc<Mutex<Vec<String>>>;

    struct Recorder {
        events: Events,
        answers: Vec<(u8, Response<Kv>)>,
        /// Closed when the work on a snapshot is finished, or after this many answers.
        closes: Option<(Arc<Inbox<Kv, u8>>, usize)>,
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
            self.events.lock().unwrap().push(text);
        }

        fn answer(&mut self, answers: Vec<(u8, Response<Kv>)>) {
            self.events.lock().unwrap().push("answer".into());
            self.answers.extend(answers);
            if let Some((inbox, after)) = &self.closes
                && self.answers.len() == *after
            {
                inbox.close();
            }
        }

        fn observe(&mut self, _: &Status) {}

        fn turned(&mut self, _: Duration) {}

        fn snapshot_finished(&mut self, result: &SnapshotResult<Kv>) {
            let text = match result {
                SnapshotResult::Stored { id, .. } => format!("stored {}", id.last.index),
                SnapshotResult::Installed { id, .. } => format!("installed {}", id.last.index),
                SnapshotResult::Broken { reason, .. } => format!("broken: {reason}"),
                SnapshotResult::Failed(_) => "failed".into(),
            };
            self.events.lock().unwrap().push(text);
            if let Some((inbox, _)) = &self.closes {
                inbox.close();
            }
        }
    }

    struct Disk(Events);

    impl Wal<Command> for Disk {
        type Error = &'static str;

        fn append_and_sync(&mut self, records: &[Record<Command>]) -> Result<(), Self::Error> {
            self.0
                .lock()
                .unwrap()
                .push(format!("store {}", records.len()));
            Ok(())
        }
    }

    /// A disk that stores nothing until the other end of the channel is dropped.
    struct Hung(Receiver<()>);

    impl Wal<Command> for Hung {
        type Error = &'static str;

        fn append_and_sync(&mut self, _: &[Record<Command>]) -> Result<(), Self::Error> {
            // An error says that the end is dropped.
            let _ = self.0.recv();
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
    fn host<'a, W: Wal<Command, Error: fmt::Display>>(
        nodes: u64,
        inbox: &Arc<Inbox<Kv, u8>>,
        wal: W,
        front_end: &'a mut Recorder,
    ) -> Host<Kv, W, &'a mut Recorder> {
        let snapshots = snapshots(inbox, Arc::new(Memory::new()));
        let stepper = stepper(nodes, Limits::default());
        let log = inline(&stepper, wal);
        Host::new(stepper, inbox.clone(), log, snapshots, front_end)
    }

    fn inline<W>(stepper: &Stepper<Kv>, wal: W) -> Log<Kv, W> {
        Log::Inline(InlineLog::new(wal, stepper.persisted()))
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
        assert_eq!(*events.lock().unwrap(), ["store 2", "store 1", "answer"]);
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

    /// A candidate's message to the first node.
    fn vote() -> Envelope<Kv> {
        let last = EntryId::default();
        Envelope {
            from: NodeId(1),
            to: NodeId(0),
            term: Term(1),
            message: Message::Vote(raft_core::Vote { last }),
        }
    }

    #[test]
    fn vote_is_stored_before_it_is_sent() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.deliver(vote(), 1);
        inbox.close();
        let host = host(3, &inbox, Disk(events.clone()), &mut front_end);
        host.run(Duration::ZERO, Duration::ZERO).unwrap();
        assert_eq!(*events.lock().unwrap(), ["store 1", "send vote_reply"]);
    }

    /// A host whose log has a thread.
    fn threaded<'a, W: Wal<Command, Error: fmt::Display> + Send + 'static>(
        nodes: u64,
        inbox: &Arc<Inbox<Kv, u8>>,
        wal: W,
        front_end: &'a mut Recorder,
    ) -> Host<Kv, W, &'a mut Recorder> {
        let snapshots = snapshots(inbox, Arc::new(Memory::new()));
        let stepper = stepper(nodes, Limits::default());
        let thread = LogThread::start(wal, stepper.persisted(), inbox.clone()).unwrap();
        let log = Log::Thread(thread);
        Host::new(stepper, inbox.clone(), log, snapshots, front_end)
    }

    #[test]
    fn thread_stores_a_vote_before_it_is_sent() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.deliver(vote(), 1);
        inbox.close();
        let host = threaded(3, &inbox, Disk(events.clone()), &mut front_end);
        host.run(Duration::ZERO, HOUR).unwrap();
        let events = events.lock().unwrap();
        // The node may have begun an election meanwhile.
        let mut these = events.iter().filter(|event| !event.contains("pre_vote "));
        assert_eq!(these.next().unwrap(), "store 1");
        assert_eq!(these.next().unwrap(), "send vote_reply");
    }

    #[test]
    fn lone_node_answers_with_a_thread_too() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.submit(1, write(), 1).unwrap();
        inbox.close();
        let host = threaded(1, &inbox, Disk(events.clone()), &mut front_end);
        host.run(Duration::ZERO, HOUR).unwrap();
        let written = Response::Applied(Outcome::Written);
        assert_eq!(front_end.answers, [(1, written)]);
        assert_eq!(events.lock().unwrap().last().unwrap(), "answer");
    }

    #[test]
    fn error_of_the_thread_stops_the_node() {
        let mut front_end = Recorder::new(Events::default());
        let host = threaded(1, &Arc::default(), Full, &mut front_end);
        let error = Err(HostError::Log("no space".into()));
        assert_eq!(host.run(Duration::ZERO, HOUR), error);
    }

    /// The disk never stores the first vote of this lone voter, and yet clients get their answers
    /// at the deadline, and the end of input ends the node.
    #[test]
    fn node_with_a_hung_disk_answers_and_ends() {
        let (hangs, hung) = channel();
        let mut front_end = Recorder::new(Events::default());
        let inbox = Arc::new(Inbox::default());
        front_end.closes = Some((inbox.clone(), 2));
        inbox.submit(1, read(), 1).unwrap();
        inbox.submit(2, write(), 1).unwrap();
        let host = threaded(1, &inbox, Hung(hung), &mut front_end);
        let watch = host.log.watch();
        host.run(Duration::ZERO, Duration::ZERO).unwrap();
        assert!(watch.stalled() > Duration::ZERO);
        for (_, response) in &front_end.answers {
            let is_promise = matches!(response, Response::Applied(_) | Response::Answered(_));
            assert!(!is_promise, "{response:?}");
        }
        drop(hangs);
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
        assert_eq!(*events.lock().unwrap(), [""; 0]);
        let (_, inputs) = host.drain(Instant::now(), Peers::Taken).unwrap();
        host.turn(inputs).unwrap();
        assert_eq!(*events.lock().unwrap(), ["send pre_vote_reply"]);
    }

    #[test]
    fn node_without_input_ends_at_once() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let inbox = Arc::new(Inbox::default());
        inbox.close();
        let host = host(3, &inbox, Disk(events.clone()), &mut front_end);
        host.run(HOUR, HOUR).unwrap();
        assert_eq!(*events.lock().unwrap(), [""; 0]);
    }

    #[test]
    fn node_that_cannot_store_stops() {
        let events = Events::default();
        let mut front_end = Recorder::new(events.clone());
        let host = host(1, &Arc::default(), Full, &mut front_end);
        assert_eq!(
            host.run(Duration::ZERO, HOUR),
            Err(HostError::Log("no space".into()))
        );
        assert_eq!(*events.lock().unwrap(), [""; 0]);
    }

    /// Runs a lone node until it has stored a snapshot on this disk. `spoil` is called first.
    fn run_until_snapshot(
        disk: Arc<dyn storage::disk::Disk>,
        spoil: impl FnOnce(),
        events: &Events,
    ) -> Result<(), HostError> {
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
        front_end.closes = Some((inbox.clone(), usize::MAX));
        let stepper = stepper(1, limits);
        let log = inline(&stepper, Disk(events.clone()));
        Host::new(stepper, inbox, log, snapshots, &mut front_end).run(Duration::ZERO, HOUR)
    }

    #[test]
    fn log_begins_after_a_stored_snapshot() {
        let events = Events::default();
        run_until_snapshot(Arc::new(Memory::new()), || (), &events).unwrap();
        // The last record is the base.
        let expected = ["store 2", "store 1", "answer", "stored 6", "store 1"];
        assert_eq!(*events.lock().unwrap(), expected);
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
        assert_eq!(events.lock().unwrap().last().unwrap(), "failed");
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
