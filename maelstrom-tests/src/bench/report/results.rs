//! What a run came to, as `results.json`. The names in here are a promise: other programs read
//! them.
//!
//! Times are in milliseconds unless a name says otherwise, counts are since the first request, and
//! what is not known is absent.

use std::time::Duration;

use super::statistics::{Function, Latencies, Outcomes, Statistics};
use crate::bench::error::BenchError;
use crate::bench::network::{Millionths, Node};
use crate::bench::options::Options;
use crate::bench::processes::program::NodeChoice;
use crate::bench::router::Finished;
use crate::check::{Status, some_of};
use crate::linearizability::{Analysis, Verdict};

json::record! {
    /// The whole of `results.json`.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Results {
        /// `valid`, `invalid`, `unknown` or `broken`.
        pub verdict: String,
        /// Why it is not valid.
        pub reason: Option<String>,
        /// The arguments that repeat the run, beginning with `test`.
        pub command: String,
        /// What decided workload, faults and latencies.
        pub seed: u64,
        /// What the nodes ran: a path, or `builtin` and a name.
        pub node: String,
        /// `--node-count`.
        pub node_count: usize,
        /// How many clients there were.
        pub concurrency: usize,
        /// `--rate`; 0 is as fast as possible.
        pub rate: f64,
        /// `--time-limit`, in seconds.
        pub time_limit_s: f64,
        /// `--latency`.
        pub latency_ms: f64,
        /// `--latency-dist`.
        pub latency_dist: String,
        /// `--loss`.
        pub loss: f64,
        /// `--duplicate`.
        pub duplicate: f64,
        /// `--nemesis`, one by one.
        pub nemesis: Vec<String>,
        /// `--nemesis-interval`, in seconds.
        pub nemesis_interval_s: f64,
        /// From the first request to the last answer, in seconds.
        pub duration_s: f64,
        /// Requests that came to an end, by `duration_s`.
        pub requests_per_s: f64,
        /// What the checker says.
        pub linearizable: Linearizable,
        /// How much was ok.
        pub availability: Availability,
        /// How the operations ended.
        pub operations: Operations,
        /// When requests timed out.
        pub timeouts: Timeouts,
        /// Answers that came after their request had timed out.
        pub late_answers: u64,
        /// From the first request to the first ok.
        pub first_ok_ms: Option<f64>,
        /// Latencies of ok answers; there is a row for each node and function that had one.
        pub latencies: Vec<Latency>,
        /// Messages.
        pub messages: Messages,
        /// Elections, if the nodes' messages tell of them.
        pub elections: Option<Elections>,
        /// The faults, in their order.
        pub faults: Vec<Fault>,
    }
}

json::record! {
    /// What the checker says.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Linearizable {
        /// `valid`, `invalid`, `unknown` or `broken` (there was nothing to check).
        pub verdict: String,
        /// How many keys there were.
        pub keys: usize,
        /// How many operations there were.
        pub operations: usize,
        /// The keys that are not linearizable, or could not be decided, as JSON texts.
        pub offending_keys: Vec<String>,
        /// How long the check took.
        pub check_ms: f64,
    }
}

json::record! {
    /// How much was ok. A cas that finds another value counts against it.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Availability {
        /// The share of the ended operations that were ok.
        pub ok_fraction: Option<f64>,
        /// The share that was demanded.
        pub required: Option<f64>,
    }
}

json::record! {
    /// How operations ended, by function.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Operations {
        /// All together.
        pub all: Counts,
        /// Reads.
        pub read: Counts,
        /// Writes.
        pub write: Counts,
        /// Compare-and-sets.
        pub cas: Counts,
    }
}

json::record! {
    /// How operations ended.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Counts {
        /// Answered as asked.
        pub ok: u64,
        /// Surely without effect.
        pub fail: u64,
        /// With or without effect.
        pub info: u64,
        /// The errors behind fail and info.
        pub errors: Vec<ErrorCount>,
    }
}

json::record! {
    /// How often there was an error.
    #[derive(Debug, Clone, PartialEq)]
    pub struct ErrorCount {
        /// Its code; 0 is a time-out.
        pub code: u64,
        /// How often.
        pub count: u64,
    }
}

json::record! {
    /// When requests timed out.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Timeouts {
        /// Those that were made before anything was ok, when there was no leader yet.
        pub before_first_ok: u64,
        /// Those that were made after that.
        pub after_first_ok: u64,
    }
}

json::record! {
    /// Latencies of ok answers.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Latency {
        /// Whom was asked: `n0`, ..., or `all`.
        pub node: String,
        /// What was asked: `read`, `write`, `cas`, `update` (write and cas together) or `all`.
        pub f: String,
        /// How many answers.
        pub count: usize,
        /// Half of them took no longer.
        pub p50_ms: f64,
        /// 95 of 100 took no longer.
        pub p95_ms: f64,
        /// 99 of 100 took no longer.
        pub p99_ms: f64,
        /// None took longer.
        pub max_ms: f64,
    }
}

json::record! {
    /// Counts of messages.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Messages {
        /// Requests and answers.
        pub clients: u64,
        /// Messages that servers sent to servers.
        pub servers: u64,
        /// All messages for each operation that was invoked.
        pub per_operation: Option<f64>,
        /// Those between servers for each operation that was invoked.
        pub servers_per_operation: Option<f64>,
        /// Delivered to servers by servers.
        pub delivered: u64,
        /// Lost by `--loss`.
        pub lost: u64,
        /// Doubled by `--duplicate`.
        pub doubled: u64,
        /// Dropped by partitions.
        pub cut: u64,
        /// Dropped because they came to a node that was killed, also those of clients.
        pub dead: u64 = 0,
        /// Dropped because a queue, such as a paused node's, was full.
        pub overflowed: u64,
        /// Messages between servers by the `type` of their body.
        pub by_type: Vec<Traffic>,
    }
}

json::record! {
    /// Messages of a type.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Traffic {
        /// The `type` of their body.
        pub name: String as "type",
        /// How many.
        pub count: u64,
        /// How many bytes.
        pub bytes: u64,
    }
}

json::record! {
    /// Elections as they can be seen from outside.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Elections {
        /// How many terms there were in which a vote was asked for.
        pub terms: usize,
        /// The highest of them.
        pub highest_term: u64,
    }
}

json::record! {
    /// A fault, and how the cluster got over it.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Fault {
        /// `partition`, `pause` or `kill`.
        pub kind: String,
        /// What was done.
        pub what: String,
        /// When it began, after the first request.
        pub began_ms: f64,
        /// How long before that any client had got its latest ok: long, if the cluster was still getting over another
        /// fault. Absent if none ever had.
        pub since_last_ok_ms: Option<f64>,
        /// When it ended; absent if the run did first.
        pub ended_ms: Option<f64>,
        /// The nodes that could go on without the others, if there were enough.
        pub side: Option<Vec<String>>,
        /// How long the side was watched: until the next change of any fault.
        pub watched_ms: f64,
        /// How long it took until a client of the side got an ok.
        pub first_ok_ms: Option<f64>,
        /// The same, for a request that was made after the fault had begun.
        pub first_new_ok_ms: Option<f64>,
    }
}

impl Counts {
    /// All that have ended.
    pub fn total(&self) -> u64 {
        self.ok + self.fail + self.info
    }

    fn of(outcomes: &Outcomes) -> Counts {
        let errors = outcomes.errors.iter().map(|(code, count)| ErrorCount {
            code: code.0,
            count: *count,
        });
        Counts {
            ok: outcomes.ok,
            fail: outcomes.fail,
            info: outcomes.info,
            errors: errors.collect(),
        }
    }
}

/// The name of a status in `results.json`.
pub fn name(status: Status) -> &'static str {
    match status {
        Status::Valid => "valid",
        Status::Invalid => "invalid",
        Status::Unknown => "unknown",
        Status::Broken => "broken",
    }
}

impl Results {
    /// The results of a run that came to its end.
    pub fn of(
        options: &Options,
        finished: &Finished,
        analysis: &Analysis,
        check: Duration,
    ) -> (Status, Results) {
        let statistics = &finished.statistics;
        let all = statistics.all_outcomes();
        let (status, reason) = judge(&analysis.verdict, &all, options.availability);
        let mut results = Results::empty(options);
        results.verdict = name(status).to_owned();
        results.reason = reason;
        results.duration_s = statistics.last_end.as_secs_f64();
        if results.duration_s > 0.0 {
            results.requests_per_s = all.total() as f64 / results.duration_s;
        }
        results.linearizable = Linearizable {
            verdict: name(Status::from(&analysis.verdict)).to_owned(),
            keys: analysis.keys,
            operations: analysis.operations,
            offending_keys: offending(&analysis.verdict),
            check_ms: ms(check),
        };
        results.availability.ok_fraction = all.ok_fraction();
        results.operations = Operations {
            all: Counts::of(&all),
            read: Counts::of(&statistics.outcomes(Function::Read)),
            write: Counts::of(&statistics.outcomes(Function::Write)),
            cas: Counts::of(&statistics.outcomes(Function::Cas)),
        };
        results.timeouts = Timeouts {
            before_first_ok: statistics.timeouts_before_first_ok,
            after_first_ok: statistics.timeouts_after_first_ok,
        };
        results.late_answers = finished.late_answers;
        results.first_ok_ms = statistics.first_ok.map(ms);
        results.latencies = latencies(options.node_count, statistics);
        results.messages = messages(statistics, analysis.operations);
        results.elections = elections(statistics);
        results.faults = statistics.faults.iter().map(fault).collect();
        (status, results)
    }

    /// The results of a run that broke.
    pub fn broken(options: &Options, why: &BenchError) -> Results {
        let mut results = Results::empty(options);
        results.reason = Some(why.to_string());
        results
    }

    /// The content of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = json::encode(self);
        bytes.push(b'\n');
        bytes
    }

    /// Reads the content of the file.
    ///
    /// # Errors
    /// It is not what [`encode`](Results::encode) writes.
    pub fn decode(bytes: &[u8]) -> Result<Results, json::Error> {
        json::decode(bytes)
    }

    fn empty(options: &Options) -> Results {
        let share = |chance: Millionths| f64::from(chance.0) / f64::from(Millionths::ONE);
        Results {
            verdict: name(Status::Broken).to_owned(),
            reason: None,
            command: options.command_line(),
            seed: options.seed,
            node: match &options.node {
                NodeChoice::Builtin(builtin) => format!("builtin {builtin}"),
                NodeChoice::Bin(path) => path.display().to_string(),
            },
            node_count: options.node_count,
            concurrency: options.concurrency,
            rate: options.rate.unwrap_or(0.0),
            time_limit_s: options.time_limit.as_secs_f64(),
            latency_ms: ms(options.conditions.latency.mean),
            latency_dist: options.conditions.latency.distribution.name().to_owned(),
            loss: share(options.conditions.loss),
            duplicate: share(options.conditions.duplicate),
            nemesis: options
                .nemesis
                .iter()
                .map(|kind| kind.name().to_owned())
                .collect(),
            nemesis_interval_s: options.nemesis_interval.as_secs_f64(),
            duration_s: 0.0,
            requests_per_s: 0.0,
            linearizable: Linearizable {
                verdict: name(Status::Broken).to_owned(),
                ..Linearizable::default()
            },
            availability: Availability {
                ok_fraction: None,
                required: options.availability,
            },
            operations: Operations::default(),
            timeouts: Timeouts::default(),
            late_answers: 0,
            first_ok_ms: None,
            latencies: Vec::new(),
            messages: Messages::default(),
            elections: None,
            faults: Vec::new(),
        }
    }
}

/// The verdict on a run: what the checker says, unless too little was ok for it to mean anything.
fn judge(verdict: &Verdict, all: &Outcomes, required: Option<f64>) -> (Status, Option<String>) {
    let ok = all.ok_fraction().unwrap_or(0.0);
    let status = Status::from(verdict);
    match (verdict, required) {
        (Verdict::Invalid(_), _) => {
            let keys = some_of(&offending(verdict));
            (status, Some(format!("not linearizable: key {keys}")))
        }
        (Verdict::Valid | Verdict::Unknown(_), Some(required)) if ok < required => {
            let why = format!("the share of ok answers is {ok:.4}, and {required} was demanded");
            (Status::Invalid, Some(why))
        }
        (Verdict::Unknown(_), _) => {
            let keys = some_of(&offending(verdict));
            (status, Some(format!("too hard to check: key {keys}")))
        }
        (Verdict::Valid, _) if all.ok == 0 => (
            Status::Unknown,
            Some("nothing was answered ok, so nothing was tested".to_owned()),
        ),
        (Verdict::Valid, _) => (status, None),
    }
}

fn offending(verdict: &Verdict) -> Vec<String> {
    match verdict {
        Verdict::Valid => Vec::new(),
        Verdict::Invalid(contradictions) => {
            let keys = contradictions
                .iter()
                .map(|contradiction| &contradiction.key);
            keys.map(json::to_string).collect()
        }
        Verdict::Unknown(keys) => keys.iter().map(json::to_string).collect(),
    }
}

fn latencies(nodes: usize, statistics: &Statistics) -> Vec<Latency> {
    let [read, write, cas] = Function::ALL;
    let functions: [(&str, &[Function]); 5] = [
        ("all", &Function::ALL),
        ("read", &[read]),
        ("update", &[write, cas]),
        ("write", &[write]),
        ("cas", &[cas]),
    ];
    let mut rows = Vec::new();
    for node in std::iter::once(None).chain((0..nodes).map(|node| Some(Node(node)))) {
        for (f, functions) in functions {
            let name = node.map_or("all".to_owned(), |node| node.to_string());
            rows.extend(row(name, f, &statistics.latencies(node, functions)));
        }
    }
    rows
}

fn row(node: String, f: &str, latencies: &Latencies) -> Option<Latency> {
    let quantiles = latencies.quantiles()?;
    Some(Latency {
        node,
        f: f.to_owned(),
        count: quantiles.count,
        p50_ms: quantiles.p50_ms,
        p95_ms: quantiles.p95_ms,
        p99_ms: quantiles.p99_ms,
        max_ms: quantiles.max_ms,
    })
}

fn messages(statistics: &Statistics, operations: usize) -> Messages {
    let messages = &statistics.messages;
    let each = |count: u64| (operations > 0).then(|| count as f64 / operations as f64);
    let by_type = messages.by_type.iter().map(|(name, traffic)| Traffic {
        name: name.clone(),
        count: traffic.count,
        bytes: traffic.bytes,
    });
    Messages {
        clients: messages.clients,
        servers: messages.servers,
        per_operation: each(messages.clients + messages.servers),
        servers_per_operation: each(messages.servers),
        delivered: messages.delivered,
        lost: messages.lost,
        doubled: messages.doubled,
        cut: messages.cut,
        dead: messages.dead,
        overflowed: messages.overflowed,
        by_type: by_type.collect(),
    }
}

fn elections(statistics: &Statistics) -> Option<Elections> {
    let terms = &statistics.election_terms;
    Some(Elections {
        terms: terms.len(),
        highest_term: *terms.last()?,
    })
}

fn fault(fault: &super::statistics::Fault) -> Fault {
    let side = fault.side.as_ref();
    Fault {
        kind: fault.kind.name().to_owned(),
        what: fault.what.clone(),
        began_ms: ms(fault.began),
        since_last_ok_ms: fault.since_last_ok.map(ms),
        ended_ms: fault.ended.map(ms),
        side: side.map(|side| side.iter().map(Node::to_string).collect()),
        watched_ms: fault.watched.map_or(0.0, ms),
        first_ok_ms: fault.first_ok.map(ms),
        first_new_ok_ms: fault.first_new_ok.map(ms),
    }
}

fn ms(duration: Duration) -> f64 {
    // Microseconds are exact enough, and make short numbers.
    duration.as_micros() as f64 / 1000.0
}
