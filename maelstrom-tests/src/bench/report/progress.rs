//! A line a second on what a run is doing. On a terminal it replaces the one before.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use super::statistics::Statistics;

const INTERVAL: Duration = Duration::from_secs(1);

/// The progress of a run as it is told on standard output.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    due: Duration,
    /// When the last line was printed, and how many operations had ended then.
    last: (Duration, u64),
    /// A line without its end is on the terminal.
    open: bool,
}

impl Progress {
    /// Nothing has been told yet of a run on this standard output.
    pub fn on_stdout() -> Progress {
        Progress {
            terminal: io::stdout().is_terminal(),
            due: INTERVAL,
            last: (Duration::ZERO, 0),
            open: false,
        }
    }

    /// Tells that all nodes have answered `init`, and how long that took.
    pub fn initialised(&mut self, took: Duration) {
        say(&format!(
            "all nodes initialised in {} ms\n",
            took.as_millis()
        ));
    }

    /// When the next line is to be printed.
    pub fn due(&self) -> Duration {
        self.due
    }

    /// Prints the next line if it is time.
    pub fn tick(&mut self, now: Duration, statistics: &Statistics) {
        if now < self.due {
            return;
        }
        let line = self.line(now, statistics);
        if self.terminal {
            say(&replacing(&line));
            self.open = true;
        } else {
            say(&format!("{line}\n"));
        }
        self.due = now + INTERVAL;
    }

    /// Ends an open line, so that something else can be printed.
    pub fn end(&mut self) {
        if self.open {
            say("\n");
            self.open = false;
        }
    }

    fn line(&mut self, now: Duration, statistics: &Statistics) -> String {
        let outcomes = statistics.all_outcomes();
        let (last, ended) = std::mem::replace(&mut self.last, (now, outcomes.total()));
        let rate = (outcomes.total() - ended) as f64 / now.saturating_sub(last).as_secs_f64();
        let faults = statistics
            .faults
            .iter()
            .filter(|fault| fault.ended.is_none());
        let faults: Vec<&str> = faults.map(|fault| fault.what.as_str()).collect();
        format!(
            "{:5.0} s {rate:7.0}/s   ok {:<7} fail {:<7} info {:<5} {}",
            now.as_secs_f64(),
            outcomes.ok,
            outcomes.fail,
            outcomes.info,
            faults.join("; ")
        )
        .trim_end()
        .to_owned()
    }
}

/// What makes a terminal show this instead of the line before: back to the beginning of the line,
/// and away with what stands there. A line that is too long is cut off at the edge, since of one
/// that wraps all but the end would stay.
fn replacing(line: &str) -> String {
    const NO_WRAP: &str = "\x1b[?7l";
    const WRAP: &str = "\x1b[?7h";
    format!("\r\x1b[K{NO_WRAP}{line}{WRAP}")
}

/// Progress is not worth a run: where standard output is closed, it is not told.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::nemesis::Kind;
    use crate::bench::report::statistics::Fault;

    #[test]
    fn a_line_too_long_for_the_terminal_does_not_wrap_and_what_follows_does() {
        assert_eq!(replacing("1 s"), "\r\x1b[K\x1b[?7l1 s\x1b[?7h");
    }

    #[test]
    fn a_line_says_what_goes_on() {
        let mut statistics = Statistics::default();
        let fault = |ended| Fault {
            kind: Kind::Pause,
            label: "pause n2".into(),
            what: "pause n2".into(),
            began: Duration::ZERO,
            since_last_ok: None,
            ended,
            side: None,
            watched: None,
            first_ok: None,
            first_new_ok: None,
        };
        statistics.fault_began(fault(Some(Duration::from_millis(1))));
        statistics.fault_began(fault(None));
        let line = Progress::on_stdout().line(Duration::from_secs(2), &statistics);
        let words: Vec<&str> = line.split_whitespace().collect();
        let expected = [
            "2", "s", "0/s", "ok", "0", "fail", "0", "info", "0", "pause", "n2",
        ];
        assert_eq!(words, expected);
    }
}
