//! The parts of worlds, each kept once.
//!
//! Millions of worlds consist of a few thousand states of a node, a few hundred messages and so on.
//! A world that refers to its parts by numbers takes about sixty bytes, and an event's effect on a
//! part is computed once for all worlds.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Index;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

/// The number of maps that share the fingerprints, so that workers seldom wait for each other.
pub(super) const SHARDS: usize = 64;

/// A map by fingerprint.
pub(super) type ByFingerprint<T> = HashMap<u64, T, BuildHasherDefault<Itself>>;

/// The shard of a fingerprint. The map itself uses the lowest and the highest bits.
pub(super) fn shard(fingerprint: u64) -> usize {
    (fingerprint >> 32) as usize % SHARDS
}

/// The number of a part in its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ref(pub(super) u32);

/// Numbered things, distinguished by fingerprints of 64 bits. Nothing is ever removed, so that
/// reading needs no lock.
pub(super) struct Table<T> {
    numbers: Vec<Mutex<ByFingerprint<u32>>>,
    next: AtomicU32,
    /// Each is twice as long as the previous one.
    runs: [OnceLock<Run<T>>; RUNS],
}

type Run<T> = Box<[OnceLock<T>]>;

/// The length of the first run, as a power of two.
const FIRST: u32 = 6;

/// This many runs hold 2^32 things.
const RUNS: usize = (32 - FIRST) as usize;

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            numbers: (0..SHARDS).map(|_| Mutex::default()).collect(),
            next: AtomicU32::new(0),
            runs: [const { OnceLock::new() }; RUNS],
        }
    }
}

impl<T> Table<T> {
    /// The thing with this fingerprint, if there is one.
    pub(super) fn find(&self, fingerprint: u64) -> Option<Ref> {
        let numbers = &self.numbers[shard(fingerprint)];
        let numbers = numbers.lock().expect("no worker panics");
        numbers.get(&fingerprint).copied().map(Ref)
    }

    /// The thing with this fingerprint, which is made if necessary.
    ///
    /// # Panics
    /// If there are more than about 2^32 things.
    pub(super) fn keep(&self, fingerprint: u64, make: impl FnOnce() -> T) -> Ref {
        if let Some(known) = self.find(fingerprint) {
            return known;
        }
        // Without the lock, because it may take long. If two workers make it, either one is kept.
        let thing = make();
        let numbers = &self.numbers[shard(fingerprint)];
        let mut numbers = numbers.lock().expect("no worker panics");
        let number = *numbers.entry(fingerprint).or_insert_with(|| {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let (run, at) = place(number);
            let run = self.runs[run].get_or_init(|| {
                let length = 1 << (run as u32 + FIRST);
                (0..length).map(|_| OnceLock::new()).collect()
            });
            assert!(run[at].set(thing).is_ok(), "a number is given once");
            number
        });
        Ref(number)
    }
}

impl<T> Index<Ref> for Table<T> {
    type Output = T;

    fn index(&self, at: Ref) -> &T {
        let (run, at) = place(at.0);
        let run = self.runs[run].get().expect("a reference names something");
        run[at].get().expect("a reference names something")
    }
}

/// The run of a number, and its index there.
fn place(number: u32) -> (usize, usize) {
    let at = u64::from(number) + (1 << FIRST);
    let run = at.ilog2();
    ((run - FIRST) as usize, (at - (1 << run)) as usize)
}

/// Hashes a fingerprint to itself.
#[derive(Debug, Default)]
pub(super) struct Itself(u64);

impl Hasher for Itself {
    fn write(&mut self, _: &[u8]) {
        unreachable!("a fingerprint is one number");
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_thing_is_found_by_its_number() {
        let table = Table::default();
        let numbers: Vec<Ref> = (0..1000).map(|n| table.keep(n << 30, || n)).collect();
        for (n, number) in (0..).zip(numbers) {
            assert_eq!(table[number], n);
            assert_eq!(table.find(n << 30), Some(number));
            assert_eq!(table.keep(n << 30, || unreachable!()), number);
        }
        assert_eq!(table.find(7), None);
    }
}
