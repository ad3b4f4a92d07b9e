//! The bench's standard output.

use std::fmt::Display;
use std::io::{self, Write as _};

use super::error::BenchError;

/// Prints a line on standard output.
///
/// # Errors
/// Standard output cannot be written to.
pub fn say(line: impl Display) -> Result<(), BenchError> {
    writeln!(io::stdout(), "{line}").map_err(BenchError::io("cannot write to stdout"))
}
