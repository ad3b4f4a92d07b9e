//! Why a node had to stop.

use std::{fmt, io};

use crate::storage::{self, ErrorKind};

/// Why a node had to stop, as a message for the operator.
#[derive(Debug)]
pub struct StopReason {
    text: String,
    foreign: bool,
}

impl StopReason {
    pub(crate) fn new(text: String) -> Self {
        let foreign = false;
        Self { text, foreign }
    }

    /// Wraps an I/O error. `what` says what failed, e.g. `cannot read stdin`.
    pub fn io(what: &'static str) -> impl Fn(io::Error) -> Self + Copy {
        move |error| Self::new(format!("{what}: {error}"))
    }

    /// Storage cannot recover the folder.
    pub(super) fn recovery(error: &storage::Error) -> Self {
        Self {
            text: format!("cannot start: {error}"),
            foreign: error.kind() == ErrorKind::Foreign,
        }
    }

    /// Whether the data folder belongs to another node or another cluster.
    #[must_use]
    pub fn is_foreign(&self) -> bool {
        self.foreign
    }
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
