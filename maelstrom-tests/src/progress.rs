//! Prints progress to standard error from time to time.

use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::lock;

/// How often progress is printed on a terminal, and into a file.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A line of progress, which several threads may print.
#[derive(Debug)]
pub(crate) struct Progress {
    is_terminal: bool,
    began: Instant,
    printed: Mutex<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        Self {
            is_terminal: io::stderr().is_terminal(),
            began,
            printed: Mutex::new(began),
        }
    }

    /// The time since the beginning.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Prints a line, if it is time for one. A failure to print is ignored.
    pub(crate) fn print(&self, line: impl FnOnce() -> String) {
        let (terminal, file) = INTERVALS;
        let interval = if self.is_terminal { terminal } else { file };
        let mut printed = lock(&self.printed);
        if printed.elapsed() < interval {
            return;
        }
        *printed = Instant::now();
        let mut err = io::stderr().lock();
        let _ = if self.is_terminal {
            write!(err, "\r{}\x1b[K", line()).and_then(|()| err.flush())
        } else {
            writeln!(err, "{}", line())
        };
    }

    /// Removes the line from a terminal.
    pub(crate) fn end(&self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
