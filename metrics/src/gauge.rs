//! Gauges: numbers that go up and down.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::text::{Float, Metric, Page};

/// A whole number that goes up and down, 0 at first. At the ends of `i64` it wraps around.
///
/// Made by [`Registry::gauge`](crate::Registry::gauge). For fractions, and for values that are
/// easier to look up at each scrape, use [`Registry::gauge_of`](crate::Registry::gauge_of).
#[derive(Debug, Default)]
pub struct Gauge {
    value: AtomicI64,
}

impl Gauge {
    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.value.store(value, Ordering::Relaxed);
    }

    /// Adds `change`, which may be negative.
    pub fn add(&self, change: i64) {
        self.value.fetch_add(change, Ordering::Relaxed);
    }

    /// The value now.
    pub fn value(&self) -> i64 {
        self.value.load(Ordering::Relaxed)
    }
}

impl Metric for Gauge {
    fn expose(&self, name: &str, labels: &[(&str, &str)], page: &mut Page) {
        page.sample(name, "", labels, self.value());
    }
}

/// A gauge that holds no value: it calls its function at every scrape.
pub(crate) struct GaugeOf<F>(pub(crate) F);

impl<F: Fn() -> f64 + Send + Sync> Metric for GaugeOf<F> {
    fn expose(&self, name: &str, labels: &[(&str, &str)], page: &mut Page) {
        page.sample(name, "", labels, Float((self.0)()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_and_add_change_the_value() {
        let gauge = Gauge::default();
        assert_eq!(gauge.value(), 0);
        gauge.set(5);
        gauge.add(3);
        gauge.add(-10);
        assert_eq!(gauge.value(), -2);
    }
}
