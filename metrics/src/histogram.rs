//! Histograms: how many observations fell into which range.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::text::{Float, Metric, Page};

/// The most bounds that a histogram may have. Each is a line of every scrape and a series in
/// Prometheus.
pub const MAX_BOUNDS: usize = 64;

/// Counts observations by size, and sums them up.
///
/// Made by [`Registry::histogram`](crate::Registry::histogram) with upper bounds in the metric's
/// unit (seconds, for times). An observation that equals a bound is within it; one above the last
/// bound is counted under `+Inf`, which every histogram has. The buckets of one scrape are
/// consistent with each other; the sum may include more or fewer of the observations that are being
/// made at that moment.
#[derive(Debug)]
pub struct Histogram {
    bounds: Box<[f64]>,
    /// One for each bound, and one for `+Inf`. Each counts only the observations above the bound
    /// before it; a scrape adds them up.
    counts: Box<[AtomicU64]>,
    /// The bits of an `f64`: there is no atomic float.
    sum: AtomicU64,
}

impl Histogram {
    /// # Panics
    /// If there are no bounds or more than [`MAX_BOUNDS`], or they are not finite or not ascending.
    pub(crate) fn new(bounds: &[f64]) -> Self {
        assert!(!bounds.is_empty(), "a histogram needs at least one bound");
        assert!(
            bounds.len() <= MAX_BOUNDS,
            "a histogram has at most {MAX_BOUNDS} bounds"
        );
        assert!(
            bounds.iter().all(|bound| bound.is_finite()),
            "the bounds {bounds:?} are not all finite"
        );
        assert!(
            bounds.is_sorted_by(|a, b| a < b),
            "the bounds {bounds:?} are not ascending"
        );
        Self {
            bounds: bounds.into(),
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0.0_f64.to_bits()),
        }
    }

    /// Counts `value`, which is in the metric's unit.
    ///
    /// As in Prometheus' own clients, NaN counts under `+Inf` and makes the sum NaN for good.
    pub fn observe(&self, value: f64) {
        let bucket = if value.is_nan() {
            self.bounds.len()
        } else {
            self.bounds.partition_point(|&bound| bound < value)
        };
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);

        let add = |sum| Some((f64::from_bits(sum) + value).to_bits());
        let added = (self.sum).fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        added.expect("there is always a sum");
    }

    /// Counts a time, in seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// The sum of all observations, in the metric's unit.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }
}

impl Metric for Histogram {
    fn expose(&self, name: &str, labels: &[(&str, &str)], page: &mut Page) {
        let mut within = 0;
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, count) in bounds.zip(&self.counts) {
            within += count.load(Ordering::Relaxed);
            let bound = Float(bound).to_string();
            let mut labels = labels.to_vec();
            labels.push(("le", &bound));
            page.sample(name, "_bucket", &labels, within);
        }
        page.sample(name, "_sum", labels, Float(self.sum()));
        page.sample(name, "_count", labels, within);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn counts(histogram: &Histogram) -> Vec<u64> {
        histogram
            .counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect()
    }

    #[test]
    fn value_equal_to_a_bound_is_within_it() {
        let histogram = Histogram::new(&[-1.0, 0.5, 2.0]);
        for value in [
            -3.0,
            -1.0,
            -0.5,
            0.5,
            0.500_000_1,
            2.0,
            2.1,
            f64::NEG_INFINITY,
        ] {
            histogram.observe(value);
        }
        assert_eq!(counts(&histogram), [3, 2, 2, 1]);
        assert_eq!(histogram.sum(), f64::NEG_INFINITY);
    }

    #[test]
    fn infinity_and_nan_count_above_every_bound() {
        let histogram = Histogram::new(&[1.0]);
        histogram.observe(f64::INFINITY);
        assert_eq!(histogram.sum(), f64::INFINITY);
        histogram.observe(f64::NAN);
        assert!(histogram.sum().is_nan());
        assert_eq!(counts(&histogram), [0, 2]);
    }

    #[test]
    fn durations_count_as_seconds() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        histogram.observe_duration(Duration::from_millis(250));
        assert_eq!(counts(&histogram), [0, 1, 0]);
        assert_eq!(histogram.sum(), 0.25);
    }

    #[test]
    fn no_observation_is_lost_between_threads() {
        let histogram = Histogram::new(&[1.0, 2.0, 3.0]);
        thread::scope(|scope| {
            for value in [1.0, 2.0, 3.0, 4.0] {
                let histogram = &histogram;
                scope.spawn(move || (0..5000).for_each(|_| histogram.observe(value)));
            }
        });
        assert_eq!(counts(&histogram), [5000; 4]);
        assert_eq!(histogram.sum(), 50_000.0);
    }

    #[test]
    #[should_panic(expected = "not ascending")]
    fn bounds_that_do_not_ascend_panic() {
        Histogram::new(&[1.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "not all finite")]
    fn infinite_bound_panics() {
        Histogram::new(&[1.0, f64::INFINITY]);
    }

    #[test]
    #[should_panic(expected = "at least one bound")]
    fn missing_bounds_panic() {
        Histogram::new(&[]);
    }

    #[test]
    #[should_panic(expected = "at most 64 bounds")]
    fn too_many_bounds_panic() {
        let many: Vec<f64> = (0..65).map(f64::from).collect();
        Histogram::new(&many);
    }
}
