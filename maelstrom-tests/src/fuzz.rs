//! Fuzzing: random inputs for every parser and decoder that reads foreign data.
//!
//! A [`Target`] draws an input, which is always a byte string, and checks the code under test on
//! it: it never panics, it gives back what it accepts, two readers of one format agree, and a slow
//! and simple reader agrees with them. Each input has a seed of its own, so one number replays it.
//! A finding is shrunk before it is printed.
//!
//! Each input belongs to some classes (accepted, or rejected for one reason or another), which are
//! counted: an input that is always rejected at its first byte tests nothing. The tests demand that
//! each class of a target occurs.
//!
//! Read `options`, `search` and `shrink` for the machinery (`guard` survives panics),
//! `mutate` for how inputs are damaged, and then the targets: `protocol` is the shortest, `storage`
//! the most thorough.

mod http;
mod json;
mod mutate;
pub mod options;
mod protocol;
mod report;
mod search;
mod shrink;
mod storage;
mod tape;
mod target;
#[cfg(test)]
mod tests;
mod wire;

pub use self::options::{INPUT_TIME_MAX, TARGETS};
pub use self::report::run;
pub use self::search::{Plan, Report, search};
pub use self::shrink::Finding;
pub use self::target::{Seen, Target};
