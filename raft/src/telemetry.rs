//! What a node lets people see: metrics for Prometheus, lines on stderr.

pub mod log;

use std::{sync::Arc, time::Duration};

use metrics::{Counter, Family, Histogram, Registry};
use raft_core::{Dropped, RoleName, StateMachine, Status};

use crate::{
    cell::Viewer,
    host::{Inbox, Outbox},
};

/// The bounds of the request latency histogram, in seconds: from a tenth of a millisecond to what
/// exceeds the deadline of any request.
const LATENCIES: [f64; 16] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
];

/// What is counted where it happens. What the core counts is read when somebody scrapes.
#[derive(Debug)]
pub struct Telemetry {
    registry: Arc<Registry>,
    received: Arc<Family<Counter, 1>>,
    sent: Arc<Family<Counter, 1>>,
    requests: Arc<Family<Counter, 2>>,
    latency: Arc<Family<Histogram, 1>>,
    lines: Arc<Family<Counter, 1>>,
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
        let counters = &status.counters;
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
