//! What a target of the fuzzer is.

use std::collections::BTreeMap;

use rand::Rng;

/// Something to fuzz.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is tested, for the list of targets.
    pub about: &'static str,
    /// The classes of inputs that must occur, in groups: if one never does, the target tests too
    /// little. An input may belong to other classes as well.
    pub classes: &'static [&'static [&'static str]],
    /// Draws an input. Panics if a law is broken on the way: some laws can be checked only while
    /// it is known what was encoded.
    pub draw: fn(&mut Rng) -> Vec<u8>,
    /// Checks the code under test on an input, and counts the input's classes. The error names the
    /// broken law. A panic counts as a broken law too.
    pub check: fn(&[u8], &mut Seen) -> Result<(), String>,
}

/// How many inputs belonged to each class.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<&'static str, u64>);

impl Seen {
    /// Counts an input of this class.
    pub fn note(&mut self, class: &'static str) {
        *self.0.entry(class).or_default() += 1;
    }

    /// How many inputs belonged to this class.
    pub fn count(&self, class: &str) -> u64 {
        self.0.get(class).copied().unwrap_or(0)
    }

    /// The classes that occurred, by name.
    pub fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.0.iter().map(|(class, count)| (*class, *count))
    }

    /// Those classes of a target that never occurred.
    pub fn missing(&self, target: &Target) -> Vec<&'static str> {
        let classes = target.classes.iter().copied().flatten().copied();
        classes.filter(|class| self.count(class) == 0).collect()
    }

    pub(super) fn add(&mut self, other: &Seen) {
        for (class, count) in other.classes() {
            *self.0.entry(class).or_default() += count;
        }
    }
}

/// Fails with this law unless it holds.
///
/// # Errors
/// If the law does not hold.
pub(super) fn demand(holds: bool, law: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(law()) }
}
