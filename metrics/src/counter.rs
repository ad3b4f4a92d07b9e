//! Counters: how often something has happened.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::text::{Label, Metric, Number, Page};

/// A number that only grows, from 0 at the start of the process. Past `u64::MAX` it begins again at
/// 0, which Prometheus takes for a restart.
///
/// Made by [`Registry::counter`](crate::Registry::counter). Counts are never lost, but they order
/// nothing: who sees a count doesn't thereby see what else the counting thread did before.
#[derive(Debug, Default)]
pub struct Counter {
    total: AtomicU64,
}

impl Counter {
    /// Counts one more.
    pub fn increment(&self) {
        self.add(1);
    }

    /// Counts `more` more.
    pub fn add(&self, more: u64) {
        self.total.fetch_add(more, Ordering::Relaxed);
    }

    /// Brings the count to `total`, unless it is there or beyond already. For what is counted
    /// elsewhere and carried over by a [collector](crate::Registry::collector).
    pub fn advance_to(&self, total: u64) {
        self.total.fetch_max(total, Ordering::Relaxed);
    }

    /// The count.
    pub fn value(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

impl Metric for Counter {
    fn expose(&self, name: &str, labels: &[Label<'_>], page: &mut Page) {
        page.sample(name, "", labels, Number::Unsigned(self.value()));
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn counts() {
        let counter = Counter::default();
        counter.increment();
        counter.add(41);
        assert_eq!(counter.value(), 42);
    }

    #[test]
    fn never_goes_back() {
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
