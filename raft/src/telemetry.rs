//! What a node shows to people: metrics for Prometheus, and log lines on stderr.

pub mod log;

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Family, Gauge, Histogram, Registry};
use raft_core::{Counters, Dropped, RoleName, StateMachine, Status};

use self::log::Log;
use crate::host::shared::Viewer;
use crate::host::{Depth, Depths, Inbox, LogWatch};
use crate::named::named;

/// The bounds of the histogram of requests, in seconds: from a tenth of a millisecond to more than
/// the deadline of any request.
const LATENCIES: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// The bounds of the histogram of syncs, in seconds: from a fast disk to a failing one.
const SYNCS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5,
];

/// The bounds of the histogram of work on snapshots, in seconds.
const WORK: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0];

/// The bounds of the histogram of the event loop's turns, in seconds.
const TURNS: [f64; 16] = [
    0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
    0.1, 0.25, 0.5, 1.0,
];

/// The name of a metric, its help and its value.
type Shown<N> = (&'static str, &'static str, N);

/// The gauges that show the replica's status.
#[rustfmt::skip]
fn gauges(status: &Status) -> [Shown<i64>; 13] {
    let snapshot = status.snapshot;
    [
        ("raft_term", "Current term.", gauge(status.ballot.term().0)),
        ("raft_leader", "Id of the current leader; -1 if unknown.",
            status.leader.map_or(-1, |id| gauge(id.0))),
        ("raft_last_index", "Index of the last entry in the log.",
            gauge(status.last.index.0)),
        ("raft_commit_index", "Index of the last committed entry.",
            gauge(status.commit.index.0)),
        ("raft_applied_index", "Index of the last applied entry.",
            gauge(status.applied.0)),
        ("raft_requests_open", "Clients' requests not answered yet.",
            gauge(status.requests_open as u64)),
        ("raft_requests_waiting", "Open requests that wait until a leader is known.",
            gauge(status.requests_waiting as u64)),
        ("raft_proposals", "Commands that this leader has appended and not applied yet.",
            gauge(status.proposals as u64)),
        ("raft_log_bytes", "Approximate size of the log entries in memory.",
            gauge(status.log_bytes)),
        ("raft_base_index", "Index of the entry before the first log entry in memory.",
            gauge(status.base.index.0)),
        ("raft_snapshot_index", "Index of the last entry in the newest stored snapshot; 0 if none.",
            snapshot.map_or(0, |id| gauge(id.last.index.0))),
        ("raft_snapshot_bytes", "Size of the newest stored snapshot.",
            snapshot.map_or(0, |id| gauge(id.length))),
        ("raft_snapshot_streams", "Followers to which this leader is sending a snapshot.",
            gauge(status.snapshot_streams.len() as u64)),
    ]
}

/// The counters of the core.
struct CoreCounters {
    single: [Shown<u64>; 16],
    /// The results of snapshots.
    snapshots: [(&'static str, u64); 4],
    /// The reasons why the core drops messages.
    dropped: [(&'static str, u64); 7],
}

impl CoreCounters {
    /// Names every counter, so that the compiler finds a new one.
    #[rustfmt::skip]
    fn of(counters: &Counters) -> Self {
        let Counters {
            pre_elections, elections_started, elections_won, quorum_lost, disk_stalls,
            handovers, handovers_declined, handovers_expired, sticky_refusals,
            appends_rejected, appends_early, entries_truncated,
            snapshots_stored, snapshots_installed, snapshots_broken, snapshots_refused,
            snapshot_streams_begun, chunks_sent, chunks_repeated,
            streams_restarted: _, forwards_repeated, dropped,
        } = counters;
        let Dropped {
            stranger, malformed, stale_term, stale_reply, repeated_forward, unexpected, overflow,
        } = dropped;
        Self {
            single: [
                ("raft_snapshot_streams_begun_total",
                    "Snapshots that this leader began to send to a follower.",
                    *snapshot_streams_begun),
                ("raft_chunks_sent_total", "Chunks of snapshots sent to followers.", *chunks_sent),
                ("raft_chunks_repeated_total", "Chunks of snapshots sent again.", *chunks_repeated),
                ("raft_pre_elections_total", "Pre-vote rounds begun.", *pre_elections),
                ("raft_elections_started_total", "Elections begun, each with a new term.",
                    *elections_started),
                ("raft_elections_won_total", "Elections won.", *elections_won),
                ("raft_quorum_lost_total",
                    "Times that a leader stepped down because a quorum was silent.", *quorum_lost),
                ("raft_disk_stalls_total",
                    "Times that a leader stepped down because its disk stored nothing, with no successor.",
                    *disk_stalls),
                ("raft_handovers_total", "Leadership transfers that this leader began.", *handovers),
                ("raft_handovers_declined_total",
                    "Leadership transfers that ended because the target could not campaign.",
                    *handovers_declined),
                ("raft_handovers_expired_total", "Leadership transfers that ended at their deadline.",
                    *handovers_expired),
                ("raft_sticky_refusals_total", "Votes refused because a leader was active.",
                    *sticky_refusals),
                ("raft_appends_rejected_total",
                    "AppendEntries of this leader rejected because the follower's log did not match.",
                    *appends_rejected),
                ("raft_appends_early_total",
                    "AppendEntries that arrived before earlier ones and were kept.", *appends_early),
                ("raft_entries_truncated_total", "Log entries replaced by a leader's conflicting entries.",
                    *entries_truncated),
                ("raft_forwards_repeated_total", "Clients' writes sent to a leader again.",
                    *forwards_repeated),
            ],
            snapshots: [
                ("stored", *snapshots_stored),
                ("installed", *snapshots_installed),
                ("broken", *snapshots_broken),
                ("refused", *snapshots_refused),
            ],
            dropped: [
                ("stranger", *stranger),
                ("malformed", *malformed),
                ("stale_term", *stale_term),
                ("stale_reply", *stale_reply),
                ("repeated_forward", *repeated_forward),
                ("unexpected", *unexpected),
                ("overflow", *overflow),
            ],
        }
    }
}

named! {
    /// A queue.
    enum Queue {
        InboxPeers as "inbox_peers",
        InboxClients as "inbox_clients",
        OutboxPeers as "outbox_peers",
        OutboxClients as "outbox_clients",
        Stderr as "stderr",
        Log as "log",
    }
}

named! {
    /// Work on a snapshot.
    pub enum SnapshotWork {
        /// Encoding and storing the node's own state.
        Store as "store",
        /// Checking, decoding and storing a leader's snapshot.
        Install as "install",
    }
}

/// The metrics of a node. The core's own counters are read when a client scrapes.
#[derive(Debug)]
pub struct Telemetry {
    pub(crate) registry: Arc<Registry>,
    received: Arc<Family<Counter, 1>>,
    sent: Arc<Family<Counter, 1>>,
    requests: Arc<Family<Counter, 2>>,
    latency: Arc<Family<Histogram, 1>>,
    lines: Arc<Family<Counter, 1>>,
    /// Messages to nodes whose address is not known.
    pub(crate) unaddressed: Arc<Counter>,
    syncs: Arc<Histogram>,
    wal: Arc<Gauge>,
    work: Arc<Family<Histogram, 1>>,
    /// The turns of the event loop.
    pub(crate) turns: Arc<Histogram>,
    queues: Queues,
}

/// The values of the labels that the front end defines.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// The types of messages in both directions.
    pub messages: &'a [&'a str],
    /// The types of requests.
    pub requests: &'a [&'a str],
    /// The results of requests.
    pub results: &'a [&'a str],
    /// The reasons why lines are dropped.
    pub reasons: &'a [&'a str],
}

impl Telemetry {
    /// Registers all metrics but those of the replica.
    #[must_use]
    pub fn new(labels: Labels<'_>) -> Self {
        let registry = Arc::new(Registry::new());
        Self {
            received: registry.counter_family(
                "raft_messages_received_total",
                "Valid messages received from nodes and clients.",
                [("type", labels.messages)],
            ),
            sent: registry.counter_family(
                "raft_messages_sent_total",
                "Messages written to nodes and clients.",
                [("type", labels.messages)],
            ),
            requests: registry.counter_family(
                "raft_requests_total",
                "Clients' requests answered, by result.",
                [("type", labels.requests), ("result", labels.results)],
            ),
            latency: registry.histogram_family(
                "raft_request_seconds",
                "Time from reading a request to queueing its answer.",
                [("type", labels.requests)],
                &LATENCIES,
            ),
            lines: registry.counter_family(
                "raft_lines_dropped_total",
                "Input lines dropped.",
                [("reason", labels.reasons)],
            ),
            unaddressed: registry.counter(
                "raft_messages_unaddressed_total",
                "Messages dropped because the address of their receiver is not known.",
            ),
            syncs: registry.histogram(
                "raft_wal_sync_seconds",
                "Time to write and sync a batch of the log.",
                &SYNCS,
            ),
            wal: registry.gauge("raft_wal_bytes", "Size of the log on disk."),
            work: registry.histogram_family(
                "raft_snapshot_seconds",
                "Time to store a snapshot of this node's state, or to install a leader's.",
                [("work", &SnapshotWork::ALL.map(SnapshotWork::as_str))],
                &WORK,
            ),
            turns: registry.histogram(
                "raft_loop_turn_seconds",
                "Time of a turn of the event loop, from its inputs to its outputs.",
                &TURNS,
            ),
            queues: Queues {
                depth: registry.gauge_family(
                    "raft_queue_depth",
                    "Length of a queue.",
                    [("queue", &Queue::ALL.map(Queue::as_str))],
                ),
                dropped: registry.counter_family(
                    "raft_queue_dropped_total",
                    "Items dropped because a queue was full. Requests among them were refused.",
                    [("queue", &Queue::ALL.map(Queue::as_str))],
                ),
            },
            registry,
        }
    }

    /// Counts a received message of this type.
    pub fn received(&self, kind: &str) {
        self.received.with([kind]).increment();
    }

    /// Counts a sent message of this type.
    pub fn sent(&self, kind: &str) {
        self.sent.with([kind]).increment();
    }

    /// Counts an answered request, with its latency if that is known.
    pub fn answered(&self, kind: &str, result: &str, after: Option<Duration>) {
        self.requests.with([kind, result]).increment();
        if let Some(after) = after {
            self.latency.with([kind]).observe_duration(after);
        }
    }

    /// Counts a dropped line.
    pub fn dropped(&self, reason: &str) {
        self.lines.with([reason]).increment();
    }

    /// Counts a sync, and sets the size of the log on disk.
    pub fn synced(&self, after: Duration, bytes: u64) {
        self.syncs.observe_duration(after);
        self.set_wal_bytes(bytes);
    }

    /// Sets the size of the log on disk.
    pub fn set_wal_bytes(&self, bytes: u64) {
        self.wal.set(gauge(bytes));
    }

    /// Counts finished work on a snapshot.
    pub fn snapshot_finished(&self, work: SnapshotWork, after: Duration) {
        self.work.with([work.as_str()]).observe_duration(after);
    }

    /// Shows this replica and its inbox from now on.
    pub fn watch<S, R>(&self, viewer: Viewer<S>, inbox: Arc<Inbox<S, R>>, log: LogWatch<S>)
    where
        S: StateMachine<Command: Send + Sync, Query: Send, Answer: Send, Outcome: Send>
            + Send
            + 'static,
        R: Send + 'static,
    {
        /// How long a scrape waits for the end of a step. Then it shows the state of the last one.
        const PATIENCE: Duration = Duration::from_millis(100);
        let status = viewer.status_within(Duration::MAX);
        let show = replica_metrics(&self.registry, &status.expect("it waits for a status"));
        let queues = self.queues.clone();
        let (turns, log) = (inbox.clone(), Arc::new(log));
        let stalled = log.clone();
        self.registry.gauge_of(
            "raft_loop_stalled_seconds",
            "Time since the event loop's present turn began; 0 while it waits for input.",
            move || turns.turn().as_secs_f64(),
        );
        self.registry.gauge_of(
            "raft_log_stalled_seconds",
            "Time for which the disk has stored nothing of the log although something waited.",
            move || stalled.stalled().as_secs_f64(),
        );
        self.registry.collector(move || {
            if let Some(status) = viewer.status_within(PATIENCE) {
                show(&status);
            }
            queues.show(Queue::Log, log.depth());
            let depths = inbox.depths();
            queues.show(Queue::InboxPeers, depths.peers);
            queues.show(Queue::InboxClients, depths.clients);
        });
    }

    /// Shows the queue of this log from now on.
    pub fn watch_log(&self, log: Log) {
        let queues = self.queues.clone();
        self.registry
            .collector(move || queues.show(Queue::Stderr, log.depth()));
    }

    /// Shows the state of the outbox from now on; of several, their sum.
    pub fn watch_outbox(&self, depths: impl Fn() -> Depths + Send + Sync + 'static) {
        let queues = self.queues.clone();
        self.registry.collector(move || {
            let depths = depths();
            queues.show(Queue::OutboxPeers, depths.peers);
            queues.show(Queue::OutboxClients, depths.clients);
        });
    }
}

/// Registers the metrics of a replica with this status. Returns what shows another status in them.
fn replica_metrics(registry: &Registry, status: &Status) -> impl Fn(&Status) + use<> {
    let roles = registry.gauge_family(
        "raft_role",
        "1 for the current role, 0 for the others.",
        [("role", &RoleName::ALL.map(RoleName::as_str))],
    );
    let shown = gauges(status).map(|(name, help, _)| registry.gauge(name, help));
    let counted = CoreCounters::of(&status.counters);
    let counters = (counted.single).map(|(name, help, _)| registry.counter(name, help));
    let snapshots = registry.counter_family(
        "raft_snapshots_total",
        "Snapshots: stored of this node's state, installed from a leader, or received broken.",
        [("result", &counted.snapshots.map(|(result, _)| result))],
    );
    let dropped = registry.counter_family(
        "raft_messages_dropped_total",
        "Messages of peers that the Raft core dropped, by reason.",
        [("reason", &counted.dropped.map(|(reason, _)| reason))],
    );
    move |status| {
        for role in RoleName::ALL {
            let is = i64::from(role == status.role);
            roles.with([role.as_str()]).set(is);
        }
        for (gauge, (_, _, value)) in shown.iter().zip(gauges(status)) {
            gauge.set(value);
        }
        let counted = CoreCounters::of(&status.counters);
        for (counter, (_, _, value)) in counters.iter().zip(counted.single) {
            counter.advance_to(value);
        }
        for (result, value) in counted.snapshots {
            snapshots.with([result]).advance_to(value);
        }
        for (reason, value) in counted.dropped {
            dropped.with([reason]).advance_to(value);
        }
    }
}

/// The metrics of the queues.
#[derive(Clone, Debug)]
struct Queues {
    depth: Arc<Family<Gauge, 1>>,
    dropped: Arc<Family<Counter, 1>>,
}

impl Queues {
    fn show(&self, queue: Queue, depth: Depth) {
        let queue = queue.as_str();
        self.depth.with([queue]).set(gauge(depth.length as u64));
        self.dropped.with([queue]).advance_to(depth.dropped);
    }
}

/// No real value comes near the limit.
fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
