use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use json::value;
use raft_core::{
    Appended, Ballot, Config, EntryId, Incarnation, Limits, Membership, Message, NodeId, PreVote,
    PreVoteReply, Record, Replica, Restored, Term, VoteReply,
};

use super::*;
use crate::host::shared::share;
use crate::kv::{Command, Kv, Outcome, Query};
use crate::storage::disk::memory::Memory;
use crate::storage::disk::real::Real;
use crate::storage::{self, Cluster, Identity};

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

fn note_sent(events: &Events, how: &str, messages: &[Envelope<Kv>]) {
    let kinds = messages.iter().map(|envelope| envelope.message.kind());
    let text = format!("{how} {}", kinds.collect::<Vec<_>>().join(" "));
    events.lock().unwrap().push(text);
}

impl FrontEnd<Kv> for &mut Recorder {
    type ReplyTo = u8;

    fn send(&mut self, messages: Vec<Envelope<Kv>>) {
        note_sent(&self.events, "send", &messages);
    }

    fn sender(&self) -> impl FnMut(Vec<Envelope<Kv>>) + Send + 'static {
        let events = self.events.clone();
        move |messages| note_sent(&events, "send late", &messages)
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
            SnapshotResult::Damaged { reason, .. } => format!("damaged: {reason}"),
            SnapshotResult::NoSpare(reason) => format!("no spare: {reason}"),
        };
        self.events.lock().unwrap().push(text);
        if let Some((inbox, _)) = &self.closes {
            inbox.close();
        }
    }
}

/// Passes writes on as they are.
impl Session<Kv> for () {
    fn write(&mut self, ticket: Ticket, command: Command) -> Option<Input<Kv>> {
        Some(Input::Write { ticket, command })
    }

    fn answered(&mut self, replies: Vec<Reply<Kv>>) -> (Vec<Reply<Kv>>, Vec<Input<Kv>>) {
        (replies, Vec::new())
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

/// A snapshot thread whose results go to the inbox. `spoil` is called before it starts.
fn snapshots(
    inbox: &Arc<Inbox<Kv, u8>>,
    disk: Arc<dyn storage::disk::Disk>,
    spoil: impl FnOnce(),
) -> SnapshotThread<Kv> {
    let identity = Identity::new(Cluster::of(["n1"]), "n1", NodeId(0), 1);
    let opened = storage::open::<Command>(disk, &identity, None, storage::SEGMENT_BYTES);
    let snapshots = opened.unwrap().snapshots;
    // The thread has no other work than snapshots.
    snapshots.maintenance.maintain().unwrap();
    spoil();
    SnapshotThread::start(snapshots, inbox.clone()).unwrap()
}

/// A host of the first of this many nodes.
fn host<'a, W: Wal<Command, Error: fmt::Display> + Send + 'static>(
    nodes: u64,
    inbox: &Arc<Inbox<Kv, u8>>,
    wal: W,
    front_end: &'a mut Recorder,
) -> Host<Kv, W, &'a mut Recorder, ()> {
    let snapshots = snapshots(inbox, Arc::new(Memory::new()), || ());
    let stepper = stepper(nodes, Limits::default());
    let log = inline(&stepper, wal);
    Host::new(stepper, inbox.clone(), log, snapshots, front_end, ())
}

fn inline<W>(stepper: &Stepper<Kv>, wal: W) -> Log<Kv, W> {
    Log::new(false, wal, stepper.persisted())
}

fn stepper(nodes: u64, limits: Limits) -> Stepper<Kv> {
    share(replica(nodes, limits)).0
}

/// The first of this many nodes.
pub(super) fn replica(nodes: u64, limits: Limits) -> Replica<Kv> {
    Replica::restore(Restored {
        id: NodeId(0),
        membership: Membership::of((0..nodes).map(NodeId)),
        config: Config {
            heartbeat: 1,
            shortest_election: 2,
            longest_election: 2,
            request_deadline: 4,
            change_deadline: 5,
            limits,
        },
        ballot: Ballot::default(),
        snapshot: None,
        machine: Kv::default(),
        entries: Vec::new(),
        incarnation: Incarnation(1),
        seed: 1,
    })
}

fn read() -> ClientRequest<Kv> {
    let key = value!("k").into();
    ClientRequest::Read(Query::Value(key))
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

/// Followers that grant and acknowledge everything. The first acknowledgement ends the input.
struct Followers {
    inbox: Arc<Inbox<Kv, u8>>,
    sent: Vec<&'static str>,
}

impl FrontEnd<Kv> for &mut Followers {
    type ReplyTo = u8;

    fn send(&mut self, messages: Vec<Envelope<Kv>>) {
        for envelope in messages {
            self.sent.push(envelope.message.kind());
            let granted = true;
            let message = match envelope.message {
                Message::PreVote(PreVote { round, .. }) => {
                    Message::PreVoteReply(PreVoteReply { round, granted })
                }
                Message::Vote(_) => Message::VoteReply(VoteReply { granted }),
                Message::Append(append) => Message::Appended(Appended {
                    stream: append.stream,
                    incarnation: Incarnation(2),
                    matched: append.entries.last().map_or(append.prev, |e| e.id).index,
                }),
                _ => continue,
            };
            let ends = matches!(message, Message::Appended(_));
            let reply = Envelope {
                from: envelope.to,
                to: envelope.from,
                term: envelope.term,
                message,
            };
            self.inbox.deliver(reply, 1);
            if ends {
                self.inbox.close();
            }
        }
    }

    fn sender(&self) -> impl FnMut(Vec<Envelope<Kv>>) + Send + 'static {
        |_| unreachable!("its log has no thread")
    }

    fn answer(&mut self, _: Vec<(u8, Response<Kv>)>) {}

    fn observe(&mut self, _: &Status) {}

    fn turned(&mut self, _: Duration) {}

    fn snapshot_finished(&mut self, _: &SnapshotResult<Kv>) {}
}

#[test]
fn leader_hands_over_at_the_end_of_input() {
    let inbox = Arc::new(Inbox::default());
    let mut followers = Followers {
        inbox: inbox.clone(),
        sent: Vec::new(),
    };
    let snapshots = snapshots(&inbox, Arc::new(Memory::new()), || ());
    let stepper = stepper(2, Limits::default());
    let log = inline(&stepper, Disk(Events::default()));
    let host = Host::new(stepper, inbox, log, snapshots, &mut followers, ());
    host.run(Duration::ZERO, HOUR).unwrap();
    assert_eq!(
        followers.sent[..4],
        ["pre_vote", "vote", "append", "timeout_now"]
    );
}

/// A candidate's message to the first node.
pub(super) fn vote() -> Envelope<Kv> {
    let last = EntryId::default();
    Envelope {
        from: NodeId(1),
        to: NodeId(0),
        term: Term(1),
        message: Message::Vote(raft_core::Vote {
            last,
            transfer: false,
        }),
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
) -> Host<Kv, W, &'a mut Recorder, ()> {
    let snapshots = snapshots(inbox, Arc::new(Memory::new()), || ());
    let stepper = stepper(nodes, Limits::default());
    let log = Log::new(true, wal, stepper.persisted());
    Host::new(stepper, inbox.clone(), log, snapshots, front_end, ())
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
    let first = |what: &str| events.iter().position(|event| event == what);
    assert!(
        first("store 1").unwrap() < first("send late vote_reply").unwrap(),
        "{events:?}"
    );
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
    let error = Err("the log cannot be stored: no space".into());
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
    host.drain(Instant::now(), Peers::Taken).unwrap();
    host.turn();
    assert_eq!(*events.lock().unwrap(), ["send pre_vote_reply"]);
}

#[test]
fn lone_voter_lets_requests_wait_while_it_stores() {
    let mut front_end = Recorder::new(Events::default());
    let inbox = Arc::new(Inbox::default());
    let mut host = host(1, &inbox, Disk(Events::default()), &mut front_end);
    let mut least_after_a_turn = || {
        host.drain(Instant::now(), Peers::Taken).unwrap();
        host.turn();
        host.least()
    };
    // It stores its first entry. The receipt is an input of the next turn.
    least_after_a_turn();
    assert_eq!(least_after_a_turn(), 1);
    for _ in 0..3 * SHARE {
        inbox.submit(1, write(), 1).unwrap();
    }
    assert_eq!(least_after_a_turn(), 3);
    assert_eq!(least_after_a_turn(), 1);
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
        Err("the log cannot be stored: no space".into())
    );
    assert_eq!(*events.lock().unwrap(), [""; 0]);
}

/// Runs a lone node until it has stored a snapshot on this disk, with `spoil` as above.
fn run_until_snapshot(
    disk: Arc<dyn storage::disk::Disk>,
    spoil: impl FnOnce(),
    events: &Events,
) -> Result<(), String> {
    let inbox = Arc::default();
    let snapshots = snapshots(&inbox, disk, spoil);
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
    Host::new(stepper, inbox, log, snapshots, &mut front_end, ()).run(Duration::ZERO, HOUR)
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
        Err(reason) => {
            assert!(reason.contains("snapshot-"), "{reason}");
            assert!(
                reason.starts_with("a snapshot cannot be stored: "),
                "{reason}"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn late_ticks_count_as_one() {
    let due = Instant::now();
    assert_eq!(following(due, due), due + TICK);
    assert_eq!(following(due, due + TICK / 2), due + TICK);
    assert_eq!(following(due, due + TICK), due + 2 * TICK);
    assert_eq!(following(due, due + 100 * TICK), due + 101 * TICK);
}
