//! Fuzzing: inputs drawn from seeds, for everything that reads what others wrote.
//!
//! A [`Target`] draws an input, which is always some bytes, and holds the code under test to its
//! laws: that it never panics, that what it takes it gives back, that two readers of one format
//! agree, that a slow and plain reader agrees with them. Each input has a seed of its own, so one
//! number replays it. A finding is shrunk before it is shown.
//!
//! An input is of some classes (accepted, refused for this or that reason), which are counted: an
//! input that is always refused at its first byte tests nothing. Tests demand that each class
//! occurs.
//!
//! Read `options`, `search` and `shrink` for the machine (`guard` says how it survives panics),
//! `mutate` for how inputs are spoiled, and then the targets: `base64` is the shortest, `storage`
//! the one with the most to say.

mod base64;
mod http;
mod image;
mod json;
mod mutate;
pub mod options;
mod report;
mod search;
mod shrink;
mod storage;
mod talk;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use rand::Rng;
pub use report::run;
pub use search::{Finding, Plan, Report, search};

/// How long a single input may take by default.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Something that is fuzzed.
pub trait Target: Sync {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// What it is, for a list.
    fn about(&self) -> &'static str;

    /// The classes that inputs must be of now and then, or they test too little. There may be
    /// others.
    fn classes(&self) -> &'static [&'static str];

    /// Draws an input. A law may be tested here already, where it is known what was encoded: what
    /// is broken then panics.
    fn draw(&self, rng: &mut Rng) -> Vec<u8>;

    /// Holds the code under test to its laws, and notes the classes of the input.
    ///
    /// # Errors
    /// The law that is broken. A panic is a broken law too.
    fn check(&self, input: &[u8], seen: &mut Seen) -> Result<(), String>;
}

/// Everything that is fuzzed, in the order in which it is done.
pub static TARGETS: [&dyn Target; 9] = [
    &json::Json,
    &base64::Base64,
    &wire::Wire,
    &http::Http,
    &storage::Storage,
    &image::Image,
    &talk::Protocol,
    &talk::Jsonl,
    &talk::Flags,
];

/// How many inputs were of each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    /// Counts an input that is of this class.
    pub fn note(&mut self, class: &'static str) {
        *self.0.entry(class).or_default() += 1;
    }

    /// How many there were.
    pub fn count(&self, class: &str) -> u64 {
        self.0.get(class).copied().unwrap_or(0)
    }

    /// The classes that occurred, by name.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(class, count)| (*class, *count))
    }

    /// Those classes of a target that never occurred.
    pub fn missing(&self, target: &dyn Target) -> Vec<&'static str> {
        let classes = target.classes().iter().copied();
        classes.filter(|class| self.count(class) == 0).collect()
    }

    fn add(&mut self, other: &Seen) {
        for (class, count) in other.classes() {
            *self.0.entry(class).or_default() += count;
        }
    }
}

/// Says that a law is broken unless it holds.
///
/// # Errors
/// If it does not hold.
fn demand(holds: bool, law: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(law()) }
}
