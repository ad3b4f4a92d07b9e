//! Numbers of a run: operations by outcome, latencies, messages by type, elections, recoveries.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::bench::clients::Completion;
use crate::bench::nemesis::Kind;
use crate::bench::network::{Fate, Node, Sent, Source};
use crate::history::{Call, ErrorCode, Outcome};

/// The most message types that are told apart; the rest are counted together as [`OTHER_TYPES`].
pub const TYPES_MAX: usize = 64;

/// What message types beyond [`TYPES_MAX`] are counted as.
pub const OTHER_TYPES: &str = "(other)";

/// What clients can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Function {
    /// `read`.
    Read,
    /// `write`.
    Write,
    /// `cas`.
    Cas,
}

impl Function {
    /// All of them.
    pub const ALL: [Function; 3] = [Function::Read, Function::Write, Function::Cas];

    /// The function that a call calls.
    pub fn of(call: &Call) -> Function {
        match call {
            Call::Read => Function::Read,
            Call::Write(_) => Function::Write,
            Call::Cas { .. } => Function::Cas,
        }
    }

    /// Its name in a request.
    pub fn name(self) -> &'static str {
        match self {
            Function::Read => "read",
            Function::Write => "write",
            Function::Cas => "cas",
        }
    }
}

/// How many operations ended how.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Answered as asked.
    pub ok: u64,
    /// Surely without effect.
    pub fail: u64,
    /// With or without effect.
    pub info: u64,
    /// How often each error code was the reason; 0 is a time-out.
    pub errors: BTreeMap<ErrorCode, u64>,
}

impl Outcomes {
    /// All that have ended.
    pub fn total(&self) -> u64 {
        self.ok + self.fail + self.info
    }

    /// The share that was ok, of those that have ended; none of none.
    pub fn ok_fraction(&self) -> Option<f64> {
        (self.total() > 0).then(|| self.ok as f64 / self.total() as f64)
    }

    fn add(&mut self, outcome: &Outcome) {
        let code = match outcome {
            Outcome::ReadOk(_) | Outcome::Done => {
                self.ok += 1;
                return;
            }
            Outcome::Failed(code) => {
                self.fail += 1;
                code
            }
            Outcome::Unknown(code) => {
                self.info += 1;
                code
            }
        };
        *self.errors.entry(*code).or_default() += 1;
    }

    fn merge(&mut self, other: &Outcomes) {
        self.ok += other.ok;
        self.fail += other.fail;
        self.info += other.info;
        for (code, count) in &other.errors {
            *self.errors.entry(*code).or_default() += count;
        }
    }
}

/// Latencies of ok answers, in microseconds.
#[derive(Debug, Clone, Default)]
pub struct Latencies(Vec<u32>);

/// A few figures that stand for many latencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quantiles {
    /// How many latencies there are.
    pub count: usize,
    /// The median: the smallest latency that at least half are not above.
    pub p50_ms: f64,
    /// Likewise for 95 of 100.
    pub p95_ms: f64,
    /// Likewise for 99 of 100.
    pub p99_ms: f64,
    /// The greatest.
    pub max_ms: f64,
}

impl Latencies {
    /// Adds one.
    pub fn add(&mut self, latency: Duration) {
        self.0
            .push(u32::try_from(latency.as_micros()).unwrap_or(u32::MAX));
    }

    /// The figures, unless there are no latencies.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let max_us = *sorted.last()?;
        let at = |share: f64| {
            let rank = (sorted.len() as f64 * share).ceil() as usize;
            f64::from(sorted[rank.max(1) - 1]) / 1000.0
        };
        Some(Quantiles {
            count: sorted.len(),
            p50_ms: at(0.5),
            p95_ms: at(0.95),
            p99_ms: at(0.99),
            max_ms: f64::from(max_us) / 1000.0,
        })
    }

    fn extend(&mut self, other: &Latencies) {
        self.0.extend_from_slice(&other.0);
    }
}

/// Messages of one type between servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// How many were sent.
    pub count: u64,
    /// How many bytes these were.
    pub bytes: u64,
}

/// Counts of messages since the first request.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Messages {
    /// Requests to servers and answers to clients.
    pub clients: u64,
    /// Messages that servers sent to servers.
    pub servers: u64,
    /// Of these: delivered (a doubled one counts twice).
    pub delivered: u64,
    /// Lost by `--loss`.
    pub lost: u64,
    /// Doubled by `--duplicate`.
    pub doubled: u64,
    /// Dropped by partitions.
    pub cut: u64,
    /// Dropped because they came to a node that was killed, also those of clients.
    pub dead: u64,
    /// Dropped because a queue, such as a paused node's, was full.
    pub overflowed: u64,
    /// Messages between servers by their body's `type`.
    pub by_type: BTreeMap<String, Traffic>,
}

/// A fault, and how the cluster got over it.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// What kind of fault it is.
    pub kind: Kind,
    /// What was done, in a few words.
    pub label: String,
    /// What was done, exactly, e.g. `pause n0 n3`.
    pub what: String,
    /// When it began.
    pub began: Duration,
    /// How long before that any client had got its latest ok, if one ever had: long, if the
    /// cluster was still getting over another fault.
    pub since_last_ok: Option<Duration>,
    /// When it ended; `None` if the run did first.
    pub ended: Option<Duration>,
    /// The nodes that could go on without the others, if there are enough.
    pub side: Option<BTreeSet<Node>>,
    /// How long it was until the next change of any fault, which ends the measurement.
    pub watched: Option<Duration>,
    /// How long it took until a client of that side got an ok.
    pub first_ok: Option<Duration>,
    /// The same, for a request that was made after the fault had begun.
    pub first_new_ok: Option<Duration>,
}

/// All the numbers of a run.
#[derive(Debug, Default)]
pub struct Statistics {
    outcomes: BTreeMap<Function, Outcomes>,
    latencies: BTreeMap<(Node, Function), Latencies>,
    /// Messages since the first request.
    pub messages: Messages,
    /// The faults, in their order.
    pub faults: Vec<Fault>,
    /// Terms in which votes were asked for; empty also if the nodes' messages don't say.
    pub election_terms: BTreeSet<u64>,
    /// Time-outs before anything was ok: there was no leader yet.
    pub timeouts_before_first_ok: u64,
    /// Time-outs after that.
    pub timeouts_after_first_ok: u64,
    /// When the first ok came.
    pub first_ok: Option<Duration>,
    /// When the latest ok came.
    pub last_ok: Option<Duration>,
    /// When the last answer came or was given up.
    pub last_end: Duration,
    /// When the run ended.
    pub ended: Duration,
}

impl Statistics {
    /// Counts the end of an operation at `now`.
    pub fn completed(&mut self, now: Duration, completion: &Completion) {
        let function = Function::of(&completion.request.call);
        let outcome = &completion.outcome;
        self.outcomes.entry(function).or_default().add(outcome);
        self.last_end = now;
        match outcome {
            Outcome::ReadOk(_) | Outcome::Done => {
                self.first_ok.get_or_insert(now);
                self.last_ok = Some(now);
                let key = (completion.node, function);
                let latency = now.saturating_sub(completion.invoked);
                self.latencies.entry(key).or_default().add(latency);
                self.recovered(now, completion);
            }
            Outcome::Failed(ErrorCode::TIMEOUT) | Outcome::Unknown(ErrorCode::TIMEOUT) => {
                // One that was asked before the first ok may end after it, for the same reason.
                match self.first_ok {
                    Some(first_ok) if completion.invoked >= first_ok => {
                        self.timeouts_after_first_ok += 1;
                    }
                    Some(_) | None => self.timeouts_before_first_ok += 1,
                }
            }
            Outcome::Failed(_) | Outcome::Unknown(_) => {}
        }
    }

    /// Counts a message that was sent and what became of it then.
    pub fn sent(&mut self, source: Source, kind: &str, bytes: usize, sent: Sent) {
        let messages = &mut self.messages;
        match source {
            Source::Client => messages.clients += 1,
            Source::Server(_) => {
                messages.servers += 1;
                let full = messages.by_type.len() >= TYPES_MAX;
                let kind = match messages.by_type.contains_key(kind) {
                    false if full => OTHER_TYPES,
                    true | false => kind,
                };
                let traffic = match messages.by_type.get_mut(kind) {
                    Some(traffic) => traffic,
                    None => messages.by_type.entry(kind.to_owned()).or_default(),
                };
                traffic.count += 1;
                traffic.bytes += bytes as u64;
            }
        }
        match sent {
            Sent::Once => {}
            Sent::Twice => messages.doubled += 1,
            Sent::Lost => messages.lost += 1,
            Sent::Overflow => messages.overflowed += 1,
        }
    }

    /// Counts what became of a message when its time had come; `dead` is whether the receiver was.
    pub fn received(&mut self, source: Source, fate: Fate, dead: bool) {
        match (source, fate) {
            (_, Fate::Delivered) if dead => self.messages.dead += 1,
            (Source::Server(_), Fate::Delivered) => self.messages.delivered += 1,
            (Source::Server(_), Fate::Cut) => self.messages.cut += 1,
            (Source::Client, Fate::Delivered | Fate::Cut) => {}
        }
    }

    /// Notes the beginning of a fault.
    pub fn fault_began(&mut self, fault: Fault) {
        self.stop_watching(fault.began);
        self.faults.push(fault);
    }

    /// Notes the end of the latest fault of a kind.
    pub fn fault_ended(&mut self, now: Duration, kind: Kind) {
        self.stop_watching(now);
        let mut faults = self.faults.iter_mut().rev();
        if let Some(fault) = faults.find(|fault| fault.kind == kind) {
            fault.ended = Some(now);
        }
    }

    /// Notes the end of the run.
    pub fn finish(&mut self, now: Duration) {
        self.ended = now;
        self.stop_watching(now);
    }

    /// The outcomes of a function.
    pub fn outcomes(&self, function: Function) -> Outcomes {
        self.outcomes.get(&function).cloned().unwrap_or_default()
    }

    /// The outcomes of all functions together.
    pub fn all_outcomes(&self) -> Outcomes {
        let mut all = Outcomes::default();
        self.outcomes
            .values()
            .for_each(|outcomes| all.merge(outcomes));
        all
    }

    /// The latencies of these functions at this node, or at all.
    pub fn latencies(&self, node: Option<Node>, functions: &[Function]) -> Latencies {
        let mut all = Latencies::default();
        for ((at, function), latencies) in &self.latencies {
            if node.is_none_or(|node| node == *at) && functions.contains(function) {
                all.extend(latencies);
            }
        }
        all
    }

    fn recovered(&mut self, now: Duration, completion: &Completion) {
        let Some(fault) = self.faults.last_mut() else {
            return;
        };
        let on_side = fault
            .side
            .as_ref()
            .is_some_and(|side| side.contains(&completion.node));
        if fault.watched.is_some() || !on_side {
            return;
        }
        let passed = now.saturating_sub(fault.began);
        fault.first_ok.get_or_insert(passed);
        if completion.invoked >= fault.began {
            fault.first_new_ok.get_or_insert(passed);
        }
    }

    fn stop_watching(&mut self, now: Duration) {
        if let Some(fault) = self.faults.last_mut() {
            let passed = now.saturating_sub(fault.began);
            fault.watched.get_or_insert(passed);
        }
    }
}

#[cfg(test)]
mod tests {
    use json::Value;

    use super::*;
    use crate::bench::workload::Request;
    use crate::history::Process;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn completion(node: usize, invoked_ms: u64, outcome: Outcome) -> Completion {
        let call = match outcome {
            Outcome::ReadOk(_) => Call::Read,
            Outcome::Done | Outcome::Failed(_) | Outcome::Unknown(_) => Call::Write(Value::Null),
        };
        Completion {
            process: Process(0),
            node: Node(node),
            request: Request { key: 0, call },
            invoked: ms(invoked_ms),
            outcome,
        }
    }

    fn pause_of_n0(began_ms: u64) -> Fault {
        Fault {
            kind: Kind::Pause,
            label: "pause n0".into(),
            what: "pause n0".into(),
            began: ms(began_ms),
            since_last_ok: None,
            ended: None,
            side: Some([Node(1), Node(2)].into()),
            watched: None,
            first_ok: None,
            first_new_ok: None,
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        assert_eq!(Latencies::default().quantiles(), None);
        let mut latencies = Latencies::default();
        (1..=200).rev().for_each(|n| latencies.add(ms(n)));
        let expected = Quantiles {
            count: 200,
            p50_ms: 100.0,
            p95_ms: 190.0,
            p99_ms: 198.0,
            max_ms: 200.0,
        };
        assert_eq!(latencies.quantiles(), Some(expected));
        let mut one = Latencies::default();
        one.add(ms(7));
        let one = one.quantiles().expect("there is one");
        assert_eq!((one.p50_ms, one.max_ms), (7.0, 7.0));
    }

    #[test]
    fn outcomes_are_counted_by_function_and_code() {
        let mut statistics = Statistics::default();
        let read = Outcome::ReadOk(Value::Null);
        for (at, outcome) in [
            (10, Outcome::Unknown(ErrorCode::TIMEOUT)),
            (20, Outcome::Done),
            (30, read),
            (40, Outcome::Failed(ErrorCode(22))),
            (50, Outcome::Unknown(ErrorCode::TIMEOUT)),
        ] {
            statistics.completed(ms(at), &completion(1, at - 1, outcome));
        }
        // Asked before the first ok, given up after it.
        let late = completion(1, 5, Outcome::Unknown(ErrorCode::TIMEOUT));
        statistics.completed(ms(60), &late);
        let writes = statistics.outcomes(Function::Write);
        assert_eq!((writes.ok, writes.fail, writes.info), (1, 1, 3));
        assert_eq!(writes.errors[&ErrorCode::TIMEOUT], 3);
        assert_eq!(statistics.all_outcomes().total(), 6);
        assert_eq!(statistics.outcomes(Function::Cas).ok_fraction(), None);
        assert_eq!(statistics.timeouts_before_first_ok, 2);
        assert_eq!(statistics.timeouts_after_first_ok, 1);
        assert_eq!(statistics.first_ok, Some(ms(20)));
        let reads = statistics.latencies(Some(Node(1)), &[Function::Read]);
        assert_eq!(
            reads.quantiles().map(|q| (q.count, q.max_ms)),
            Some((1, 1.0))
        );
        assert!(
            statistics
                .latencies(Some(Node(0)), &Function::ALL)
                .quantiles()
                .is_none()
        );
    }

    #[test]
    fn recovery_is_the_first_ok_of_the_side_that_can_go_on() {
        let mut statistics = Statistics::default();
        statistics.fault_began(pause_of_n0(100));
        for (node, invoked, at) in [(0, 110, 120), (1, 90, 130), (1, 125, 180), (2, 150, 190)] {
            statistics.completed(ms(at), &completion(node, invoked, Outcome::Done));
        }
        statistics.fault_ended(ms(300), Kind::Pause);
        let fault = &statistics.faults[0];
        assert_eq!(fault.first_ok, Some(ms(30)));
        assert_eq!(fault.first_new_ok, Some(ms(80)));
        assert_eq!((fault.watched, fault.ended), (Some(ms(200)), Some(ms(300))));
    }

    #[test]
    fn a_later_change_ends_the_wait_for_recovery() {
        let mut statistics = Statistics::default();
        statistics.fault_began(pause_of_n0(100));
        let partition = Fault {
            kind: Kind::Partition,
            side: None,
            ..pause_of_n0(150)
        };
        statistics.fault_began(partition);
        statistics.completed(ms(180), &completion(1, 160, Outcome::Done));
        statistics.fault_ended(ms(200), Kind::Pause);
        statistics.finish(ms(400));
        let [pause, partition] = &statistics.faults[..] else {
            panic!("two faults");
        };
        assert_eq!((pause.watched, pause.first_ok), (Some(ms(50)), None));
        assert_eq!(pause.ended, Some(ms(200)));
        assert_eq!((partition.watched, partition.ended), (Some(ms(50)), None));
    }

    #[test]
    fn message_types_beyond_the_limit_are_counted_together() {
        let mut statistics = Statistics::default();
        let server = Source::Server(Node(0));
        for kind in 0..TYPES_MAX + 10 {
            statistics.sent(server, &kind.to_string(), 3, Sent::Once);
        }
        statistics.sent(server, "0", 3, Sent::Lost);
        statistics.sent(Source::Client, "read", 9, Sent::Once);
        let messages = &statistics.messages;
        assert_eq!(messages.by_type.len(), TYPES_MAX + 1);
        assert_eq!(messages.by_type[OTHER_TYPES].count, 10);
        assert_eq!(messages.by_type["0"], Traffic { count: 2, bytes: 6 });
        assert_eq!(
            (messages.servers, messages.clients, messages.lost),
            (75, 1, 1)
        );
    }
}
