//! The error that ends a run.

use std::fmt::{self, Display};
use std::io;

/// Why a run cannot continue: the bench or a node failed. A text for people.
#[derive(Debug)]
pub struct BenchError(String);

impl BenchError {
    /// The text.
    pub fn new(text: impl Into<String>) -> BenchError {
        BenchError(text.into())
    }

    /// Prefixes a system error with the action that failed.
    pub fn io(what: impl Display) -> impl FnOnce(io::Error) -> BenchError {
        move |error| BenchError(format!("{what}: {error}"))
    }
}

impl Display for BenchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BenchError {}
