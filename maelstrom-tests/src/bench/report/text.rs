//! The results of a run as text: one screen that begins with how to read it and ends with the
//! verdict, and the details that `--verbose` adds.

use std::io::{self, Write};
use std::path::Path;

use raft::stdio::stdout;

use super::results::{Fault, Messages, Recovery, Results};
use crate::check::{self, Status, counted};
use crate::joined;
use crate::linearizability::Analysis;

/// How to read the counts, in one sentence.
const LEGEND: &str = "\
ok: done; fail: changed nothing, which is normal for a read or cas of a missing key (20), a cas that finds
another value (22) and a read without an answer; info: unknown, it may have taken effect or may still do so.
";

/// Prints the report on standard output, the verdict last. `folder` holds the files of the run.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print(
    (status, results): (Status, &Results),
    analysis: &Analysis,
    folder: &Path,
    verbose: bool,
) -> io::Result<()> {
    let mut out = stdout();
    let more = if verbose {
        ""
    } else {
        "; --verbose prints more"
    };
    write!(out, "\n{}", text(results, verbose))?;
    writeln!(
        out,
        "files: {}/ (results.json, history.jsonl, latency.svg, rate.svg, messages.svg, node-logs){more}\n",
        folder.display()
    )?;
    for node in &results.unfinished {
        writeln!(out, "{node}")?;
    }
    if let Some(stopped) = results.stopped_s {
        writeln!(
            out,
            "stopped by a signal after {stopped:.1} of {} s: the verdict is that on the history until then; the keys were not read at the end",
            results.time_limit_s
        )?;
    }
    check::report(analysis, &mut out)?;
    check::conclude(status, results.reason.as_deref(), &mut out)
}

/// All of the report but the verdict.
fn text(results: &Results, verbose: bool) -> String {
    let mut text = format!("{LEGEND}\n{}", operations(results));
    text += &latencies(results, verbose);
    text += &messages(&results.messages, verbose);
    if let Some(elections) = &results.elections {
        let terms = counted(elections.terms, "term");
        let highest = elections.highest_term;
        text += &format!("elections: nodes asked for votes in {terms}, up to term {highest}\n");
    }
    text + &faults(results, verbose)
}

fn operations(results: &Results) -> String {
    let mut text = String::from("operations        ok     fail     info   error codes\n");
    let operations = &results.operations;
    for (name, counts) in [
        ("read", &operations.read),
        ("write", &operations.write),
        ("cas", &operations.cas),
        ("delete", &operations.delete),
        ("all", &operations.all),
    ] {
        if name == "delete" && counts.total() == 0 {
            continue;
        }
        let errors = counts.errors.iter().map(|error| match error.code {
            0 => format!("timeout: {}", error.count),
            code => format!("{code}: {}", error.count),
        });
        let errors = joined(errors, "  ");
        let (ok, fail, info) = (counts.ok, counts.fail, counts.info);
        let line = format!("  {name:9} {ok:8} {fail:8} {info:8}   {errors}");
        text += &format!("{}\n", line.trim_end());
    }
    let errors = operations.all.errors.iter();
    let meanings = joined(errors.map(|error| meaning(error.code)), "; ");
    if !meanings.is_empty() {
        text += &format!("  {meanings}\n");
    }
    let timeouts = &results.timeouts;
    if timeouts.before_first_ok + timeouts.after_first_ok > 0 {
        text += &format!(
            "  timeouts: {} before the first ok, {} after it; {} came after the timeout\n",
            timeouts.before_first_ok,
            timeouts.after_first_ok,
            counted(results.late_answers as usize, "answer")
        );
    }
    if results.retries > 0 {
        text += &format!(
            "  in sessions, changes were sent again {}\n",
            counted(results.retries as usize, "time")
        );
    }
    let availability = &results.availability;
    let required = match availability.required {
        Some(required) => format!("required: {required}"),
        None => "the share of ok; a cas that finds another value lowers it".to_owned(),
    };
    text + &format!(
        "  availability: {} ({required}); {:.0} requests/s; first ok after {}\n",
        optional(availability.ok_fraction, 3, ""),
        results.requests_per_s,
        optional(results.first_ok_ms, 0, " ms")
    )
}

/// An error code and what it means to a client of `lin-kv`.
fn meaning(code: u64) -> &'static str {
    match code {
        0 => "timeout: no answer in time",
        11 => "11: refused for now, e.g. no leader",
        13 => "13: not confirmed by a quorum in time",
        20 => "20: no such key",
        22 => "22: the key holds another value",
        _ => "other codes: see Maelstrom's list of errors",
    }
}

fn latencies(results: &Results, verbose: bool) -> String {
    let mut text = String::new();
    for row in &results.latencies {
        // All but reads take the same way; results.json has them apart for each node.
        let name = match (row.node.as_str(), row.f.as_str()) {
            ("all", f) if matches!(f, "read" | "write" | "cas" | "delete") => f.to_owned(),
            (node, f) if verbose && matches!(f, "read" | "update") => format!("{node} {f}"),
            _ => continue,
        };
        text += &format!(
            "  {name:10} {:7} {:8.1} {:8.1} {:8.1} {:8.1}\n",
            row.count, row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms
        );
    }
    match text.as_str() {
        "" => text,
        rows => format!("latency of ok, ms        p50      p95      p99      max\n{rows}"),
    }
}

fn messages(messages: &Messages, verbose: bool) -> String {
    let mut text = format!(
        "messages per operation: {}",
        optional(messages.per_operation, 2, "")
    );
    // There are none of a single node, and over TCP they are not counted.
    if messages.servers > 0 {
        let between = optional(messages.servers_per_operation, 2, "");
        text += &format!(", of which {between} between nodes");
    }
    for (count, what) in [
        (messages.lost, "lost"),
        (messages.doubled, "sent twice"),
        (messages.cut, "dropped by partitions"),
        (messages.dead, "dropped at killed nodes"),
        (messages.overflowed, "dropped by full queues"),
    ] {
        if count > 0 {
            text += &format!("; {count} {what}");
        }
    }
    text += "\n";
    for traffic in messages.by_type.iter().filter(|_| verbose) {
        let name = match traffic.name.as_str() {
            "" => "(no type)",
            name => name,
        };
        let mean = traffic.bytes / traffic.count.max(1);
        text += &format!(
            "  {name:20} {:9} of {mean} bytes on average\n",
            traffic.count
        );
    }
    text
}

fn faults(results: &Results, verbose: bool) -> String {
    let faults = &results.faults;
    let kinds = results.nemesis.iter().filter_map(|kind| {
        let number = faults.iter().filter(|fault| fault.kind == *kind).count();
        let one = kind.strip_suffix('s').unwrap_or(kind);
        (number > 0).then(|| counted(number, one))
    });
    let kinds = joined(kinds, ", ");
    if kinds.is_empty() {
        return String::new();
    }
    let during: Vec<Recovery> = faults.iter().map(Fault::during).collect();
    let after: Vec<&Recovery> = faults
        .iter()
        .filter_map(|fault| fault.after.as_ref())
        .collect();
    let mut text = format!("faults: {kinds}; {}\n", recovered(&during));
    // A transfer or a change of the members is over at once.
    if !after.is_empty() {
        text += &format!("  after their ends, {}\n", recovered(after));
    }
    for fault in faults.iter().filter(|_| verbose) {
        let (began, recovery) = (fault.began_ms / 1000.0, row(fault));
        let ended = fault.ended_ms.map(|ms| ms / 1000.0);
        let ended = ended.map_or("end".to_owned(), |ended| format!("{ended:.1}"));
        text += &format!(
            "  {began:6.1} to {ended:>5} s  {}; {recovery}\n",
            fault.what
        );
    }
    text
}

/// After how many changes a majority was connected, and how long it took until it served a request
/// that was made after the change.
fn recovered<'a>(changes: impl IntoIterator<Item = &'a Recovery>) -> String {
    let watched = changes.into_iter().filter(|change| change.side.is_some());
    let watched: Vec<&Recovery> = watched.collect();
    let mut firsts: Vec<f64> = watched
        .iter()
        .filter_map(|change| change.first_new_ok_ms)
        .collect();
    firsts.sort_by(f64::total_cmp);
    let range = match &firsts[..] {
        [least, .., most] | [least @ most] => format!(" after {least:.0} to {most:.0} ms,"),
        [] => String::new(),
    };
    let (watched, served) = (watched.len(), firsts.len());
    format!(
        "in {watched} a majority was connected, in {served} of these a new request was ok{range} before the next change"
    )
}

fn row(fault: &Fault) -> String {
    let watched = |recovery: &Recovery| {
        let side = recovery.side.as_ref()?.join(",");
        Some(match recovery.first_ok_ms {
            None => format!("{side}: no ok in {:.0} ms", recovery.watched_ms),
            Some(first) => format!(
                "{side}: first ok after {first:.0} ms, of a new request after {}",
                optional(recovery.first_new_ok_ms, 0, " ms")
            ),
        })
    };
    let none = || "no connected majority".to_owned();
    let during = watched(&fault.during()).unwrap_or_else(|| match fault.majority_ms {
        None => none(),
        Some(until) => format!("no connected majority until {:.1} s", until / 1000.0),
    });
    match &fault.after {
        None => during,
        Some(after) => {
            let after = watched(after).unwrap_or_else(none);
            format!("{during}; after its end, {after}")
        }
    }
}

fn optional(value: Option<f64>, decimals: usize, unit: &str) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.decimals$}{unit}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn side() -> Option<Vec<String>> {
        Some(vec!["n0".to_owned(), "n2".to_owned()])
    }

    #[test]
    fn row_says_until_when_there_was_no_majority() {
        let mut fault = Fault::default();
        assert_eq!(row(&fault), "no connected majority");
        fault.majority_ms = Some(3410.0);
        fault.after = Some(Recovery {
            side: side(),
            watched_ms: 500.0,
            ..Recovery::default()
        });
        let told = "no connected majority until 3.4 s; after its end, n0,n2: no ok in 500 ms";
        assert_eq!(row(&fault), told);
    }

    #[test]
    fn recoveries_are_counted_and_ranged() {
        let change = |side, first_new_ok_ms| Recovery {
            side,
            first_new_ok_ms,
            ..Recovery::default()
        };
        let changes = [
            change(side(), Some(7.0)),
            change(None, None),
            change(side(), None),
            change(side(), Some(3.0)),
        ];
        assert_eq!(
            recovered(&changes),
            "in 3 a majority was connected, in 2 of these a new request was ok after 3 to 7 ms, before the next change"
        );
    }
}
