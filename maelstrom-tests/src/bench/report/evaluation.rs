//! Computes the results of a run from its record and the checker's verdict.

use std::time::Duration;

use super::ended::Ended;
use super::record::Record;
use super::results::{
    Availability, Counts, Elections, Fault, Latency, Linearizable, Messages, Recovery, Results,
    Timeouts, ms,
};
use crate::bench::network::Node;
use crate::check::{self, Status};
use crate::history::Operation;
use crate::linearizability::{Analysis, Verdict};

/// The results of a run. `ended` are its operations in the order of their ends, `checked_in` is how long
/// the checker took.
pub fn evaluate(
    record: &Record,
    ended: &[Ended],
    analysis: &Analysis,
    checked_in: Duration,
) -> (Status, Results) {
    let all = &record.results.operations.all;
    let operations = record.history.operations();
    let required = record.results.availability.required;
    let (mut status, mut reason) = judge(operations, &analysis.verdict, all, required);
    if status == Status::Valid && !record.results.unread_keys.is_empty() {
        let keys: Vec<String> = record
            .results
            .unread_keys
            .iter()
            .map(u64::to_string)
            .collect();
        status = Status::Unknown;
        reason = Some(format!(
            "no read at the end had a result: key {}",
            check::some_of(&keys)
        ));
    }
    if status == Status::Unknown
        && let (Some(reason), Some(node)) = (&mut reason, record.results.unfinished.first())
    {
        *reason = format!("{reason}; {node}");
    }
    let last_end = ended.last().map_or(Duration::ZERO, |last| last.completed);
    let first_ok = ended.iter().find(|operation| operation.is_ok());
    let first_ok = first_ok.map(|operation| operation.completed);
    let terms = &record.messages.election_terms;
    let duration_s = last_end.as_secs_f64();
    let results = Results {
        verdict: status.name().to_owned(),
        reason,
        duration_s,
        requests_per_s: match duration_s > 0.0 {
            true => all.total() as f64 / duration_s,
            false => 0.0,
        },
        linearizable: Linearizable {
            verdict: Status::from(&analysis.verdict).name().to_owned(),
            keys: analysis.keys,
            operations: analysis.operations,
            offending_keys: check::offending(&analysis.verdict),
            check_ms: ms(checked_in),
        },
        availability: Availability {
            ok_fraction: all.ok_fraction(),
            required,
        },
        timeouts: timeouts(ended, first_ok),
        first_ok_ms: first_ok.map(ms),
        latencies: latencies(record.results.node_count, ended),
        messages: messages(&record.messages.counts, analysis.operations),
        elections: terms.last().map(|highest| Elections {
            terms: terms.len(),
            highest_term: *highest,
        }),
        faults: recoveries(&record.results.faults, ended, last_end),
        ..record.results.clone()
    };
    (status, results)
}

/// The verdict on a run: that on its history, unless too little was ok.
fn judge(
    operations: &[Operation],
    verdict: &Verdict,
    all: &Counts,
    required: Option<f64>,
) -> (Status, Option<String>) {
    let ok = all.ok_fraction().unwrap_or(0.0);
    match (check::judge(operations, verdict), required) {
        ((Status::Valid | Status::Unknown, _), Some(required)) if ok < required => {
            let why = format!("the share of ok answers is {ok:.4}, below the required {required}");
            (Status::Invalid, Some(why))
        }
        (judged, _) => judged,
    }
}

/// A request that was made before the first ok may time out after it, for the same reason.
fn timeouts(ended: &[Ended], first_ok: Option<Duration>) -> Timeouts {
    let timed_out = ended.iter().filter(|operation| operation.timed_out);
    let (after, before): (Vec<_>, Vec<_>) = timed_out
        .partition(|operation| first_ok.is_some_and(|first_ok| operation.invoked >= first_ok));
    Timeouts {
        before_first_ok: before.len() as u64,
        after_first_ok: after.len() as u64,
    }
}

fn latencies(nodes: usize, ended: &[Ended]) -> Vec<Latency> {
    let oks = ended.iter().filter(|operation| operation.is_ok());
    let row = |node: Option<Node>, f: &str, functions: &[&str]| {
        let fits = |ok: &&Ended| {
            node.is_none_or(|node| node == ok.node) && functions.contains(&ok.function)
        };
        let latencies = oks.clone().filter(fits).map(Ended::took).collect();
        let node = node.map_or("all".to_owned(), |node| node.to_string());
        Latency::of(node, f, latencies)
    };
    let nodes = (0..nodes).map(|node| Some(Node(node)));
    let rows = std::iter::once(None).chain(nodes).flat_map(|node| {
        [
            row(node, "all", &["read", "write", "cas", "delete"]),
            row(node, "read", &["read"]),
            row(node, "update", &["write", "cas", "delete"]),
            row(node, "write", &["write"]),
            row(node, "cas", &["cas"]),
            row(node, "delete", &["delete"]),
        ]
    });
    rows.flatten().collect()
}

fn messages(counted: &Messages, operations: usize) -> Messages {
    let each = |count: u64| (operations > 0).then(|| count as f64 / operations as f64);
    Messages {
        per_operation: each(counted.clients + counted.servers),
        servers_per_operation: each(counted.servers),
        ..counted.clone()
    }
}

/// The faults, with how long each was watched and when the clients of its side got an ok: after its
/// beginning, and after its end. `ended` is sorted by completion.
fn recoveries(faults: &[Fault], ended: &[Ended], run_end: Duration) -> Vec<Fault> {
    let oks: Vec<&Ended> = ended.iter().filter(|operation| operation.is_ok()).collect();
    let begins = faults.iter().map(|fault| fault.began_ms);
    let ends = faults.iter().filter_map(|fault| fault.ended_ms);
    let changes: Vec<f64> = begins.chain(ends).chain([ms(run_end)]).collect();
    let watch = |from: f64, side: &Option<Vec<String>>| {
        let later = changes.iter().filter(|change| **change > from);
        let until = later.copied().reduce(f64::min).unwrap_or(from);
        let first = oks.partition_point(|ok| ms(ok.completed) < from);
        let seen = oks[first..]
            .iter()
            .take_while(|ok| ms(ok.completed) < until);
        let seen = seen.filter(|ok| {
            let side = side.as_ref();
            side.is_some_and(|side| side.contains(&ok.node.to_string()))
        });
        let after = |ok: &&Ended| ms(ok.completed) - from;
        Recovery {
            side: side.clone(),
            watched_ms: until - from,
            first_ok_ms: seen.clone().next().map(after),
            first_new_ok_ms: seen.clone().find(|ok| ms(ok.invoked) >= from).map(after),
        }
    };
    let recovered = |fault: &Fault| {
        let began = fault.began_ms;
        let during = watch(began, &fault.side);
        let first = oks.partition_point(|ok| ms(ok.completed) < began);
        let after = fault.ended_ms.zip(fault.after.as_ref());
        Fault {
            since_last_ok_ms: oks[..first].last().map(|ok| began - ms(ok.completed)),
            watched_ms: during.watched_ms,
            first_ok_ms: during.first_ok_ms,
            first_new_ok_ms: during.first_new_ok_ms,
            after: after.map(|(end, after)| watch(end, &after.side)),
            ..fault.clone()
        }
    };
    faults.iter().map(recovered).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::{env, fs, process};

    use json::value;

    use super::*;
    use crate::bench::options::Options;
    use crate::bench::report::ended::Ending;
    use crate::bench::store;
    use crate::history::{self, Call, ErrorCode, Event, Process, Stage};

    const DONE: Ending = Ending::Ok;
    const TIMEOUT: Ending = Ending::Info;

    fn write(node: usize, invoked_ms: u64, completed_ms: u64, ending: Ending) -> Ended {
        Ended {
            node: Node(node),
            function: "write",
            invoked: Duration::from_millis(invoked_ms),
            completed: Duration::from_millis(completed_ms),
            timed_out: ending == TIMEOUT,
            ending,
        }
    }

    fn fault(began_ms: f64, ended_ms: Option<f64>, side: &[&str]) -> Fault {
        let side = side.iter().map(|&name| name.to_owned()).collect();
        Fault {
            began_ms,
            ended_ms,
            side: Some(side),
            ..Fault::default()
        }
    }

    /// A record of a write that was answered ok, and of a read that failed.
    fn half_ok(store: &Path, options: &Options) -> Record {
        let mut record = Record::create(store, options).expect("a file");
        let write = Call::Write(value!(1));
        let failed = history::Outcome::Failed(ErrorCode(11));
        for (time_ns, call, stage) in [
            (0, &write, Stage::Invoke),
            (1, &write, Stage::Complete(history::Outcome::Done)),
            (2, &Call::Read, Stage::Invoke),
            (3, &Call::Read, Stage::Complete(failed.clone())),
            (4, &Call::Read, Stage::Complete(failed)),
        ] {
            let recorded = record.event(Event {
                process: Process(0),
                time_ns,
                key: value!(7),
                call: call.clone(),
                stage,
            });
            let error = recorded.err().map(|error| error.to_string());
            let contradicts = error.is_some_and(|error| error.contains("contradicts itself"));
            assert_eq!(contradicts, time_ns == 4);
        }
        record
    }

    #[test]
    fn too_little_that_is_known_is_not_valid() {
        let name = format!("stdraft-evaluation-{}", process::id());
        let folder = env::temp_dir().join(name);
        let options = Options::parse([]).expect("no flag is wrong");
        let mut record = half_ok(&store::create(&folder).expect("a folder"), &options);
        record.results.unfinished.push("n0: a word".to_owned());
        let hard = || Verdict::Unknown(vec![value!(7)]);
        for (unread, verdict, required, status, reason) in [
            (&[][..], Verdict::Valid, Some(0.3), Status::Valid, None),
            (
                &[7, 9],
                Verdict::Valid,
                None,
                Status::Unknown,
                Some("no read at the end had a result: key 7, 9; n0: a word"),
            ),
            (
                &[7],
                hard(),
                None,
                Status::Unknown,
                Some("too hard to check: key 7; n0: a word"),
            ),
            (
                &[7],
                hard(),
                Some(0.6),
                Status::Invalid,
                Some("the share of ok answers is 0.3333, below the required 0.6"),
            ),
        ] {
            record.results.unread_keys = unread.to_vec();
            record.results.availability.required = required;
            let analysis = Analysis {
                verdict,
                keys: 1,
                operations: 2,
            };
            let (judged, results) = evaluate(&record, &[], &analysis, Duration::ZERO);
            assert_eq!((judged, results.reason.as_deref()), (status, reason));
        }
        fs::remove_dir_all(&folder).expect("it is there");
    }

    #[test]
    fn recovery_is_the_first_ok_of_the_side_that_can_go_on() {
        let ended = [
            write(1, 50, 60, DONE),
            write(0, 110, 120, DONE),
            write(2, 110, 125, TIMEOUT),
            write(1, 90, 130, DONE),
            write(1, 125, 180, DONE),
            write(2, 150, 190, DONE),
        ];
        let faults = [fault(100.0, Some(300.0), &["n1", "n2"])];
        let faults = recoveries(&faults, &ended, Duration::from_millis(400));
        assert_eq!(faults[0].since_last_ok_ms, Some(40.0));
        assert_eq!(faults[0].first_ok_ms, Some(30.0));
        assert_eq!(faults[0].first_new_ok_ms, Some(80.0));
        assert_eq!(faults[0].watched_ms, 200.0);
    }

    #[test]
    fn recovery_is_measured_from_the_end_too() {
        let ended = [
            write(0, 290, 310, DONE),
            write(2, 305, 320, DONE),
            write(1, 320, 350, DONE),
            write(1, 450, 460, DONE),
        ];
        let mut first = fault(100.0, Some(300.0), &["n2"]);
        let side = |names: &[&str]| Recovery {
            side: Some(names.iter().map(|&name| name.to_owned()).collect()),
            ..Recovery::default()
        };
        first.after = Some(side(&["n0", "n1"]));
        let mut second = fault(400.0, Some(420.0), &["n2"]);
        second.after = Some(side(&["n0", "n2"]));
        let faults = recoveries(&[first, second], &ended, Duration::from_millis(500));
        let after = faults[0].after.as_ref().expect("it ended");
        assert_eq!((after.watched_ms, after.first_ok_ms), (100.0, Some(10.0)));
        assert_eq!(after.first_new_ok_ms, Some(50.0));
        let after = faults[1].after.as_ref().expect("it ended");
        assert_eq!((after.watched_ms, after.first_ok_ms), (80.0, None));
    }

    #[test]
    fn a_later_change_ends_the_wait_for_recovery() {
        let faults = [
            fault(100.0, Some(200.0), &["n1"]),
            fault(150.0, None, &["n1"]),
            fault(250.0, None, &["n1"]),
        ];
        let ended = [write(1, 160, 205, DONE)];
        let faults = recoveries(&faults, &ended, Duration::from_millis(400));
        let watched: Vec<f64> = faults.iter().map(|fault| fault.watched_ms).collect();
        assert_eq!(watched, [50.0, 50.0, 150.0]);
        assert!(faults.iter().all(|fault| fault.first_ok_ms.is_none()));
        assert_eq!(faults[2].since_last_ok_ms, Some(45.0));
    }

    #[test]
    fn timeouts_before_the_first_ok_are_counted_apart() {
        // The third was made before the first ok and given up after it.
        let ended = [
            write(0, 5, 10, TIMEOUT),
            write(0, 19, 20, DONE),
            write(0, 5, 60, TIMEOUT),
            write(0, 20, 70, TIMEOUT),
        ];
        let timeouts = timeouts(&ended, Some(Duration::from_millis(20)));
        assert_eq!((timeouts.before_first_ok, timeouts.after_first_ok), (2, 1));
        let timeouts = super::timeouts(&ended, None);
        assert_eq!((timeouts.before_first_ok, timeouts.after_first_ok), (3, 0));
    }

    #[test]
    fn latencies_have_a_row_for_each_node_and_function() {
        let ended = [write(1, 10, 11, DONE), write(0, 10, 15, TIMEOUT)];
        let rows = latencies(2, &ended);
        let names = rows.iter().map(|row| (row.node.as_str(), row.f.as_str()));
        let names: Vec<_> = names.collect();
        let functions = ["all", "update", "write"];
        let expected = ["all", "n1"]
            .into_iter()
            .flat_map(|node| functions.map(|f| (node, f)));
        assert!(names.iter().copied().eq(expected), "{names:?}");
        assert!(rows.iter().all(|row| (row.count, row.max_ms) == (1, 1.0)));
    }
}
