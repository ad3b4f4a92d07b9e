//! Time inside the core: a count of ticks.
//!
//! No type here takes part in a fingerprint: the model checker may let any timer run out at any
//! moment, so two states that differ in their timers alone are the same state to it.

use core::hash::{Hash, Hasher};

use rand::Rng;

use crate::config::Config;

/// A moment, in ticks since the node's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(u64);

impl Moment {
    /// The moment one tick later.
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The number of ticks since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> u32 {
        u32::try_from(self.0 - earlier.0).unwrap_or(u32::MAX)
    }

    /// Whether at least `ticks` have passed since `earlier`.
    pub(crate) fn is_past(self, earlier: Self, ticks: u32) -> bool {
        self.0 - earlier.0 >= u64::from(ticks)
    }
}

impl Hash for Moment {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The number of ticks after which a leader without contact to a quorum steps down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(pub(crate) u32);

impl Hash for Patience {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// Counts down to an election timeout.
#[derive(Clone, Debug)]
pub(crate) struct Countdown {
    left: u32,
}

impl Countdown {
    /// A countdown of a given length.
    pub(crate) fn of(ticks: u32) -> Self {
        Self { left: ticks }
    }

    /// A random election timeout (§5.2), `backoff` times as long as usual.
    pub(crate) fn election(config: &Config, rng: &mut Rng, backoff: u32) -> Self {
        let shortest = u64::from(config.shortest_election);
        let longest = u64::from(config.longest_election);
        let ticks = rng.range(shortest..=longest) * u64::from(backoff);
        Self::of(u32::try_from(ticks).unwrap_or(u32::MAX))
    }

    /// Counts one tick; true when none is left.
    pub(crate) fn tick(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        self.left == 0
    }
}

impl Hash for Countdown {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
