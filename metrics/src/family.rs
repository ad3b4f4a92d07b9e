//! Families: one metric for each combination of label values.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::text::{Metric, Page, is_label_name};

/// The label value that stands for every value outside the closed set.
pub const OTHER: &str = "other";

/// The most series that a family may have, those with [`OTHER`] included.
pub const MAX_SERIES: usize = 1024;

/// Metrics of one name, told apart by `N` labels.
///
/// Made by [`Registry::counter_family`](crate::Registry::counter_family) and its like, with the
/// closed set of each label's values. The series of known values are shown from the start, at zero,
/// so that a graph does not begin with a gap; a series with the value [`OTHER`] is shown from its
/// first use on.
#[derive(Debug)]
pub struct Family<M, const N: usize> {
    labels: [ClosedSet; N],
    /// In the order of the sets, [`OTHER`] last; the last label changes fastest.
    series: Vec<Series<M>>,
}

#[derive(Debug)]
struct ClosedSet {
    label: &'static str,
    /// The given values, and [`OTHER`] as the last.
    values: Vec<String>,
}

#[derive(Debug)]
struct Series<M> {
    metric: Arc<M>,
    shown: AtomicBool,
}

impl<M, const N: usize> Family<M, N> {
    /// # Panics
    /// If a label's name is invalid or given twice, if a set has a value twice or contains
    /// [`OTHER`], or if there would be more than [`MAX_SERIES`] series.
    pub(crate) fn new(labels: [(&'static str, &[&str]); N], make: impl Fn() -> M) -> Self {
        for (index, (label, _)) in labels.iter().enumerate() {
            assert!(
                is_label_name(label),
                "label name {label:?} does not match [a-zA-Z_][a-zA-Z0-9_]*, or starts with two underscores"
            );
            assert!(
                labels[..index].iter().all(|(other, _)| other != label),
                "label {label} is given twice"
            );
        }
        let labels = labels.map(|(label, values)| ClosedSet::new(label, values));
        let count = labels
            .iter()
            .try_fold(1_usize, |count, set| count.checked_mul(set.values.len()));
        let count = count.filter(|&count| count <= MAX_SERIES);
        let count = count.unwrap_or_else(|| panic!("a family has at most {MAX_SERIES} series"));

        let mut family = Self {
            labels,
            series: Vec::with_capacity(count),
        };
        for index in 0..count {
            let known = family.values_at(index).iter().all(|&value| value != OTHER);
            family.series.push(Series {
                metric: Arc::new(make()),
                shown: AtomicBool::new(known),
            });
        }
        family
    }

    /// The metric for these label values, in the order in which the labels were given; a value
    /// outside its closed set counts as [`OTHER`].
    ///
    /// The look-up compares with one value of each set after the other; hot paths keep a clone of
    /// the handle.
    pub fn with(&self, values: [&str; N]) -> &Arc<M> {
        let index = self
            .labels
            .iter()
            .zip(values)
            .fold(0, |index, (set, value)| {
                index * set.values.len() + set.position(value)
            });
        let series = &self.series[index];
        series.shown.store(true, Ordering::Relaxed);
        &series.metric
    }

    /// The label values of the series at `index`: the digits of the index, where the base of each
    /// digit is the size of that label's set.
    fn values_at(&self, mut index: usize) -> [&str; N] {
        let mut values = [""; N];
        for (value, set) in values.iter_mut().zip(&self.labels).rev() {
            *value = &set.values[index % set.values.len()];
            index /= set.values.len();
        }
        values
    }
}

impl ClosedSet {
    fn new(label: &'static str, values: &[&str]) -> Self {
        let mut set = Self {
            label,
            values: Vec::with_capacity(values.len() + 1),
        };
        for value in values.iter().chain([&OTHER]) {
            assert!(
                !set.values.iter().any(|known| known == value),
                "label {label} has the value {value:?} twice"
            );
            set.values.push((*value).to_owned());
        }
        set
    }

    fn position(&self, value: &str) -> usize {
        let other = self.values.len() - 1;
        self.values
            .iter()
            .position(|known| known == value)
            .unwrap_or(other)
    }
}

impl<M: Metric, const N: usize> Metric for Family<M, N> {
    fn expose(&self, name: &str, outer: &[(&str, &str)], page: &mut Page) {
        for (index, series) in self.series.iter().enumerate() {
            if series.shown.load(Ordering::Relaxed) {
                let own = self.labels.iter().zip(self.values_at(index));
                let own = own.map(|(set, value)| (set.label, value));
                let labels: Vec<(&str, &str)> = outer.iter().copied().chain(own).collect();
                series.metric.expose(name, &labels, page);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Counter;

    fn family<const N: usize>(labels: [(&'static str, &[&str]); N]) -> Family<Counter, N> {
        Family::new(labels, Counter::default)
    }

    fn text<const N: usize>(family: &Family<Counter, N>) -> String {
        let mut page = Page::default();
        family.expose("c", &[], &mut page);
        page.into_text()
    }

    #[test]
    fn each_combination_has_its_own_counter() {
        let family = family([("a", &["x", "y"]), ("b", &["1", "2", "3"])]);
        let combinations = ["x", "y", OTHER].map(|a| ["1", "2", "3", OTHER].map(|b| [a, b]));
        for (amount, values) in (1..).zip(combinations.as_flattened()) {
            family.with(*values).add(amount);
        }
        for (amount, values) in (1..).zip(combinations.as_flattened()) {
            assert_eq!(family.with(*values).value(), amount);
        }
    }

    #[test]
    fn value_outside_the_set_counts_as_other() {
        let family = family([("a", &["x"])]);
        family.with(["y"]).increment();
        family.with(["X"]).increment();
        family.with([""]).increment();
        family.with([OTHER]).increment();
        assert_eq!(family.with([OTHER]).value(), 4);
        assert_eq!(family.with(["x"]).value(), 0);
    }

    #[test]
    fn known_values_show_at_zero_and_other_once_used() {
        let family = family([("a", &["x", "y"]), ("b", &["1"])]);
        assert_eq!(
            text(&family),
            "c{a=\"x\",b=\"1\"} 0\nc{a=\"y\",b=\"1\"} 0\n"
        );
        family.with(["y", "2"]).increment();
        assert_eq!(
            text(&family),
            "c{a=\"x\",b=\"1\"} 0\nc{a=\"y\",b=\"1\"} 0\nc{a=\"y\",b=\"other\"} 1\n"
        );
    }

    #[test]
    #[should_panic(expected = "label name \"a-b\" does not match")]
    fn invalid_label_name_panics() {
        family([("a-b", &["x"])]);
    }

    #[test]
    #[should_panic(expected = "label a is given twice")]
    fn duplicate_label_panics() {
        family([("a", &["x"]), ("a", &["y"])]);
    }

    #[test]
    #[should_panic(expected = "has the value \"x\" twice")]
    fn duplicate_value_panics() {
        family([("a", &["x", "y", "x"])]);
    }

    #[test]
    #[should_panic(expected = "has the value \"other\" twice")]
    fn other_as_a_given_value_panics() {
        family([("a", &["x", OTHER])]);
    }

    #[test]
    #[should_panic(expected = "at most 1024 series")]
    fn too_many_series_panic() {
        let values: Vec<String> = (0..40).map(|value| value.to_string()).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        family([("a", &values), ("b", &values)]);
    }
}
