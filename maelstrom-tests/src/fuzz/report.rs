//! `maelstrom-tests fuzz`: runs one target after the other and prints a line for each.

use std::io;
use std::time::Duration;

use super::options::Options;
use super::{Report, TARGETS, Target, search};
use crate::check::Status;
use crate::progress::Progress;

/// Classes that did not occur in fewer inputs are not worth a line.
const COVERING_INPUTS: u64 = 1_000;

/// Runs the subcommand. Prints to `out`.
///
/// # Errors
/// If the system cannot start a thread, or the output cannot be written.
pub fn run(options: &Options, out: &mut dyn io::Write) -> io::Result<Status> {
    if options.list {
        for target in &TARGETS {
            writeln!(out, "{:10} {}", target.name, target.about)?;
        }
        return Ok(Status::Valid);
    }
    writeln!(out, "seed {}", options.plan.first_seed)?;
    let mut status = Status::Valid;
    for target in &options.targets {
        let progress = Progress::new();
        let report = search(target, &options.plan, &mut |inputs, time| {
            progress.print(|| rate(target, inputs, time));
        })?;
        progress.end();
        print(target, &report, out)?;
        if report.finding.is_some() {
            status = Status::Invalid;
        }
    }
    Ok(status)
}

fn print(target: &Target, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "{}", rate(target, report.inputs, report.time))?;
    let classes = report.seen.classes();
    let classes: Vec<String> = classes.map(|(class, n)| format!("{class} {n}")).collect();
    writeln!(out, "  {}", classes.join(", "))?;
    let missing = report.seen.missing(target);
    if !missing.is_empty() && report.inputs >= COVERING_INPUTS {
        writeln!(out, "  never occurred: {}", missing.join(", "))?;
    }
    match &report.finding {
        Some(finding) => writeln!(out, "{finding}"),
        None => Ok(()),
    }
}

fn rate(target: &Target, inputs: u64, time: Duration) -> String {
    let (name, seconds) = (target.name, time.as_secs_f64());
    let rate = (inputs as f64 / seconds.max(1e-9)) as u64;
    let noun = if inputs == 1 { "input" } else { "inputs" };
    format!("{name:10} {inputs} {noun} in {seconds:.1} s, {rate}/s")
}
