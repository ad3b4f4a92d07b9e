//! A line of progress for each second of a run. On a terminal it replaces the one before.

use std::fs::File;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::Command;
use std::time::Duration;

use super::record::Record;
use super::results::{Counts, Fault};
use crate::joined;
use crate::svg::shorten;

const INTERVAL: Duration = Duration::from_secs(1);

/// How wide a terminal is assumed to be if it does not say.
const WIDTH: usize = 100;

/// The progress of a run on standard output.
#[derive(Debug)]
pub struct Progress {
    /// The width of the terminal, if standard output is one.
    terminal: Option<usize>,
    /// When the next line is to be printed.
    pub due: Duration,
    /// When the last line was printed, and how many operations had ended then.
    last: (Duration, u64),
    /// The line on the terminal has no end yet.
    open: bool,
}

impl Progress {
    /// Before the first line.
    pub fn on_stdout() -> Progress {
        Progress {
            terminal: io::stdout()
                .is_terminal()
                .then(|| columns().unwrap_or(WIDTH)),
            due: INTERVAL,
            last: (Duration::ZERO, 0),
            open: false,
        }
    }

    /// Prints that all nodes have answered `init`, and how long that took.
    pub fn initialised(&mut self, took: Duration) {
        print(&format!(
            "all nodes initialised in {} ms\n",
            took.as_millis()
        ));
    }

    /// Prints the next line if it is due. Returns whether it was.
    pub fn tick(&mut self, now: Duration, record: &Record) -> bool {
        if now < self.due {
            return false;
        }
        let line = self.line(now, &record.results.operations.all, &record.results.faults);
        match self.terminal {
            Some(width) => print(&replacing(&line, width)),
            None => print(&format!("{line}\n")),
        }
        self.open = self.terminal.is_some();
        self.due = now + INTERVAL;
        true
    }

    /// Ends an open line, so that other lines can be printed.
    pub fn end(&mut self) {
        if self.open {
            print("\n");
            self.open = false;
        }
    }

    fn line(&mut self, now: Duration, all: &Counts, faults: &[Fault]) -> String {
        let (last, ended) = std::mem::replace(&mut self.last, (now, all.total()));
        let rate = (all.total() - ended) as f64 / now.saturating_sub(last).as_secs_f64();
        let faults = faults.iter().filter(|fault| fault.ended_ms.is_none());
        let faults = joined(faults.map(|fault| &fault.what), "; ");
        let line = format!(
            "{:5.0} s {rate:7.0}/s   ok {:<7} fail {:<7} info {:<5} {faults}",
            now.as_secs_f64(),
            all.ok,
            all.fail,
            all.info,
        );
        line.trim_end().to_owned()
    }
}

/// The width of this process's terminal, from the environment or `stty`.
fn columns() -> Option<usize> {
    let columns = std::env::var("COLUMNS").ok().or_else(|| {
        let terminal = File::open("/dev/tty").ok()?;
        let size = Command::new("stty")
            .arg("size")
            .stdin(terminal)
            .output()
            .ok()?;
        let size = String::from_utf8(size.stdout).ok()?;
        size.split_whitespace().nth(1).map(str::to_owned)
    })?;
    // A terminal of unknown size has 0 columns.
    columns.parse().ok().filter(|columns| *columns > 0)
}

/// Replaces the terminal's current line. A line that does not fit is cut, since one that wraps
/// would leave all but its end.
fn replacing(line: &str, width: usize) -> String {
    let text = shorten(line, width);
    format!("\r\x1b[K{text}")
}

/// A closed standard output is no reason to end a run.
fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_too_long_for_the_terminal_is_cut() {
        assert_eq!(replacing("1 s", 3), "\r\x1b[K1 s");
        assert_eq!(replacing("1 s n0 n13", 8), "\r\x1b[K1 s n0 …");
    }

    #[test]
    fn a_line_shows_counts_and_present_faults() {
        let fault = |what: &str, ended_ms| Fault {
            what: what.to_owned(),
            ended_ms,
            ..Fault::default()
        };
        let faults = [fault("pause n2", Some(1.0)), fault("pause n1", None)];
        let mut progress = Progress::on_stdout();
        let line = progress.line(Duration::from_secs(2), &Counts::default(), &faults);
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words.join(" "), "2 s 0/s ok 0 fail 0 info 0 pause n1");
    }
}
