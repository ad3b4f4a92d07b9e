//! `maelstrom-tests fuzz`: one target after the other, with a line for each.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use super::options::Options;
use super::{Report, TARGETS, Target, search};
use crate::check::Status;

/// How often progress is told.
const TOLD: Duration = Duration::from_secs(1);

/// How often where it cannot be overwritten.
const TOLD_ON: Duration = Duration::from_secs(10);

/// Runs the subcommand.
///
/// # Errors
/// If the system gives no thread, or the output cannot be written to.
pub fn run(options: &Options) -> io::Result<Status> {
    let mut out = io::stdout();
    if options.list {
        for target in TARGETS {
            writeln!(out, "{:10} {}", target.name(), target.about())?;
        }
        return Ok(Status::Valid);
    }
    writeln!(out, "seed {}", options.plan.first_seed)?;
    let mut status = Status::Valid;
    for target in &options.targets {
        let mut progress = Progress::of(*target);
        let report = search(*target, &options.plan, &mut |inputs, time| {
            progress.tell(inputs, time);
        })?;
        progress.end();
        tell(*target, &report, &mut out)?;
        if report.finding.is_some() {
            status = Status::Invalid;
        }
    }
    Ok(status)
}

fn tell(target: &dyn Target, report: &Report, out: &mut dyn io::Write) -> io::Result<()> {
    writeln!(out, "{}", rate(target, report.inputs, report.time))?;
    let classes: Vec<String> = report
        .seen
        .classes()
        .map(|(class, count)| format!("{class} {count}"))
        .collect();
    writeln!(out, "  {}", classes.join(", "))?;
    let missing = report.seen.missing(target);
    if !missing.is_empty() {
        writeln!(out, "  never met: {}", missing.join(", "))?;
    }
    match &report.finding {
        Some(finding) => writeln!(out, "{finding}"),
        None => Ok(()),
    }
}

fn rate(target: &dyn Target, inputs: u64, time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let rate = (inputs as f64 / seconds.max(1e-9)) as u64;
    format!(
        "{:10} {inputs} inputs in {seconds:.1} s, {rate}/s",
        target.name()
    )
}

/// A line now and then on standard error.
struct Progress<'a> {
    target: &'a dyn Target,
    is_terminal: bool,
    due: Duration,
}

impl<'a> Progress<'a> {
    fn of(target: &'a dyn Target) -> Self {
        let is_terminal = io::stderr().is_terminal();
        let mut progress = Self {
            target,
            is_terminal,
            due: Duration::ZERO,
        };
        progress.due = progress.interval();
        progress
    }

    fn interval(&self) -> Duration {
        if self.is_terminal { TOLD } else { TOLD_ON }
    }

    fn tell(&mut self, inputs: u64, time: Duration) {
        if time < self.due {
            return;
        }
        self.due = time + self.interval();
        let line = rate(self.target, inputs, time);
        if self.is_terminal {
            eprint!("\r{line}\x1b[K");
        } else {
            eprintln!("{line}");
        }
    }

    fn end(&self) {
        if self.is_terminal {
            eprint!("\r\x1b[K");
        }
    }
}
