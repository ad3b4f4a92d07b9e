//! The results of a run as text: one screen that begins with how to read it and ends with the
//! verdict, and the details that `--verbose` adds.

use std::io::{self, Write};
use std::path::Path;

use super::results::{Counts, Fault, Messages, Results};
use crate::check;
use crate::linearizability::Analysis;

/// The first line of the report.
const LEGEND: &str = "\
ok: done; fail: not done, which is normal where a read or cas finds no key (20) or a cas another value (22);
info: unknown, it may have taken effect or may still do so.
";

/// Prints the report on standard output, the verdict last. `folder` holds the files of the run.
///
/// # Errors
/// Standard output cannot be written to.
pub fn print(
    results: &Results,
    analysis: &Analysis,
    folder: &Path,
    verbose: bool,
) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "\n{}\n", text(results, verbose))?;
    check::report(analysis, &mut out)?;
    let more = if verbose {
        ""
    } else {
        " --verbose prints more."
    };
    writeln!(
        out,
        "In {}: results.json, history.jsonl, pictures, node logs.{more}",
        folder.display()
    )?;
    match &results.reason {
        Some(reason) => writeln!(out, "{}: {reason}", results.verdict),
        None => writeln!(out, "{}", results.verdict),
    }
}

/// All of the report but the verdict.
fn text(results: &Results, verbose: bool) -> String {
    let mut text = format!("{LEGEND}\n");
    text += &operations(results);
    text += &latencies(results, verbose);
    text += &messages(&results.messages, verbose);
    if let Some(elections) = &results.elections {
        let terms = count(elections.terms as u64, "term");
        let highest = elections.highest_term;
        text += &format!("elections: nodes asked for votes in {terms}, up to term {highest}\n");
    }
    text += &faults(results, verbose);
    text
}

/// A number with its noun.
fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn operations(results: &Results) -> String {
    let mut text = String::from("operations        ok     fail     info   errors by code\n");
    let operations = &results.operations;
    for (name, counts) in [
        ("read", &operations.read),
        ("write", &operations.write),
        ("cas", &operations.cas),
        ("all", &operations.all),
    ] {
        let Counts { ok, fail, info, .. } = counts;
        let line = format!("  {name:9} {ok:8} {fail:8} {info:8}   {}", errors(counts));
        text += &format!("{}\n", line.trim_end());
    }
    let meanings = operations
        .all
        .errors
        .iter()
        .map(|error| meaning(error.code));
    let meanings: Vec<String> = meanings.collect();
    if !meanings.is_empty() {
        text += &format!("  codes: {}\n", meanings.join("; "));
    }
    let availability = &results.availability;
    let required = match availability.required {
        Some(required) => format!(" (required: {required})"),
        None => " (the share of ok; a cas of another value lowers it)".to_owned(),
    };
    text += &format!(
        "  availability {}{required}; {:.0} requests/s; first ok after {}\n",
        optional(availability.ok_fraction, 3, ""),
        results.requests_per_s,
        optional(results.first_ok_ms, 0, " ms")
    );
    let timeouts = &results.timeouts;
    if timeouts.before_first_ok + timeouts.after_first_ok > 0 {
        text += &format!(
            "  timed out: {} made before the first ok, {} after it; {} later\n",
            count(timeouts.before_first_ok, "request"),
            timeouts.after_first_ok,
            count(results.late_answers, "answer") + " came"
        );
    }
    text
}

/// Error codes and how often each occurred. Maelstrom's code of a time-out is 0.
fn errors(counts: &Counts) -> String {
    let errors = counts.errors.iter().map(|error| match error.code {
        0 => format!("timeout: {}", error.count),
        code => format!("{code}: {}", error.count),
    });
    errors.collect::<Vec<_>>().join("  ")
}

/// What an error code means in a `lin-kv` run.
fn meaning(code: u64) -> String {
    let meaning = match code {
        0 => return "timeout no answer in time".to_owned(),
        11 => "refused, e.g. there is no leader",
        13 => "unknown, no quorum confirmed it in time",
        20 => "no such key",
        22 => "the key holds another value",
        _ => "see Maelstrom's list of errors",
    };
    format!("{code} {meaning}")
}

fn latencies(results: &Results, verbose: bool) -> String {
    let mut text = String::new();
    for row in &results.latencies {
        // Writes and cas take the same way; results.json has them apart for each node.
        let shown = match (row.node.as_str(), row.f.as_str()) {
            ("all", f) => f != "update",
            (_, f) => verbose && matches!(f, "read" | "update"),
        };
        if shown {
            text += &format!(
                "  {:4} {:7} {:8} {:8.1} {:8.1} {:8.1} {:8.1}\n",
                row.node, row.f, row.count, row.p50_ms, row.p95_ms, row.p99_ms, row.max_ms
            );
        }
    }
    if text.is_empty() {
        return text;
    }
    format!("latency of ok answers, ms    p50      p95      p99      max\n{text}")
}

fn messages(messages: &Messages, verbose: bool) -> String {
    let mut text = format!(
        "messages per operation: {} in all, {} between servers\n",
        optional(messages.per_operation, 2, ""),
        optional(messages.servers_per_operation, 2, "")
    );
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
    let dropped = [
        (messages.lost, "lost"),
        (messages.doubled, "sent twice"),
        (messages.cut, "dropped by partitions"),
        (messages.dead, "dropped at killed nodes"),
        (messages.overflowed, "dropped by full queues"),
    ];
    let dropped = dropped.into_iter().filter(|(count, _)| *count > 0);
    let dropped: Vec<String> = dropped
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !dropped.is_empty() {
        text += &format!("  {}\n", dropped.join(", "));
    }
    text
}

fn faults(results: &Results, verbose: bool) -> String {
    let faults = &results.faults;
    let kinds = results.nemesis.iter().filter_map(|kind| {
        let number = faults.iter().filter(|fault| fault.kind == *kind).count();
        (number > 0).then(|| count(number as u64, kind))
    });
    let kinds: Vec<String> = kinds.collect();
    if kinds.is_empty() {
        return String::new();
    }
    let mut text = format!("faults: {}\n", kinds.join(", "));
    let sided: Vec<&Fault> = faults.iter().filter(|fault| fault.side.is_some()).collect();
    let firsts = sided.iter().filter_map(|fault| fault.first_new_ok_ms);
    let (least, most) = firsts
        .clone()
        .fold((f64::INFINITY, 0.0), |(least, most), ms| {
            (f64::min(least, ms), f64::max(most, ms))
        });
    text += &format!(
        "  {} left a connected majority; after {} of them it answered a new request ok",
        sided.len(),
        firsts.clone().count()
    );
    text += &match firsts.count() {
        0 => "\n".to_owned(),
        _ => format!(", in {least:.0} to {most:.0} ms\n"),
    };
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
