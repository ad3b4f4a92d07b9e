//! Log lines on stderr.

use std::fmt;
use std::io::{self, Write};

use crate::named::named;

named! {
    /// The severity of a log line. The most severe comes first.
    pub enum Level {
        /// Why the process ends.
        Error as "error",
        /// What an operator should look at.
        Warn as "warn",
        /// Rare events: start, roles, leaders.
        Info as "info",
        /// Frequent events.
        Debug as "debug",
    }
}

/// Writes log lines up to its level to stderr.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    level: Level,
}

impl Log {
    /// A log for lines of this level and of more severe ones.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self { level }
    }

    /// Logs why the process ends.
    pub fn error(self, text: impl fmt::Display) {
        self.write(Level::Error, text);
    }

    /// Logs what an operator should look at.
    pub fn warn(self, text: impl fmt::Display) {
        self.write(Level::Warn, text);
    }

    /// Logs a rare event.
    pub fn info(self, text: impl fmt::Display) {
        self.write(Level::Info, text);
    }

    /// Logs a frequent event.
    pub fn debug(self, text: impl fmt::Display) {
        self.write(Level::Debug, text);
    }

    fn write(self, level: Level, text: impl fmt::Display) {
        if level > self.level {
            return;
        }
        // One write per line, so that lines of several nodes on one terminal do not mix. A closed
        // stderr is no reason to stop the node.
        let line = format!("{}: {text}\n", level.as_str());
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// Decides which occurrences of an event are logged: the 1st, 2nd, 4th, 8th and so on, so that
/// senders of invalid input cannot fill a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sparse {
    count: u64,
}

impl Sparse {
    /// Counts an occurrence. Returns its number if it is to be logged.
    pub fn count(&mut self) -> Option<u64> {
        self.count += 1;
        self.count.is_power_of_two().then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_severe_level_is_first() {
        assert!(Level::Error < Level::Warn && Level::Warn < Level::Info);
        assert!(Level::ALL.is_sorted());
    }

    #[test]
    fn logged_occurrences_become_rare() {
        let mut sparse = Sparse::default();
        let logged: Vec<u64> = (0..100).filter_map(|_| sparse.count()).collect();
        assert_eq!(logged, [1, 2, 4, 8, 16, 32, 64]);
    }
}
