//! The bench's standard output.

use std::fmt::Display;
use std::io::Write as _;

use raft::stdio::stdout;

use super::error::BenchError;

/// Prints a line on standard output.
///
/// # Errors
/// Standard output cannot be written to.
pub fn say(line: impl Display) -> Result<(), BenchError> {
    writeln!(stdout(), "{line}").map_err(|error| BenchError::new(error.to_string()))
}
