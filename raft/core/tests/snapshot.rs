//! Bounds on the cost of compaction and snapshots. Time is ticks; every test is deterministic.

mod count;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;

use count::Count;
use raft_core::{
    Ballot, Config, Envelope, Forward, Incarnation, Index, Input, Limits, Membership, Message,
    NodeId, Record, Refusal, Replica, RequestId, Response, Restored, SnapshotChunk, SnapshotId,
    SnapshotToInstall, SnapshotToStore, Status, Task, Ticket, Wal,
};

/// Each command takes about 100 bytes. The snapshot is large nevertheless.
type Machine = Count<100>;

/// The length of a snapshot, in bytes.
const LENGTH: usize = 10_000;

/// The chunks that may be in flight to a follower.
const WINDOW: u64 = 4;

/// A disk whose snapshots stay open, so that each can be read to its end.
#[derive(Default)]
struct Disk(HashMap<SnapshotId, Vec<u8>>);

impl Disk {
    fn store(&mut self, capture: &SnapshotToStore<Machine>) -> SnapshotId {
        let count = capture.machine.0.to_le_bytes();
        let bytes: Vec<u8> = count.iter().copied().cycle().take(LENGTH).collect();
        let id = SnapshotId {
            last: capture.last,
            length: LENGTH as u64,
            crc: capture.machine.0 as u32,
        };
        self.0.insert(id, bytes);
        id
    }
}

impl Wal<u64> for Disk {
    type Error = Infallible;

    fn append_and_sync(&mut self, _: &[Record<u64>]) -> Result<(), Infallible> {
        Ok(())
    }
}

struct Cluster {
    nodes: BTreeMap<u64, (Replica<Machine>, Disk)>,
    /// Messages in flight, each with its time of arrival; all have the same latency.
    network: VecDeque<(u64, Envelope<Machine>)>,
    latency: u64,
    now: u64,
    /// The isolated node, if any: all messages from and to it are lost.
    isolated: Option<u64>,
    /// One message in this many is lost.
    lose_every: Option<u64>,
    sent: u64,
    tickets: u64,
    /// The answers to clients.
    replies: Vec<(Ticket, Response<Machine>)>,
    /// The number of chunks with data that were sent.
    chunks: u64,
    /// The bytes in those chunks.
    chunk_bytes: u64,
}

impl Cluster {
    fn new(limits: &Limits, latency: u64) -> Self {
        let node = |id: u64| {
            let replica = Replica::restore(Restored {
                id: NodeId(id),
                membership: Membership::of((1..=3).map(NodeId)),
                config: Config {
                    heartbeat: 10,
                    shortest_election: 50,
                    longest_election: 100,
                    request_deadline: 200,
                    change_deadline: 1000,
                    limits: limits.clone(),
                },
                ballot: Ballot::default(),
                snapshot: None,
                machine: Count(0),
                entries: Vec::new(),
                incarnation: Incarnation(id),
                seed: id,
            });
            (id, (replica, Disk::default()))
        };
        Self {
            nodes: (1..=3).map(node).collect(),
            network: VecDeque::new(),
            latency,
            now: 0,
            isolated: None,
            lose_every: None,
            sent: 0,
            tickets: 0,
            replies: Vec::new(),
            chunks: 0,
            chunk_bytes: 0,
        }
    }

    fn status(&self, id: u64) -> Status {
        self.nodes[&id].0.status()
    }

    fn step(&mut self, id: u64, input: Input<Machine>) {
        let (replica, _) = self.nodes.get_mut(&id).expect("a node");
        replica.step(input);
    }

    /// Handles all outputs of a node. Snapshots are stored at once.
    fn settle(&mut self, id: u64) {
        let (replica, disk) = self.nodes.get_mut(&id).expect("a node");
        let mut messages = Vec::new();
        loop {
            let persisted = replica.persisted();
            let mut output = replica.output();
            if output.is_empty() {
                break;
            }
            let released = output.release();
            messages.extend(released.messages);
            let replies = released.replies.into_iter();
            self.replies.extend(replies.map(|r| (r.ticket, r.response)));
            messages.extend(released.chunks.into_iter().filter_map(|chunk| {
                let start = chunk.offset as usize;
                let bytes = &disk.0.get(&chunk.snapshot)?[start..start + chunk.length];
                Some(chunk.message(bytes.to_vec()))
            }));
            let Ok((durable, _)) = output.persist(persisted, disk);
            let (late, synced) = durable.finish();
            messages.extend(late);
            replica.step(Input::Synced(synced));
            match released.task {
                Some(Task::Store(capture)) => {
                    let id = disk.store(&capture);
                    replica.step(Input::SnapshotStored(id));
                }
                Some(Task::Install(SnapshotToInstall { id, bytes })) => {
                    let (count, _) = bytes.split_first_chunk().expect("eight bytes");
                    let machine = Count(u64::from_le_bytes(*count));
                    disk.0.insert(id, bytes);
                    replica.step(Input::SnapshotInstalled {
                        snapshot: id,
                        membership: Membership::of((1..=3).map(NodeId)),
                        machine,
                    });
                }
                None => {}
            }
        }
        for envelope in messages {
            self.send(envelope);
        }
    }

    fn send(&mut self, envelope: Envelope<Machine>) {
        self.sent += 1;
        if let Message::SnapshotChunk(SnapshotChunk { data, .. }) = &envelope.message
            && !data.is_empty()
        {
            self.chunks += 1;
            self.chunk_bytes += data.len() as u64;
        }
        let ends = [envelope.from.0, envelope.to.0];
        let is_lost = self
            .lose_every
            .is_some_and(|every| self.sent.is_multiple_of(every));
        if !is_lost
            && !self
                .isolated
                .is_some_and(|isolated| ends.contains(&isolated))
        {
            self.network.push_back((self.now + self.latency, envelope));
        }
    }

    /// Lets a tick pass, with `writes` writes at node 1.
    fn tick(&mut self, writes: u64) {
        while let Some((at, _)) = self.network.front()
            && *at <= self.now
            && let Some((_, envelope)) = self.network.pop_front()
        {
            let to = envelope.to.0;
            self.step(to, Input::Receive(envelope));
            self.settle(to);
        }
        for _ in 0..writes {
            self.tickets += 1;
            let ticket = Ticket(self.tickets);
            self.step(1, Input::Write { ticket, command: 1 });
        }
        for id in 1..=3 {
            self.step(id, Input::Tick);
            self.settle(id);
        }
        self.now += 1;
    }

    fn ticks(&mut self, count: u64, writes: u64) {
        (0..count).for_each(|_| self.tick(writes));
    }
}

fn limits() -> Limits {
    Limits {
        snapshot_entries: 1_000,
        trailing_entries: 100,
        retained_entries: 20_000,
        chunk_bytes: 100,
        inflight_chunks: WINDOW as usize,
        ..Limits::default()
    }
}

#[test]
fn log_stays_within_its_limit() {
    let mut cluster = Cluster::new(&limits(), 2);
    cluster.ticks(100, 0);
    assert_eq!(cluster.status(1).leader, Some(NodeId(1)));
    for _ in 0..1_000 {
        cluster.tick(20);
        for id in 1..=3 {
            let status = cluster.status(id);
            // Entries until a snapshot is due, trailing entries, and entries in flight.
            let length = status.last.index.0 - status.base.index.0;
            assert!(length <= 1_000 + 100 + 200, "{length} entries");
            assert!(status.log_bytes <= (1_000 + 100 + 200) * 132);
        }
    }
    assert_eq!(cluster.chunks, 0);
    assert!(cluster.status(1).counters.snapshots_stored >= 19);
}

/// A hundred chunks while writes go on: the leader's next snapshots wait until the
/// follower has installed one and has caught up with entries.
#[test]
fn returned_follower_needs_one_snapshot_under_load() {
    let mut cluster = Cluster::new(&limits(), 2);
    cluster.ticks(100, 0);
    cluster.isolated = Some(3);
    cluster.ticks(200, 50);
    assert!(cluster.status(1).base.index > Index(8_000));
    let begun = cluster.status(1).counters.snapshot_streams_begun;
    cluster.isolated = None;
    cluster.lose_every = Some(5);
    let mut longest = 0;
    for _ in 0..3_000 {
        cluster.tick(5);
        let status = cluster.status(1);
        longest = longest.max(status.last.index.0 - status.base.index.0);
    }
    let (leader, follower) = (cluster.status(1), cluster.status(3));
    assert_eq!(follower.counters.snapshots_installed, 1);
    // At the follower's return, the leader may be about to take the needed snapshot.
    assert!(leader.counters.snapshot_streams_begun <= begun + 1);
    assert!(follower.applied.0 + 1_000 > leader.applied.0);
    assert!(follower.applied.0 > 20_000);
    assert!(leader.counters.chunks_repeated > 0);
    // The leader's log grew while it waited for the follower, but not to its limit.
    assert!(
        (1_000 + 100 + 100..20_000).contains(&longest),
        "{longest} entries"
    );
    assert!(leader.last.index.0 - leader.base.index.0 < 1_300);
}

#[test]
fn node_replaces_its_damaged_snapshot() {
    let mut cluster = Cluster::new(&limits(), 2);
    cluster.ticks(100, 0);
    cluster.ticks(100, 50);
    let (stored, snapshot) = {
        let status = cluster.status(1);
        let snapshot = status.snapshot.expect("a snapshot");
        (status.counters.snapshots_stored, snapshot)
    };
    let mut older = snapshot;
    older.last.index = Index(1);
    for (damaged, new) in [(older, 0), (snapshot, 1)] {
        cluster.step(1, Input::SnapshotDamaged(damaged));
        cluster.settle(1);
        let counters = cluster.status(1).counters;
        assert_eq!(counters.snapshots_stored, stored + new);
    }
    assert_ne!(cluster.status(1).snapshot, Some(snapshot));
}

/// The answers to as many requests for a snapshot at once.
fn take_snapshots(cluster: &mut Cluster, id: u64, requests: u64) -> Vec<Response<Machine>> {
    let tickets = || (0..requests).map(|request| Ticket(1 << 40 | request));
    cluster.replies.clear();
    tickets().for_each(|ticket| cluster.step(id, Input::TakeSnapshot { ticket }));
    cluster.settle(id);
    let answer = |ticket| {
        let reply = cluster.replies.iter().find(|reply| reply.0 == ticket);
        reply.expect("an answer").1.clone()
    };
    tickets().map(answer).collect()
}

#[test]
fn client_asks_for_a_snapshot() {
    let mut cluster = Cluster::new(&limits(), 2);
    let none = Response::Refused(Refusal::NoSnapshot);
    let answers = take_snapshots(&mut cluster, 1, 1);
    assert_eq!(answers.first(), Some(&none), "nothing is applied");
    cluster.ticks(100, 1);
    for id in [1, 2] {
        let before = cluster.status(id);
        assert_eq!(before.snapshot, None);
        let stored = Response::SnapshotStored(before.applied);
        // While one is under way there is no other.
        let answers = take_snapshots(&mut cluster, id, 2);
        assert_eq!(answers, [stored.clone(), none.clone()]);
        let after = cluster.status(id);
        let last = after.snapshot.map(|snapshot| snapshot.last.index);
        assert_eq!(last, Some(before.applied));
        // Nothing was applied since.
        assert_eq!(take_snapshots(&mut cluster, id, 1), [stored]);
        assert_eq!(cluster.status(id).counters, after.counters);
    }
    let before = cluster.status(1);
    cluster.ticks(20, 1);
    let answers = take_snapshots(&mut cluster, 1, 1);
    assert!(
        matches!(answers[..], [Response::SnapshotStored(index)] if index > before.applied),
        "{answers:?}"
    );
}

#[test]
fn client_gets_no_snapshot_while_a_follower_needs_the_log() {
    let limits = Limits {
        snapshot_entries: 10_000,
        ..limits()
    };
    let mut cluster = Cluster::new(&limits, 2);
    cluster.ticks(100, 0);
    cluster.isolated = Some(3);
    cluster.ticks(20, 50);
    let none = Response::Refused(Refusal::NoSnapshot);
    assert_eq!(take_snapshots(&mut cluster, 1, 1), [none]);
    // It does not answer for so long that nothing waits for it.
    cluster.ticks(200, 0);
    let answers = take_snapshots(&mut cluster, 1, 1);
    assert!(matches!(answers[..], [Response::SnapshotStored(_)]));
}

/// A deposed leader never applies the entries that a snapshot brings. It forgets what it proposed
/// for other nodes there.
#[test]
fn proposals_that_a_snapshot_skips_are_forgotten() {
    let mut cluster = Cluster::new(&limits(), 2);
    cluster.ticks(100, 0);
    assert_eq!(cluster.status(1).leader, Some(NodeId(1)));
    cluster.isolated = Some(1);
    let forward = Message::Forward(Forward {
        id: RequestId {
            incarnation: Incarnation(2),
            counter: 1_000,
        },
        command: 1.into(),
    });
    let envelope = Envelope {
        from: NodeId(2),
        to: NodeId(1),
        term: cluster.status(1).ballot.term(),
        message: forward,
    };
    cluster.step(1, Input::Receive(envelope));
    cluster.settle(1);
    assert_eq!(cluster.status(1).proposals, 1);
    for ticket in 0..2_000 {
        let (ticket, command) = (Ticket(ticket), 1);
        cluster.step(2, Input::Write { ticket, command });
        cluster.ticks(1, 0);
    }
    cluster.isolated = None;
    cluster.ticks(500, 0);
    assert_eq!(cluster.status(1).counters.snapshots_installed, 1);
    assert_eq!(cluster.status(1).proposals, 0);
}

/// A follower that is slower than the load gets a snapshot to its end, though the leader has stored
/// newer ones by then. The leader's log does not grow beyond its limit.
#[test]
fn slow_follower_gets_a_snapshot_to_its_end_under_load() {
    let limits = Limits {
        retained_entries: 3_000,
        chunk_bytes: 10,
        ..limits()
    };
    let mut cluster = Cluster::new(&limits, 2);
    cluster.ticks(100, 0);
    cluster.isolated = Some(3);
    cluster.ticks(100, 50);
    cluster.isolated = None;
    let (begun, stored) = {
        let counters = cluster.status(1).counters;
        (counters.snapshot_streams_begun, counters.snapshots_stored)
    };
    for _ in 0..1_500 {
        cluster.tick(50);
        let status = cluster.status(1);
        let length = status.last.index.0 - status.base.index.0;
        assert!(length <= 3_000 + 100 + 500, "{length} entries");
    }
    let counters = cluster.status(1).counters;
    assert!(counters.snapshots_stored > stored + 20);
    assert!(counters.snapshot_streams_begun <= begun + 2);
    assert_eq!(cluster.status(3).counters.snapshots_installed, 1);
    // Without load, the follower catches up.
    cluster.ticks(10_000, 0);
    assert_eq!(cluster.status(3).applied, cluster.status(1).applied);
}

/// A dead follower costs no chunks with data beyond a window.
#[test]
fn follower_that_dies_mid_snapshot_costs_empty_messages() {
    let mut cluster = Cluster::new(&limits(), 2);
    cluster.ticks(100, 0);
    cluster.isolated = Some(3);
    cluster.ticks(100, 50);
    cluster.isolated = None;
    cluster.ticks(60, 0);
    assert!(cluster.status(3).incoming_snapshot.is_some());
    cluster.isolated = Some(3);
    let (chunks, bytes) = (cluster.chunks, cluster.chunk_bytes);
    cluster.ticks(1_000, 0);
    assert!(cluster.chunks - chunks <= WINDOW);
    assert!(cluster.chunk_bytes - bytes <= WINDOW * 100);
    // A newer snapshot causes no more chunks either.
    cluster.ticks(100, 50);
    assert!(cluster.status(1).counters.snapshot_streams_begun > 3);
    assert!(cluster.chunks - chunks <= WINDOW);
    cluster.isolated = None;
    cluster.ticks(1_000, 0);
    assert_eq!(cluster.status(3).applied, cluster.status(1).applied);
}
