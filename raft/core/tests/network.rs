//! Bounds on the cost of latency and loss. Time is ticks; every test is deterministic.

mod count;

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use count::Count;
use raft_core::{
    Append, Ballot, Config, EntryId, Envelope, Incarnation, Index, Input, Limits, Membership,
    Message, NodeId, Outdated, PreVote, PreVoteReply, ReadIndex, ReadIndexReply, Record, Refusal,
    Replica, RequestId, Response, Restored, RoleName, Round, Task, Term, Ticket, Vote, Wal,
};

/// Each command takes a kilobyte on the wire, to fill batches.
type Machine = Count<1000>;

struct Disk;

impl Wal<u64> for Disk {
    type Error = Infallible;

    fn append_and_sync(&mut self, _: &[Record<u64>]) -> Result<(), Infallible> {
        Ok(())
    }
}

fn config() -> Config {
    Config {
        heartbeat: 10,
        shortest_election: 50,
        longest_election: 100,
        request_deadline: 200,
        change_deadline: 1000,
        limits: Limits::default(),
    }
}

fn replica(id: u64, size: u64, term: u64) -> Replica<Machine> {
    Replica::restore(Restored {
        id: NodeId(id),
        membership: Membership::of((1..=size).map(NodeId)),
        config: config(),
        ballot: Ballot::new(Term(term), None),
        snapshot: None,
        machine: Count(0),
        entries: Vec::new(),
        incarnation: Incarnation(id),
        seed: id,
    })
}

/// Answers, each with its ticket.
type Answers = Vec<(u64, Response<Machine>)>;

/// All messages of a replica, and its answers.
fn outputs(replica: &mut Replica<Machine>) -> (Vec<Envelope<Machine>>, Answers) {
    let (mut messages, mut answers) = (Vec::new(), Vec::new());
    loop {
        let persisted = replica.persisted();
        let mut output = replica.output();
        if output.is_empty() {
            return (messages, answers);
        }
        let released = output.release();
        messages.extend(released.messages);
        answers.extend(
            released
                .replies
                .into_iter()
                .map(|r| (r.ticket.0, r.response)),
        );
        let Ok((durable, _)) = output.persist(persisted, &mut Disk);
        let (late, synced) = durable.finish();
        messages.extend(late);
        replica.step(Input::Synced(synced));
    }
}

/// Replicas in a network with a fixed latency.
struct Cluster {
    nodes: BTreeMap<u64, Replica<Machine>>,
    /// Messages by time of arrival.
    network: BTreeMap<u64, Vec<Envelope<Machine>>>,
    latency: u64,
    now: u64,
    /// Answers: the tick, the ticket, the response.
    answers: Vec<(u64, u64, Response<Machine>)>,
}

impl Cluster {
    fn new(size: u64, latency: u64) -> Self {
        Self {
            nodes: (1..=size).map(|id| (id, replica(id, size, 0))).collect(),
            network: BTreeMap::new(),
            latency,
            now: 0,
            answers: Vec::new(),
        }
    }

    /// Lets a tick pass.
    fn tick(&mut self) {
        for envelope in self.network.remove(&self.now).unwrap_or_default() {
            if let Some(node) = self.nodes.get_mut(&envelope.to.0) {
                node.step(Input::Receive(envelope));
            }
        }
        for id in self.nodes.keys().copied().collect::<BTreeSet<_>>() {
            self.node(id).step(Input::Tick);
            let messages = self.take(id);
            let arrival = self.now + self.latency;
            self.network.entry(arrival).or_default().extend(messages);
        }
        self.now += 1;
    }

    fn ticks(&mut self, count: u64) {
        (0..count).for_each(|_| self.tick());
    }

    fn node(&mut self, id: u64) -> &mut Replica<Machine> {
        self.nodes.get_mut(&id).expect("a node")
    }

    fn take(&mut self, id: u64) -> Vec<Envelope<Machine>> {
        let (messages, answers) = outputs(self.node(id));
        let now = self.now;
        self.answers
            .extend(answers.into_iter().map(|(t, r)| (now, t, r)));
        messages
    }

    fn leader(&self) -> Option<u64> {
        let leads = |replica: &Replica<Machine>| replica.status().role == RoleName::Leader;
        self.nodes.iter().find(|(_, r)| leads(r)).map(|(id, _)| *id)
    }

    /// An idle cluster with a leader, that leader, and a follower.
    fn settled(size: u64, latency: u64) -> (Self, u64, u64) {
        let mut cluster = Self::new(size, latency);
        cluster.ticks(1000);
        let leader = cluster.leader().expect("a leader");
        (cluster, leader, if leader == 1 { 2 } else { 1 })
    }
}

fn write(n: u64) -> Input<Machine> {
    Input::Write {
        ticket: Ticket(n),
        command: n,
    }
}

fn read(n: u64) -> Input<Machine> {
    Input::Read {
        ticket: Ticket(n),
        query: (),
    }
}

fn from(from: u64, to: u64, term: u64, message: Message<Machine>) -> Input<Machine> {
    Input::Receive(Envelope {
        from: NodeId(from),
        to: NodeId(to),
        term: Term(term),
        message,
    })
}

fn heartbeat(prev: EntryId) -> Message<Machine> {
    Message::Append(Append {
        stream: RequestId {
            incarnation: Incarnation(99),
            counter: 1,
        },
        prev,
        entries: Vec::new(),
        commit: Index(0),
    })
}

#[test]
fn follower_answers_in_two_round_trips_at_any_latency() {
    // Also where that is longer than the wait before a read index request is repeated.
    for latency in [1, 5, 7, 8, 10, 15, 20] {
        let (mut cluster, _, follower) = Cluster::settled(3, latency);
        let start = cluster.now;
        cluster.node(follower).step(read(1));
        cluster.node(follower).step(write(2));
        cluster.ticks(10 * latency);
        let waits: BTreeMap<u64, u64> =
            cluster.answers.iter().map(|a| (a.1, a.0 - start)).collect();
        assert_eq!(waits.len(), 2, "latency {latency}: {:?}", cluster.answers);
        for wait in waits.values() {
            assert!(*wait <= 4 * latency + 1, "latency {latency}: {waits:?}");
        }
    }
}

#[test]
fn leader_stays_at_any_latency() {
    // At the longest of these a round trip takes longer than the longest election timeout.
    for latency in [10, 30, 48, 52, 60, 80] {
        let mut cluster = Cluster::new(3, latency);
        cluster.ticks(10_000);
        let leader = cluster.leader();
        assert!(leader.is_some(), "latency {latency}");
        let term = cluster.node(1).status().ballot.term();
        cluster.ticks(2_000);
        assert_eq!(cluster.leader(), leader, "latency {latency}");
        assert_eq!(
            cluster.node(1).status().ballot.term(),
            term,
            "latency {latency}"
        );
    }
}

#[test]
fn lost_append_is_sent_again_once() {
    for entries in [1, 20] {
        let (mut cluster, leader, follower) = Cluster::settled(2, 1);
        let mut appends = Vec::new();
        for batch in 0..64 {
            for n in 0..entries {
                cluster.node(leader).step(write(batch * entries + n));
            }
            appends.extend(cluster.take(leader));
        }
        assert_eq!(appends.len(), 64);
        let mut replies = Vec::new();
        for append in appends.into_iter().skip(1) {
            cluster.node(follower).step(Input::Receive(append));
            replies.extend(cluster.take(follower));
        }
        assert_eq!(replies.len(), 63);
        let mut again = Vec::new();
        for reply in replies {
            cluster.node(leader).step(Input::Receive(reply));
            again.extend(cluster.take(leader));
        }
        let [
            Envelope {
                message:
                    Message::Append(Append {
                        entries: mended, ..
                    }),
                ..
            },
        ] = &again[..]
        else {
            panic!("one Append fills the gap, not {again:?}");
        };
        assert_eq!(mended.len() as u64, entries);
        // After it, all Appends kept by the follower fit.
        let last = cluster.node(leader).status().last;
        cluster.node(follower).step(Input::Receive(again.remove(0)));
        assert_eq!(cluster.node(follower).status().last, last);
    }
}

#[test]
fn lost_window_is_repaired_soon_after_a_heartbeat() {
    let (mut cluster, leader, follower) = Cluster::settled(2, 1);
    for n in 0..4000 {
        cluster.node(leader).step(write(n));
    }
    assert!(cluster.take(leader).len() > 1);
    let last = cluster.node(leader).status().last;
    cluster.ticks(20);
    assert_eq!(cluster.node(follower).status().last, last);
}

#[test]
fn dead_peer_costs_an_empty_append_per_heartbeat() {
    let mut cluster = Cluster::new(3, 1);
    cluster.nodes.remove(&3);
    cluster.ticks(100);
    let leader = cluster.leader().expect("a leader");
    let (mut sent, mut entries_sent) = (0, 0);
    for n in 0..500 {
        cluster.node(leader).step(write(n));
        cluster.tick();
        let waiting = cluster.network.values().flatten();
        for envelope in waiting.filter(|envelope| envelope.to == NodeId(3)) {
            sent += 1;
            if let Message::Append(Append { entries, .. }) = &envelope.message {
                entries_sent += entries.len();
            }
        }
    }
    assert!(sent <= 51, "{sent} messages");
    assert_eq!(entries_sent, 0);
}

#[test]
fn request_is_answered_by_its_deadline_after_a_late_leader() {
    let mut node = replica(1, 3, 0);
    node.step(write(1));
    let deadline = config().request_deadline;
    for _ in 0..deadline - 5 {
        node.step(Input::Tick);
    }
    let term = node.status().ballot.term().0 + 1;
    node.step(from(2, 1, term, heartbeat(EntryId::default())));
    let (messages, answers) = outputs(&mut node);
    let forwards = |e: &Envelope<Machine>| matches!(e.message, Message::Forward(_));
    assert!(messages.iter().any(forwards) && answers.is_empty());
    for _ in 0..5 {
        node.step(Input::Tick);
    }
    assert_eq!(outputs(&mut node).1, [(1, Response::Unknown)]);
}

#[test]
fn read_without_a_leader_is_refused_at_its_deadline() {
    let mut node = replica(1, 3, 0);
    node.step(read(1));
    for _ in 0..config().request_deadline {
        assert!(outputs(&mut node).1.is_empty());
        node.step(Input::Tick);
    }
    let refused = Response::Refused(Refusal::NoLeader);
    assert_eq!(outputs(&mut node).1, [(1, refused)]);
}

#[test]
fn pre_candidate_that_votes_for_another_gives_up() {
    let mut node = replica(1, 3, 5);
    while node.status().role != RoleName::PreCandidate {
        node.step(Input::Tick);
    }
    let (messages, _) = outputs(&mut node);
    let Message::PreVote(PreVote { round, .. }) = messages[0].message else {
        panic!("{messages:?}");
    };
    let last = EntryId::default();
    node.step(from(
        2,
        1,
        5,
        Message::Vote(Vote {
            last,
            transfer: false,
        }),
    ));
    assert_eq!(node.status().ballot.vote(), Some(NodeId(2)));
    assert_eq!(node.status().role, RoleName::Follower);
    let granted = true;
    node.step(from(
        3,
        1,
        5,
        Message::PreVoteReply(PreVoteReply { round, granted }),
    ));
    assert_eq!(node.status().role, RoleName::Follower);
    assert_eq!(node.status().ballot.term(), Term(5));
}

#[test]
fn truncated_proposals_expire_by_their_own_age() {
    let (mut cluster, leader, follower) = Cluster::settled(3, 1);
    // Ten commands that no other node receives, truncated by another leader.
    for n in 0..10 {
        cluster.node(leader).step(write(n));
    }
    cluster.take(leader);
    let status = cluster.node(leader).status();
    let term = status.ballot.term().0 + 1;
    let blank = raft_core::Entry {
        id: EntryId {
            term: Term(term),
            index: status.commit.index.next(),
        },
        payload: raft_core::Payload::Blank,
    };
    let Message::Append(Append { stream, commit, .. }) = heartbeat(status.commit) else {
        unreachable!("a heartbeat is an Append");
    };
    let append = Message::Append(Append {
        stream,
        prev: status.commit,
        entries: vec![blank],
        commit,
    });
    cluster
        .node(leader)
        .step(from(follower, leader, term, append));
    // The commands expire by their own age, all at once.
    let deadline = config().request_deadline;
    for _ in 0..deadline {
        assert!(outputs(cluster.node(leader)).1.is_empty());
        cluster.node(leader).step(Input::Tick);
    }
    let answers = outputs(cluster.node(leader)).1;
    let unknown = (0..10).map(|n| (n, Response::Unknown));
    assert_eq!(answers, unknown.collect::<Vec<_>>());
}

#[test]
fn read_that_waits_again_keeps_its_deadline() {
    let (mut cluster, leader, follower) = Cluster::settled(3, 1);
    let node = cluster.node(leader);
    node.step(read(1));
    outputs(node);
    for _ in 0..10 {
        node.step(Input::Tick);
    }
    // It waits for the next leader after a younger request.
    node.step(write(2));
    let term = node.status().ballot.term().0 + 1;
    node.step(from(follower, leader, term, Message::Outdated(Outdated)));
    let mut answered = Vec::new();
    for tick in 11..=210 {
        node.step(Input::Tick);
        answered.extend(outputs(node).1.into_iter().map(|answer| (tick, answer)));
    }
    let refused = || Response::Refused(Refusal::NoLeader);
    let expected = [(200, (1, refused())), (210, (2, refused()))];
    assert_eq!(answered, expected);
}

/// A read round of node 2, which has committed through an entry.
fn round(commit: EntryId) -> Input<Machine> {
    let id = RequestId {
        incarnation: Incarnation(99),
        counter: 1,
    };
    from(2, 1, 1, Message::Round(Round { id, commit }))
}

/// A follower with ten entries of its term, which a leader has committed.
fn lagging(limits: Limits) -> (Replica<Machine>, EntryId) {
    let id = |index| EntryId {
        term: Term(1),
        index: Index(index),
    };
    let payload = |n| raft_core::Payload::Command(Arc::new(n));
    let entry = |n| raft_core::Entry {
        id: id(n),
        payload: payload(n),
    };
    let node = Replica::restore(Restored {
        id: NodeId(1),
        membership: Membership::of((1..=3).map(NodeId)),
        config: Config { limits, ..config() },
        ballot: Ballot::new(Term(1), None),
        snapshot: None,
        machine: Count(0),
        entries: (1..=10).map(entry).collect(),
        incarnation: Incarnation(1),
        seed: 1,
    });
    (node, id(10))
}

#[test]
fn one_output_applies_a_slice_and_reads_wait() {
    let (mut node, commit) = lagging(Limits {
        apply_entries: 3,
        ..Limits::default()
    });
    node.step(from(2, 1, 1, heartbeat(EntryId::default())));
    node.step(read(1));
    let asked = outputs(&mut node).0.into_iter();
    let id = asked.filter_map(|envelope| match envelope.message {
        Message::ReadIndex(ReadIndex { id }) => Some(id),
        _ => None,
    });
    let id = id.last().expect("a request for a read index");
    let reply = Message::ReadIndexReply(ReadIndexReply { id, commit });
    node.step(from(2, 1, 1, reply));
    for applied in [3, 6, 9, 10] {
        assert_eq!(node.status().commit, commit);
        let replies = node.output().release().replies;
        assert_eq!(node.status().applied, Index(applied));
        assert_eq!(replies.len(), usize::from(applied == 10));
    }
    assert_eq!(node.machine(), &Count(10));
}

#[test]
fn bytes_bound_a_slice_too() {
    let (mut node, commit) = lagging(Limits {
        apply_bytes: 1500,
        ..Limits::default()
    });
    node.step(round(commit));
    let _ = node.output();
    assert_eq!(node.status().applied, Index(2));
}

#[test]
fn full_log_takes_entries_that_replace_others_only() {
    let (mut node, last) = lagging(Limits {
        snapshot_entries: 5,
        retained_entries: 5,
        log_entries: 10,
        ..Limits::default()
    });
    let half = EntryId {
        index: Index(5),
        ..last
    };
    node.step(round(half));
    let task = node.output().release().task;
    assert!(matches!(task, Some(Task::Store(_))), "{task:?}");
    let entries = |first, count, term| {
        let id = |index| EntryId {
            term: Term(term),
            index: Index(index),
        };
        let payload = raft_core::Payload::Blank;
        let ids = (first..first + count).map(id);
        ids.map(|id| raft_core::Entry {
            id,
            payload: payload.clone(),
        })
        .collect::<Vec<_>>()
    };
    let append = |prev, entries| {
        let Message::Append(append) = heartbeat(prev) else {
            unreachable!("a heartbeat is an Append");
        };
        Message::Append(Append { entries, ..append })
    };
    node.step(from(2, 1, 1, append(last, entries(11, 2, 1))));
    assert_eq!(node.status().last, last);
    assert_eq!(node.status().counters.dropped.overflow, 1);
    // Another leader replaces the entries from 8 on.
    let prev = EntryId {
        term: Term(1),
        index: Index(7),
    };
    node.step(from(3, 1, 2, append(prev, entries(8, 5, 2))));
    let replaced = EntryId {
        term: Term(2),
        index: Index(10),
    };
    assert_eq!(node.status().last, replaced);
}

#[test]
fn lone_voters_read_right_after_a_write_sees_it() {
    let mut node = replica(1, 1, 0);
    outputs(&mut node);
    node.step(write(1));
    node.step(read(2));
    let expected = [(1, Response::Applied(1)), (2, Response::Answered(1))];
    assert_eq!(outputs(&mut node).1, expected);
}

/// A hung snapshot does no harm until the log is full, nor one that is slow.
#[test]
fn leader_whose_full_log_waits_for_a_hung_snapshot_steps_down() {
    let limits = Limits {
        snapshot_entries: 5,
        retained_entries: 5,
        log_entries: 10,
        ..Limits::default()
    };
    let mut node = Replica::restore(Restored {
        id: NodeId(1),
        membership: Membership::of([NodeId(1)]),
        config: Config { limits, ..config() },
        ballot: Ballot::default(),
        snapshot: None,
        machine: Count(0),
        entries: Vec::new(),
        incarnation: Incarnation(1),
        seed: 1,
    });
    let ticks = |node: &mut Replica<Machine>, moves: bool| {
        for _ in 0..=config().longest_election {
            if moves {
                node.step(Input::SnapshotMoved);
            }
            node.step(Input::Tick);
        }
        outputs(node);
        node.status().role
    };
    (1..=5).for_each(|ticket| node.step(write(ticket)));
    assert_eq!(outputs(&mut node).1.len(), 5);
    assert_eq!(ticks(&mut node, false), RoleName::Leader);
    (6..=9).for_each(|ticket| node.step(write(ticket)));
    assert_eq!(outputs(&mut node).1.len(), 4);
    assert_eq!(ticks(&mut node, true), RoleName::Leader);
    node.step(write(10));
    let full = Response::Refused(Refusal::Full);
    assert_eq!(outputs(&mut node).1, [(10, full)]);
    assert_eq!(ticks(&mut node, false), RoleName::Follower);
    assert_eq!(node.status().counters.disk_stalls, 1);
    assert!(node.status().is_disk_stalled);
    node.step(Input::SnapshotMoved);
    assert!(!node.status().is_disk_stalled);
}

#[test]
fn zero_limits_are_refused() {
    let wrong = [
        Limits {
            append_entries: 0,
            ..Limits::default()
        },
        Limits {
            inflight_appends: 0,
            ..Limits::default()
        },
        Limits {
            rounds: 0,
            ..Limits::default()
        },
    ];
    for limits in wrong {
        let config = Config { limits, ..config() };
        assert!(config.validate().is_err());
    }
    assert_eq!(config().validate(), Ok(()));
}

#[test]
fn fingerprint_changes_when_candidates_are_no_longer_refused() {
    let mut fresh = replica(1, 3, 0);
    fresh.step(from(2, 1, 5, heartbeat(EntryId::default())));
    outputs(&mut fresh);
    let mut later = fresh.clone();
    for _ in 0..config().shortest_election - 1 {
        later.step(Input::Tick);
    }
    assert_eq!(fresh.fingerprint(), later.fingerprint());
    later.step(Input::Tick);
    assert_eq!(later.status().role, RoleName::Follower);
    assert_ne!(fresh.fingerprint(), later.fingerprint());
    // Taking an empty output changes nothing.
    let before = later.fingerprint();
    assert!(later.output().is_empty());
    assert_eq!(later.fingerprint(), before);
}

/// A search must not take a node for an earlier one of itself: that one would give its ids again, while
/// messages with these ids are still under way.
#[test]
fn fingerprint_changes_with_each_request_id() {
    let mut fresh = replica(1, 3, 0);
    fresh.step(from(2, 1, 5, heartbeat(EntryId::default())));
    outputs(&mut fresh);
    let mut later = fresh.clone();
    let (ticket, query) = (Ticket(1), ());
    later.step(Input::Read { ticket, query });
    let (messages, _) = outputs(&mut later);
    let [
        Envelope {
            message: Message::ReadIndex(ReadIndex { id }),
            ..
        },
    ] = messages[..]
    else {
        panic!("{messages:?}");
    };
    let commit = EntryId::default();
    let reply = Message::ReadIndexReply(ReadIndexReply { id, commit });
    later.step(from(2, 1, 5, reply));
    assert_eq!(outputs(&mut later).1, [(1, Response::Answered(0))]);
    assert_ne!(fresh.fingerprint(), later.fingerprint());
}
