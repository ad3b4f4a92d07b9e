//! What a node lets people see: metrics for Prometheus, lines on stderr.

pub mod log;

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Family, Histogram, Registry};
use raft_core::{Dropped, RoleName, StateMachine, Status};

use crate::cell::Viewer;
use crate::host::{Inbox, Outbox};

/// The bounds of the request latency histogram, in seconds: from a tenth of a millisecond to what
/// exceeds the deadline of any request.
const LATENCIES: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// The bounds of the histogram of syncs, in seconds: from a fast disk to one that is about to fail.
const SYNCS: [f64; 12] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2.5,
];

/// The bounds of the histogram of work on snapshots, in seconds.
const WORK: [f64; 9] = [0.001, 0.005, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0, 60.0];

/// Work on a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// The node's own state was stored.
    Store,
    /// A leader's was.
    Install,
}

impl Work {
    const ALL: [Self; 2] = [Self::Store, Self::Install];

    fn as_str(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Install => "install",
        }
    }
}

/// What is counted where it happens. What the core counts is read when somebody scrapes.
#[derive(Debug)]
pub struct Telemetry {
    registry: Arc<Registry>,
    received: Arc<Family<Counter, 1>>,
    sent: Arc<Family<Counter, 1>>,
    requests: Arc<Family<Counter, 2>>,
    latency: Arc<Family<Histogram, 1>>,
    lines: Arc<Family<Counter, 1>>,
    syncs: Arc<Histogram>,
    wal: Arc<metrics::Gauge>,
    work: Arc<Family<Histogram, 1>>,
}

/// The closed sets of what a host names.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'a> {
    /// The types of messages in and out.
    pub messages: &'a [&'a str],
    /// The types of requests.
    pub requests: &'a [&'a str],
    /// What requests come to.
    pub results: &'a [&'a str],
    /// Why lines are dropped.
    pub reasons: &'a [&'a str],
}

impl Telemetry {
    /// Registers what the host counts.
    #[must_use]
    pub fn new(labels: Labels<'_>) -> Self {
        let registry = Arc::new(Registry::new());
        Self {
            received: registry.counter_family(
                "raft_messages_received_total",
                "Messages understood, from nodes and clients.",
                [("type", labels.messages)],
            ),
            sent: registry.counter_family(
                "raft_messages_sent_total",
                "Messages written, to nodes and clients.",
                [("type", labels.messages)],
            ),
            requests: registry.counter_family(
                "raft_requests_total",
                "Clients' requests answered, by what they came to.",
                [("type", labels.requests), ("result", labels.results)],
            ),
            latency: registry.histogram_family(
                "raft_request_seconds",
                "Time from a request's line being read to its answer being queued.",
                [("type", labels.requests)],
                &LATENCIES,
            ),
            lines: registry.counter_family(
                "raft_lines_dropped_total",
                "Lines of input that came to nothing.",
                [("reason", labels.reasons)],
            ),
            syncs: registry.histogram(
                "raft_wal_sync_seconds",
                "Time to write a batch to the log on disk and to sync it.",
                &SYNCS,
            ),
            wal: registry.gauge("raft_wal_bytes", "What the log takes on disk."),
            work: registry.histogram_family(
                "raft_snapshot_seconds",
                "Time to encode and store a snapshot, or to check, decode and store a leader's.",
                [("work", &Work::ALL.map(Work::as_str))],
                &WORK,
            ),
            registry,
        }
    }

    /// All metrics.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        self.registry.clone()
    }

    /// A message of this type was read.
    pub fn received(&self, kind: &str) {
        self.received.with([kind]).increment();
    }

    /// A message of this type is written.
    pub fn sent(&self, kind: &str) {
        self.sent.with([kind]).increment();
    }

    /// A request of this type was answered, with this result, after this time if it is known.
    pub fn answered(&self, kind: &str, result: &str, after: Option<Duration>) {
        self.requests.with([kind, result]).increment();
        if let Some(after) = after {
            self.latency.with([kind]).observe_duration(after);
        }
    }

    /// A line was dropped.
    pub fn dropped(&self, reason: &str) {
        self.lines.with([reason]).increment();
    }

    /// A batch was synced in this time, and the log takes so many bytes on disk.
    pub fn synced(&self, after: Duration, bytes: u64) {
        self.syncs.observe_duration(after);
        self.wal.set(gauge(bytes));
    }

    /// Work on a snapshot was finished in this time.
    pub fn archived(&self, work: Work, after: Duration) {
        self.work.with([work.as_str()]).observe_duration(after);
    }

    /// From now on, whoever scrapes sees this node and these queues.
    pub fn watch<S, A, M>(&self, viewer: Viewer<S>, inbox: Arc<Inbox<S, A>>, outbox: Arc<Outbox<M>>)
    where
        S: StateMachine<Command: Send + Sync, Query: Send, Answer: Send, Outcome: Send>
            + Send
            + 'static,
        A: Send + 'static,
        M: Send + 'static,
    {
        let state = State::new(&self.registry);
        let queues = Queues::new(&self.registry);
        self.registry.collector(move || {
            state.show(&viewer.status());
            queues.show(&inbox, &outbox);
        });
    }
}

/// What of a [`Status`] is shown.
struct State {
    role: Arc<Family<metrics::Gauge, 1>>,
    term: Arc<metrics::Gauge>,
    leader: Arc<metrics::Gauge>,
    last: Arc<metrics::Gauge>,
    commit: Arc<metrics::Gauge>,
    applied: Arc<metrics::Gauge>,
    open: Arc<metrics::Gauge>,
    waiting: Arc<metrics::Gauge>,
    proposals: Arc<metrics::Gauge>,
    log_bytes: Arc<metrics::Gauge>,
    base: Arc<metrics::Gauge>,
    snapshot: Arc<metrics::Gauge>,
    snapshot_bytes: Arc<metrics::Gauge>,
    transfers: Arc<metrics::Gauge>,
    snapshots: Arc<Family<Counter, 1>>,
    transfers_begun: Arc<Counter>,
    chunks_sent: Arc<Counter>,
    chunks_repeated: Arc<Counter>,
    pre_elections: Arc<Counter>,
    elections_started: Arc<Counter>,
    elections_won: Arc<Counter>,
    quorum_lost: Arc<Counter>,
    sticky_refusals: Arc<Counter>,
    appends_rejected: Arc<Counter>,
    appends_early: Arc<Counter>,
    entries_truncated: Arc<Counter>,
    dropped: Arc<Family<Counter, 1>>,
}

impl State {
    fn new(registry: &Registry) -> Self {
        let roles = RoleName::ALL.map(RoleName::as_str);
        let reasons = reasons(&Dropped::default()).map(|(reason, _)| reason);
        Self {
            role: registry.gauge_family(
                "raft_role",
                "1 for the role that the node has now, 0 for the others.",
                [("role", &roles)],
            ),
            term: registry.gauge("raft_term", "The current term."),
            leader: registry.gauge(
                "raft_leader",
                "Whom the node believes to lead now: the place among the sorted names, from 0; \
                 -1 if unknown.",
            ),
            last: registry.gauge("raft_last_index", "The last entry of the log."),
            commit: registry.gauge("raft_commit_index", "The last committed entry."),
            applied: registry.gauge("raft_applied_index", "The last applied entry."),
            open: registry.gauge(
                "raft_requests_open",
                "Clients' requests taken and not answered yet.",
            ),
            waiting: registry.gauge(
                "raft_requests_waiting",
                "Those of the open requests that wait for a leader to be known.",
            ),
            proposals: registry.gauge(
                "raft_proposals",
                "Commands appended as leader and not applied yet.",
            ),
            log_bytes: registry.gauge(
                "raft_log_bytes",
                "What the entries in memory take, roughly.",
            ),
            base: registry.gauge(
                "raft_base_index",
                "The entry before the first one in memory.",
            ),
            snapshot: registry.gauge(
                "raft_snapshot_index",
                "The last entry in the newest stored snapshot; 0 if there is none.",
            ),
            snapshot_bytes: registry.gauge(
                "raft_snapshot_bytes",
                "The length of the newest stored snapshot.",
            ),
            transfers: registry.gauge(
                "raft_transfers",
                "Followers to whom this leader sends a snapshot now.",
            ),
            snapshots: registry.counter_family(
                "raft_snapshots_total",
                "Snapshots that were stored, with which the log before them was dropped; leaders' \
                 that were installed, likewise; and leaders' that came broken.",
                [("result", &SNAPSHOTS)],
            ),
            transfers_begun: registry.counter(
                "raft_transfers_begun_total",
                "Transfers of snapshots to followers that were begun, or begun again with another.",
            ),
            chunks_sent: registry.counter(
                "raft_chunks_sent_total",
                "Chunks of snapshots sent to followers.",
            ),
            chunks_repeated: registry.counter(
                "raft_chunks_repeated_total",
                "Those of them that were sent again.",
            ),
            pre_elections: registry.counter("raft_pre_elections_total", "Pre-vote rounds begun."),
            elections_started: registry.counter(
                "raft_elections_started_total",
                "Elections begun, each with a new term.",
            ),
            elections_won: registry.counter("raft_elections_won_total", "Elections won."),
            quorum_lost: registry.counter(
                "raft_quorum_lost_total",
                "Leaderships given up because a quorum was silent.",
            ),
            sticky_refusals: registry.counter(
                "raft_sticky_refusals_total",
                "Votes refused because a leader was heard a moment ago.",
            ),
            appends_rejected: registry.counter(
                "raft_appends_rejected_total",
                "Appends of this leader that a follower could not fit to its log.",
            ),
            appends_early: registry.counter(
                "raft_appends_early_total",
                "Appends that overtook others and were kept for later.",
            ),
            entries_truncated: registry.counter(
                "raft_entries_truncated_total",
                "Entries dropped in favour of a leader's.",
            ),
            dropped: registry.counter_family(
                "raft_messages_dropped_total",
                "Messages that the core dropped.",
                [("reason", &reasons)],
            ),
        }
    }

    fn show(&self, status: &Status) {
        for role in RoleName::ALL {
            let is = i64::from(role == status.role);
            self.role.with([role.as_str()]).set(is);
        }
        self.term.set(gauge(status.ballot.term().0));
        self.leader.set(status.leader.map_or(-1, |id| gauge(id.0)));
        self.last.set(gauge(status.last.index.0));
        self.commit.set(gauge(status.commit.index.0));
        self.applied.set(gauge(status.applied.0));
        self.open.set(gauge(status.requests_open as u64));
        self.waiting.set(gauge(status.requests_waiting as u64));
        self.proposals.set(gauge(status.proposals as u64));
        self.log_bytes.set(gauge(status.log_bytes));
        self.base.set(gauge(status.base.index.0));
        let snapshot = status.snapshot.map(|id| (id.last.index.0, id.length));
        let (index, bytes) = snapshot.unwrap_or_default();
        self.snapshot.set(gauge(index));
        self.snapshot_bytes.set(gauge(bytes));
        self.transfers.set(gauge(status.transfers.len() as u64));
        let counters = &status.counters;
        let counts = [
            counters.snapshots_stored,
            counters.snapshots_installed,
            counters.snapshots_broken,
        ];
        for (result, count) in SNAPSHOTS.into_iter().zip(counts) {
            self.snapshots.with([result]).advance_to(count);
        }
        self.transfers_begun.advance_to(counters.transfers_begun);
        self.chunks_sent.advance_to(counters.chunks_sent);
        self.chunks_repeated.advance_to(counters.chunks_repeated);
        self.pre_elections.advance_to(counters.pre_elections);
        self.elections_started
            .advance_to(counters.elections_started);
        self.elections_won.advance_to(counters.elections_won);
        self.quorum_lost.advance_to(counters.quorum_lost);
        self.sticky_refusals.advance_to(counters.sticky_refusals);
        self.appends_rejected.advance_to(counters.appends_rejected);
        self.appends_early.advance_to(counters.appends_early);
        self.entries_truncated
            .advance_to(counters.entries_truncated);
        for (reason, count) in reasons(&counters.dropped) {
            self.dropped.with([reason]).advance_to(count);
        }
    }
}

const SNAPSHOTS: [&str; 3] = ["stored", "installed", "broken"];

/// What of the queues is shown.
struct Queues {
    depth: Arc<Family<metrics::Gauge, 1>>,
    dropped: Arc<Family<Counter, 1>>,
}

const QUEUES: [&str; 4] = [
    "inbox_peers",
    "inbox_clients",
    "outbox_peers",
    "outbox_clients",
];

impl Queues {
    fn new(registry: &Registry) -> Self {
        Self {
            depth: registry.gauge_family(
                "raft_queue_depth",
                "What waits to be stepped or written.",
                [("queue", &QUEUES)],
            ),
            dropped: registry.counter_family(
                "raft_queue_dropped_total",
                "What there was no room for. Requests among it were refused.",
                [("queue", &QUEUES)],
            ),
        }
    }

    fn show<S: StateMachine, A, M>(&self, inbox: &Inbox<S, A>, outbox: &Outbox<M>) {
        let (inbox, outbox) = (inbox.depths(), outbox.depths());
        let depths = [inbox.peers, inbox.clients, outbox.peers, outbox.clients];
        let dropped = [
            inbox.peers_dropped,
            inbox.clients_refused,
            outbox.peers_dropped,
            outbox.clients_dropped,
        ];
        for ((queue, depth), dropped) in QUEUES.into_iter().zip(depths).zip(dropped) {
            self.depth.with([queue]).set(gauge(depth as u64));
            self.dropped.with([queue]).advance_to(dropped);
        }
    }
}

/// Why the core dropped messages, and how many.
fn reasons(dropped: &Dropped) -> [(&'static str, u64); 7] {
    let Dropped {
        stranger,
        malformed,
        stale_term,
        stale_reply,
        repeated_forward,
        unexpected,
        overflow,
    } = *dropped;
    [
        ("stranger", stranger),
        ("malformed", malformed),
        ("stale_term", stale_term),
        ("stale_reply", stale_reply),
        ("repeated_forward", repeated_forward),
        ("unexpected", unexpected),
        ("overflow", overflow),
    ]
}

/// Nothing that is counted gets near the limit.
fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
