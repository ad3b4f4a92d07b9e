//! Histograms: how often something was how large.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::text::{Float, Label, Metric, Number, Page};

/// How many bounds a histogram may have. Each is a line of every scrape and a series in Prometheus.
pub const MAX_BOUNDS: usize = 64;

/// Counts observations by size, and sums them up.
///
/// Made by [`Registry::histogram`](crate::Registry::histogram) with upper bounds in the metric's
/// unit (seconds, for times). An observation that equals a bound is within it; one above the last
/// bound is counted under `+Inf`, which every histogram has. What a scrape shows of the buckets is
/// consistent in itself; the sum may be ahead of or behind it by what is being observed at that
/// moment.
#[derive(Debug)]
pub struct Histogram {
    bounds: Box<[f64]>,
    /// One for each bound and one for `+Inf`. An observation is counted in one alone; they are
    /// added up when shown.
    counts: Box<[AtomicU64]>,
    /// The bits of an `f64`: there is no atomic float.
    sum: AtomicU64,
}

impl Histogram {
    /// # Panics
    /// If the bounds are none, more than [`MAX_BOUNDS`], not finite, or not ascending.
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
    /// As with Prometheus' own clients, a value that is no number counts under `+Inf` and makes the
    /// sum no number either, for good.
    pub fn observe(&self, value: f64) {
        let bucket = if value.is_nan() {
            self.bounds.len()
        } else {
            self.bounds.partition_point(|&bound| bound < value)
        };
        self.counts[bucket].fetch_add(1, Ordering::Relaxed);

        let mut sum = self.sum.load(Ordering::Relaxed);
        loop {
            let new = (f64::from_bits(sum) + value).to_bits();
            match self
                .sum
                .compare_exchange_weak(sum, new, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(changed) => sum = changed,
            }
        }
    }

    /// Counts a time, in seconds.
    pub fn observe_duration(&self, duration: Duration) {
        self.observe(duration.as_secs_f64());
    }

    /// How many observations there were.
    pub fn count(&self) -> u64 {
        self.counts
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }

    /// The sum of all observations, in the metric's unit.
    pub fn sum(&self) -> f64 {
        f64::from_bits(self.sum.load(Ordering::Relaxed))
    }
}

impl Metric for Histogram {
    fn expose(&self, name: &str, labels: &[Label<'_>], page: &mut Page) {
        let mut within = 0;
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        for (bound, count) in bounds.zip(&self.counts) {
            within += count.load(Ordering::Relaxed);
            let bound = Float(bound).to_string();
            let mut labels = labels.to_vec();
            labels.push(Label {
                name: "le",
                value: &bound,
            });
            page.sample(name, "_bucket", &labels, Number::Unsigned(within));
        }
        page.sample(name, "_sum", labels, Number::Float(self.sum()));
        page.sample(name, "_count", labels, Number::Unsigned(within));
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
    fn a_bound_belongs_to_its_bucket() {
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
        assert_eq!(histogram.count(), 8);
        assert_eq!(histogram.sum(), f64::NEG_INFINITY);
    }

    #[test]
    fn infinity_and_nan_are_beyond_every_bound() {
        let histogram = Histogram::new(&[1.0]);
        histogram.observe(f64::INFINITY);
        assert_eq!(histogram.sum(), f64::INFINITY);
        histogram.observe(f64::NAN);
        assert!(histogram.sum().is_nan());
        assert_eq!(counts(&histogram), [0, 2]);
    }

    #[test]
    fn times_are_seconds() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        histogram.observe_duration(Duration::from_millis(250));
        assert_eq!(counts(&histogram), [0, 1, 0]);
        assert_eq!(histogram.sum(), 0.25);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
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
    fn bounds_must_ascend() {
        Histogram::new(&[1.0, 1.0]);
    }

    #[test]
    #[should_panic(expected = "not all finite")]
    fn bounds_must_be_finite() {
        Histogram::new(&[1.0, f64::INFINITY]);
    }

    #[test]
    #[should_panic(expected = "at least one bound")]
    fn bounds_must_be_some() {
        Histogram::new(&[]);
    }

    #[test]
    #[should_panic(expected = "at most 64 bounds")]
    fn bounds_must_be_few() {
        let many: Vec<f64> = (0..65).map(f64::from).collect();
        Histogram::new(&many);
    }
}
