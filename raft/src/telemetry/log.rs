//! Lines for people, on stderr.

use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

/// How much is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Why the process ends.
    Error,
    /// What somebody should look at.
    Warn,
    /// What happens rarely: start, roles, leaders.
    Info,
    /// What happens often.
    Debug,
}

impl Level {
    /// All levels, the quietest first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Warn, Self::Info, Self::Debug];

    /// The level's name as flags and lines have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let named = |level: &Self| level.as_str() == text;
        Self::ALL.into_iter().find(named).ok_or(())
    }
}

/// Writes lines to stderr, as far as its level goes.
#[derive(Clone, Copy, Debug)]
pub struct Log {
    level: Level,
}

impl Log {
    /// A log that says what is of this level, or graver.
    #[must_use]
    pub fn new(level: Level) -> Self {
        Self { level }
    }

    /// Says why the process ends.
    pub fn error(self, text: impl fmt::Display) {
        self.say(Level::Error, text);
    }

    /// Says what somebody should look at.
    pub fn warn(self, text: impl fmt::Display) {
        self.say(Level::Warn, text);
    }

    /// Says what happens rarely.
    pub fn info(self, text: impl fmt::Display) {
        self.say(Level::Info, text);
    }

    /// Says what happens often.
    pub fn debug(self, text: impl fmt::Display) {
        self.say(Level::Debug, text);
    }

    fn say(self, level: Level, text: impl fmt::Display) {
        if level > self.level {
            return;
        }
        // One write for a line, so that lines of several nodes on one terminal do not mix. If
        // stderr is gone there is nobody left to tell, and nothing worth ending the node for.
        let line = format!("{}: {text}\n", level.as_str());
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// Decides which occurrences of something that anybody can cause are worth a line: the 1st, the
/// 2nd, the 4th, the 8th and so on, so that nobody can fill a disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sparse {
    count: u64,
}

impl Sparse {
    /// Counts one more; its number, if it is worth a line.
    pub fn count(&mut self) -> Option<u64> {
        self.count += 1;
        self.count.is_power_of_two().then_some(self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_read_as_they_are_written() {
        for level in Level::ALL {
            assert_eq!(level.as_str().parse(), Ok(level));
        }
        assert_eq!("Warn".parse::<Level>(), Err(()));
        assert!(Level::ALL.is_sorted());
    }

    #[test]
    fn lines_become_rare() {
        let mut sparse = Sparse::default();
        let said: Vec<u64> = (0..100).filter_map(|_| sparse.count()).collect();
        assert_eq!(said, [1, 2, 4, 8, 16, 32, 64]);
    }
}
