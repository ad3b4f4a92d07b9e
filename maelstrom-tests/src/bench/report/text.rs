//! What a run came to, for people.

use std::io::{self, Write};
use std::path::Path;

use super::results::{Counts, Fault, Results};
use crate::check;
use crate::linearizability::Analysis;

/// Prints the report on standard output, the verdict last. `folder` is where the results are.
///
/// # Errors
/// Standard output can't be written to.
pub fn print(results: &Results, analysis: &Analysis, folder: &Path) -> io::Result<()> {
    let mut out = io::stdout().lock();
    write!(out, "\n{}\n", text(results))?;
    check::report(analysis, &mut out)?;
    writeln!(
        out,
        "In {}: results.json, history.jsonl, pictures, node logs.",
        folder.display()
    )?;
    match &results.reason {
        Some(reason) => writeln!(out, "{}: {reason}", results.verdict),
        None => writeln!(out, "{}", results.verdict),
    }
}

/// All of the report but the verdict.
fn text(results: &Results) -> String {
    let sections = [
        operations(results),
        latencies(results),
        messages(results),
        faults(results),
    ];
    let sections = sections.into_iter().filter(|section| !section.is_empty());
    sections.collect::<Vec<_>>().join("\n")
}

fn operations(results: &Results) -> String {
    let mut text = String::from("operations        ok     fail     info   errors\n");
    let operations = &results.operations;
    for (name, counts) in [
        ("read", &operations.read),
        ("write", &operations.write),
        ("cas", &operations.cas),
        ("all", &operations.all),
    ] {
        let line = format!(
            "  {name:9} {:8} {:8} {:8}   {}",
            counts.ok,
            counts.fail,
            counts.info,
            errors(counts)
        );
        text += &format!("{}\n", line.trim_end());
    }
    let availability = match (
        results.availability.ok_fraction,
        results.availability.required,
    ) {
        (None, _) => "-".to_owned(),
        (Some(ok), None) => format!("{ok:.3}"),
        (Some(ok), Some(required)) => format!("{ok:.3} (demanded: {required})"),
    };
    text += &format!(
        "  availability {availability}, {:.0} requests/s, first ok after {}\n",
        results.requests_per_s,
        optional_ms(results.first_ok_ms)
    );
    let timeouts = &results.timeouts;
    if timeouts.before_first_ok + timeouts.after_first_ok > 0 {
        text += &format!(
            "  timed out: {} asked before the first ok, {} after; {} of the answers came later\n",
            timeouts.before_first_ok, timeouts.after_first_ok, results.late_answers
        );
    }
    text
}

/// Time-outs are called so; Maelstrom's code for them is 0.
fn errors(counts: &Counts) -> String {
    let errors = counts.errors.iter().map(|error| match error.code {
        0 => format!("timeout: {}", error.count),
        code => format!("{code}: {}", error.count),
    });
    errors.collect::<Vec<_>>().join("  ")
}

fn latencies(results: &Results) -> String {
    let mut text = String::new();
    for row in &results.latencies {
        // Writes and cas take the same way; apart they are in results.json.
        let shown = match (row.node.as_str(), row.f.as_str()) {
            ("all", _) => row.f != "update",
            (_, f) => matches!(f, "read" | "update"),
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

fn messages(results: &Results) -> String {
    let messages = &results.messages;
    let each = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    let mut text = format!(
        "messages per operation: {} in all, {} between servers\n",
        each(messages.per_operation),
        each(messages.servers_per_operation)
    );
    for traffic in &messages.by_type {
        let name = if traffic.name.is_empty() {
            "(no type)"
        } else {
            &traffic.name
        };
        let mean = traffic.bytes / traffic.count.max(1);
        text += &format!(
            "  {name:20} {:9} of {mean} bytes on average\n",
            traffic.count
        );
    }
    let dropped = [
        ("lost", messages.lost),
        ("doubled", messages.doubled),
        ("dropped by partitions", messages.cut),
        ("dropped at dead nodes", messages.dead),
        ("dropped by full queues", messages.overflowed),
    ];
    let dropped = dropped.into_iter().filter(|(_, count)| *count > 0);
    let dropped: Vec<String> = dropped
        .map(|(what, count)| format!("{count} {what}"))
        .collect();
    if !dropped.is_empty() {
        text += &format!("  {}\n", dropped.join(", "));
    }
    text += &match &results.elections {
        Some(elections) => format!(
            "elections: votes were asked for in {} {}, up to term {}\n",
            elections.terms,
            if elections.terms == 1 {
                "term"
            } else {
                "terms"
            },
            elections.highest_term
        ),
        None => "elections: -\n".to_owned(),
    };
    text
}

fn faults(results: &Results) -> String {
    if results.faults.is_empty() {
        return String::new();
    }
    let lines = results.faults.iter().map(|fault| {
        let ended = fault
            .ended_ms
            .map_or("end".to_owned(), |ms| format!("{:.1}", ms / 1000.0));
        format!(
            "  {:6.1} to {ended:>5} s  {}; {}\n",
            fault.began_ms / 1000.0,
            fault.what,
            recovery(fault)
        )
    });
    let lines: String = lines.collect();
    format!("faults, and when the clients of a connected majority got their first ok\n{lines}")
}

fn recovery(fault: &Fault) -> String {
    let Some(side) = &fault.side else {
        return "no connected majority".to_owned();
    };
    let side = side.join(",");
    match (fault.first_ok_ms, fault.first_new_ok_ms) {
        (None, _) => format!("{side} no ok in {:.0} ms", fault.watched_ms),
        (Some(first), new) => {
            format!(
                "{side} after {first:.0} ms (asked after the fault: {})",
                optional_ms(new)
            )
        }
    }
}

fn optional_ms(ms: Option<f64>) -> String {
    ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"))
}
