//! The results of a run as text: one screen that begins with how to read it and ends with the
//! verdict, and the details that `--verbose` adds.

use std::io::{self, Write};
use std::path::Path;

use raft::stdio::stdout;

use super::results::{Counts, Fault, Messages, Results};
use crate::check::{self, Status, counted};
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
        ("all", &operations.all),
    ] {
        let Counts {
            ok,
            fail,
            info,
            errors,
        } = counts;
        let errors = errors.iter().map(|error| match error.code {
            0 => format!("timeout: {}", error.count),
            code => format!("{code}: {}", error.count),
        });
        let errors = errors.collect::<Vec<_>>().join("  ");
        let line = format!("  {name:9} {ok:8} {fail:8} {info:8}   {errors}");
        text += &format!("{}\n", line.trim_end());
    }
    let meanings = operations
        .all
        .errors
        .iter()
        .map(|error| meaning(error.code));
    let meanings: Vec<&str> = meanings.collect();
    if !meanings.is_empty() {
        text += &format!("  {}\n", meanings.join("; "));
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
        // Writes and cas take the same way; results.json has them apart for each node.
        let name = match (row.node.as_str(), row.f.as_str()) {
            ("all", f) if matches!(f, "read" | "write" | "cas") => f.to_owned(),
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
        "messages per operation: {}, of which {} between nodes",
        optional(messages.per_operation, 2, ""),
        optional(messages.servers_per_operation, 2, "")
    );
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
        (number > 0).then(|| counted(number, kind))
    });
    let kinds: Vec<String> = kinds.collect();
    if kinds.is_empty() {
        return String::new();
    }
    let watched = faults.iter().filter(|fault| fault.side.is_some()).count();
    let mut firsts: Vec<f64> = faults
        .iter()
        .filter_map(|fault| fault.first_new_ok_ms)
        .collect();
    firsts.sort_by(f64::total_cmp);
    let mut text = format!(
        "faults: {}; in {watched} a majority stayed connected, in {} of these a new request was ok",
        kinds.join(", "),
        firsts.len()
    );
    if let [least, .., most] | [least @ most] = &firsts[..] {
        text += &format!(" after {least:.0} to {most:.0} ms,");
    }
    text += " before the next fault\n";
    for fault in faults.iter().filter(|_| verbose) {
        let (began, recovery) = (fault.began_ms / 1000.0, recovery(fault));
        let ended = fault.ended_ms.map(|ms| ms / 1000.0);
        let ended = ended.map_or("end".to_owned(), |ended| format!("{ended:.1}"));
        text += &format!(
            "  {began:6.1} to {ended:>5} s  {}; {recovery}\n",
            fault.what
        );
    }
    text
}

fn recovery(fault: &Fault) -> String {
    let Some(side) = &fault.side else {
        return "no connected majority".to_owned();
    };
    let side = side.join(",");
    match fault.first_ok_ms {
        None => format!("{side}: no ok in {:.0} ms", fault.watched_ms),
        Some(first) => format!(
            "{side}: first ok after {first:.0} ms, of a new request after {}",
            optional(fault.first_new_ok_ms, 0, " ms")
        ),
    }
}

fn optional(value: Option<f64>, decimals: usize, unit: &str) -> String {
    value.map_or("-".to_owned(), |value| format!("{value:.decimals$}{unit}"))
}
