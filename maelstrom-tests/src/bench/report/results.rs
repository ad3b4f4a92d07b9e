//! The results of a run: one struct, written as `results.json`, printed as the report, and drawn
//! in the pictures. Other programs read the file, so its names stay.
//!
//! Times are in milliseconds unless a name says otherwise, counts are since the first request, and
//! what is not known is absent.

use std::time::Duration;

use super::ended::Ending;
use crate::bench::network::{Fate, Sent, Source};
use crate::bench::options::Options;
use crate::bench::processes::program::NodeChoice;
use crate::check::Status;
use crate::history::{Call, ErrorCode, Outcome};

/// The most message types that are counted apart; the rest are counted together as [`OTHER_TYPES`].
pub const TYPES_MAX: usize = 64;

/// The type under which messages beyond [`TYPES_MAX`] are counted.
pub const OTHER_TYPES: &str = "(other)";

json::record! {
    /// The whole of `results.json`.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Results {
        /// `valid`, `invalid`, `unknown` or `broken`.
        pub verdict: String,
        /// Why it is not valid.
        pub reason: Option<String>,
        /// The arguments that repeat the run, beginning with `test`.
        pub command: String,
        /// The seed of workload, faults and latencies.
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
        /// The kinds of `--nemesis`.
        pub nemesis: Vec<String>,
        /// `--nemesis-interval`, in seconds.
        pub nemesis_interval_s: f64,
        /// From the first request to the last answer, in seconds.
        pub duration_s: f64,
        /// Requests that ended, divided by `duration_s`.
        pub requests_per_s: f64,
        /// What the checker says.
        pub linearizable: Linearizable,
        /// The share of ok answers.
        pub availability: Availability,
        /// How the operations ended.
        pub operations: Operations,
        /// How many requests timed out, and when.
        pub timeouts: Timeouts,
        /// Answers that came after their request had timed out.
        pub late_answers: u64,
        /// How often changes of sessions were sent again, with `--sessions`.
        pub retries: u64,
        /// The keys whose last read, at the end of the run, had no result.
        pub unread_keys: Vec<u64>,
        /// When a signal stopped the run, in seconds; absent if none did.
        pub stopped_s: Option<f64>,
        /// The nodes whose output ended without a line break, with its first bytes.
        pub unfinished: Vec<String>,
        /// From the first request to the first ok.
        pub first_ok_ms: Option<f64>,
        /// Latencies of ok answers; there is a row for each node and function that had one.
        pub latencies: Vec<Latency>,
        /// Messages.
        pub messages: Messages,
        /// Elections, if the nodes' messages show any.
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
    /// The share of requests that were answered ok. A cas that finds another value lowers it.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Availability {
        /// The share of the ended operations that were ok.
        pub ok_fraction: Option<f64>,
        /// `--availability`: the share that is required.
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
        /// Deletes.
        pub delete: Counts,
    }
}

json::record! {
    /// How operations ended.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Counts {
        /// Done.
        pub ok: u64,
        /// Certainly without effect.
        pub fail: u64,
        /// Unknown: with or without effect, perhaps later.
        pub info: u64,
        /// The error codes of fail and info, in order.
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
    /// How many requests timed out, and when.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Timeouts {
        /// Those made before the first ok: there was no leader yet.
        pub before_first_ok: u64,
        /// Those made after it.
        pub after_first_ok: u64,
    }
}

json::record! {
    /// Latencies of ok answers.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Latency {
        /// The node that answered: `n0`, ..., or `all`.
        pub node: String,
        /// The function: `read`, `write`, `cas`, `delete`, `update` (all but read) or `all`.
        pub f: String,
        /// How many answers.
        pub count: usize,
        /// The median: at least half of them took no longer.
        pub p50_ms: f64,
        /// At least 95 % took no longer.
        pub p95_ms: f64,
        /// At least 99 % took no longer.
        pub p99_ms: f64,
        /// The longest.
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
        /// Sent twice by `--duplicate`.
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
    /// Elections, as far as the nodes' messages show them.
    #[derive(Debug, Clone, PartialEq)]
    pub struct Elections {
        /// In how many terms a node asked for votes.
        pub terms: usize,
        /// The highest of them.
        pub highest_term: u64,
    }
}

json::record! {
    /// A fault, and how the cluster recovered from it.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Fault {
        /// `partition`, `pause`, `transfer`, `kill` or `membership`.
        pub kind: String,
        /// What was done, e.g. `pause n0 n3`.
        pub what: String,
        /// When it began, after the first request.
        pub began_ms: f64,
        /// How long before that the latest ok of any client was. Long if the cluster was still
        /// recovering from another fault, absent if there was no ok.
        pub since_last_ok_ms: Option<f64>,
        /// When it ended; absent if the run did first.
        pub ended_ms: Option<f64>,
        /// The nodes that could go on without the others when it began: up, connected, and a
        /// majority. Absent if there was no such majority.
        pub side: Option<Vec<String>>,
        /// If there was none: when there was one again, before the fault ended.
        pub majority_ms: Option<f64>,
        /// How long the side was watched: until any fault began or ended.
        pub watched_ms: f64,
        /// How long it took until a client of the side got an ok.
        pub first_ok_ms: Option<f64>,
        /// The same, for a request that was made after the fault had begun.
        pub first_new_ok_ms: Option<f64>,
        /// The same from the fault's end on. Absent if the run ended first.
        pub after: Option<Recovery>,
    }
}

json::record! {
    /// How the cluster recovered after the end of a fault.
    #[derive(Debug, Clone, Default, PartialEq)]
    pub struct Recovery {
        /// The nodes that could go on without the others then.
        pub side: Option<Vec<String>>,
        /// How long they were watched: until any fault began or ended.
        pub watched_ms: f64,
        /// How long it took until a client of these nodes got an ok.
        pub first_ok_ms: Option<f64>,
        /// The same, for a request that was made after the fault had ended.
        pub first_new_ok_ms: Option<f64>,
    }
}

impl Fault {
    /// How the cluster recovered after the beginning of the fault.
    pub fn during(&self) -> Recovery {
        Recovery {
            side: self.side.clone(),
            watched_ms: self.watched_ms,
            first_ok_ms: self.first_ok_ms,
            first_new_ok_ms: self.first_new_ok_ms,
        }
    }
}

impl Operations {
    /// Counts the end of an operation.
    pub fn count(&mut self, call: &Call, outcome: &Outcome) {
        let counts = match call {
            Call::Read => &mut self.read,
            Call::Write(_) => &mut self.write,
            Call::Cas { .. } => &mut self.cas,
            Call::Delete => &mut self.delete,
        };
        counts.count(outcome);
        self.all.count(outcome);
    }
}

impl Counts {
    /// All that have ended.
    pub fn total(&self) -> u64 {
        self.ok + self.fail + self.info
    }

    /// The share that was ok, of those that have ended.
    pub fn ok_fraction(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.ok as f64 / self.total() as f64)
    }

    fn count(&mut self, outcome: &Outcome) {
        let (ending, code) = Ending::of(outcome);
        *match ending {
            Ending::Ok => &mut self.ok,
            Ending::Fail => &mut self.fail,
            Ending::Info => &mut self.info,
        } += 1;
        let Some(ErrorCode(code)) = code else { return };
        match self.errors.binary_search_by_key(&code, |error| error.code) {
            Ok(at) => self.errors[at].count += 1,
            Err(at) => self.errors.insert(at, ErrorCount { code, count: 1 }),
        }
    }
}

impl Latency {
    /// The row of these latencies, unless there are none.
    pub fn of(node: String, f: &str, mut latencies: Vec<Duration>) -> Option<Latency> {
        latencies.sort_unstable();
        let at = |share: f64| {
            let rank = (latencies.len() as f64 * share).ceil() as usize;
            ms(latencies[rank.max(1) - 1])
        };
        Some(Latency {
            node,
            f: f.to_owned(),
            max_ms: ms(*latencies.last()?),
            count: latencies.len(),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
        })
    }
}

impl Messages {
    /// Counts a message that was sent, and what became of it then.
    pub fn sent(&mut self, source: Source, kind: &str, bytes: usize, sent: Sent) {
        match source {
            Source::Client => self.clients += 1,
            Source::Server(_) => {
                self.servers += 1;
                Traffic::count(&mut self.by_type, kind, bytes);
            }
        }
        match sent {
            Sent::Once => {}
            Sent::Twice => self.doubled += 1,
            Sent::Lost => self.lost += 1,
            Sent::Overflow => self.overflowed += 1,
        }
    }

    /// Counts what became of a message when its time had come; `dead` says whether the receiver
    /// was killed.
    pub fn received(&mut self, source: Source, fate: Fate, dead: bool) {
        match (source, fate) {
            (_, Fate::Delivered) if dead => self.dead += 1,
            (Source::Server(_), Fate::Delivered) => self.delivered += 1,
            (Source::Server(_), Fate::Cut) => self.cut += 1,
            (Source::Client, Fate::Delivered | Fate::Cut) => {}
        }
    }
}

impl Traffic {
    /// Counts a message in a list that is sorted by type and has one row for each.
    pub fn count(list: &mut Vec<Traffic>, kind: &str, bytes: usize) {
        let place = |kind: &str| list.binary_search_by(|row| row.name.as_str().cmp(kind));
        let (place, kind) = match place(kind) {
            Err(_) if list.len() >= TYPES_MAX => (place(OTHER_TYPES), OTHER_TYPES),
            place => (place, kind),
        };
        let at = place.unwrap_or_else(|at| {
            let name = kind.to_owned();
            list.insert(
                at,
                Traffic {
                    name,
                    count: 0,
                    bytes: 0,
                },
            );
            at
        });
        list[at].count += 1;
        list[at].bytes += bytes as u64;
    }
}

/// A time as `results.json` has it. Microseconds are exact enough, and make short numbers.
pub fn ms(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

impl Results {
    /// The results of a run with these options that broke before it had any.
    pub fn broken(options: &Options, reason: Option<String>) -> Results {
        let kinds = options.nemesis.iter();
        Results {
            verdict: Status::Broken.name().to_owned(),
            reason,
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
            loss: options.conditions.loss.share(),
            duplicate: options.conditions.duplicate.share(),
            nemesis: kinds.map(|kind| kind.name().to_owned()).collect(),
            nemesis_interval_s: options.nemesis_interval.as_secs_f64(),
            linearizable: Linearizable {
                verdict: Status::Broken.name().to_owned(),
                ..Linearizable::default()
            },
            availability: Availability {
                ok_fraction: None,
                required: options.availability,
            },
            ..Results::default()
        }
    }

    /// The content of the file.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = json::encode(self);
        bytes.push(b'\n');
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::network::Node;

    #[test]
    fn quantiles_are_ranks() {
        let row = |latencies: Vec<u64>| {
            let latencies = latencies.into_iter().map(Duration::from_millis).collect();
            Latency::of("all".to_owned(), "read", latencies)
        };
        assert_eq!(row(Vec::new()), None);
        let many = row((1..=200).rev().collect()).expect("a row");
        assert_eq!((many.count, many.p50_ms, many.p95_ms), (200, 100.0, 190.0));
        assert_eq!((many.p99_ms, many.max_ms), (198.0, 200.0));
        let one = row(vec![7]).expect("a row");
        assert_eq!((one.p50_ms, one.max_ms), (7.0, 7.0));
    }

    #[test]
    fn operations_are_counted_by_function_and_code() {
        let mut operations = Operations::default();
        operations.count(&Call::Read, &Outcome::ReadOk(json::Value::Null));
        let write = Call::Write(json::Value::Null);
        for code in [22, 0, 22] {
            operations.count(&write, &Outcome::Unknown(ErrorCode(code)));
        }
        operations.count(&write, &Outcome::Failed(ErrorCode(11)));
        assert_eq!(operations.all.total(), 5);
        assert_eq!(operations.all.ok_fraction(), Some(0.2));
        assert_eq!((operations.write.fail, operations.write.info), (1, 3));
        let errors = operations.write.errors.iter();
        let errors: Vec<(u64, u64)> = errors.map(|error| (error.code, error.count)).collect();
        assert_eq!(errors, [(0, 1), (11, 1), (22, 2)]);
        assert_eq!(operations.cas.ok_fraction(), None);
    }

    #[test]
    fn message_types_beyond_the_limit_are_counted_together() {
        let mut messages = Messages::default();
        let server = Source::Server(Node(0));
        for kind in 0..TYPES_MAX + 10 {
            messages.sent(server, &kind.to_string(), 3, Sent::Once);
        }
        messages.sent(server, "0", 3, Sent::Lost);
        messages.sent(Source::Client, "read", 9, Sent::Once);
        let count = |name: &str| {
            let row = messages.by_type.iter().find(|row| row.name == name);
            row.map(|row| (row.count, row.bytes))
        };
        assert_eq!(messages.by_type.len(), TYPES_MAX + 1);
        assert_eq!(count(OTHER_TYPES), Some((10, 30)));
        assert_eq!(count("0"), Some((2, 6)));
        let counts = (messages.servers, messages.clients, messages.lost);
        assert_eq!(counts, (75, 1, 1));
    }
}
