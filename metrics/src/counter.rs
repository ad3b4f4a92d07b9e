//! Counters: how often something happened.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::text::{Metric, Page};

/// A number that only grows, from 0 at the start of the process. After `u64::MAX` it starts again
/// at 0, which Prometheus takes for a restart.
///
/// Made by [`Registry::counter`](crate::Registry::counter). No count is lost, but counts order
/// nothing: a thread that sees a count does not thereby see what the counting thread wrote before.
#[derive(Debug, Default)]
pub struct Counter {
    total: AtomicU64,
}

impl Counter {
    /// Adds 1.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Adds `more`.
    pub fn add(&self, more: u64) {
        self.total.fetch_add(more, Ordering::Relaxed);
    }

    /// Raises the count to `total`, unless it is that high already. For a count that another part
    /// of the program keeps and a [collector](crate::Registry::collector) copies.
    pub fn advance_to(&self, total: u64) {
        self.total.fetch_max(total, Ordering::Relaxed);
    }

    /// The count now.
    pub fn value(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Metric for Counter {
    fn expose(&self, name: &str, labels: &[(&str, &str)], page: &mut Page) {
        page.sample(name, "", labels, self.value());
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn increment_and_add_raise_the_count() {
        let counter = Counter::default();
        counter.increment();
        counter.add(41);
        assert_eq!(counter.value(), 42);
    }

    #[test]
    fn advance_to_never_lowers_the_count() {
        let counter = Counter::default();
        counter.advance_to(7);
        counter.advance_to(5);
        assert_eq!(counter.value(), 7);
        counter.increment();
        assert_eq!(counter.value(), 8);
    }

    #[test]
    fn no_count_is_lost_between_threads() {
        let counter = Counter::default();
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| counter.increment()));
            }
        });
        assert_eq!(counter.value(), 40_000);
    }
}
