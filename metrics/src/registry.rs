//! The registry: every metric by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::gauge::GaugeOf;
use crate::text::{Kind, Metric, Page, is_metric_name};
use crate::{Counter, Family, Gauge, Histogram};

/// The most names that a registry takes; a family counts as one.
pub const MAX_FAMILIES: usize = 1024;

/// The metrics of a process.
///
/// Registration belongs to the start of a program: it takes a lock, which using the metrics never
/// does.
///
/// # Panics
/// Every registration panics if the name is not one that Prometheus' data model allows
/// (`[a-zA-Z_:][a-zA-Z0-9_:]*`), if it is taken, or if there are [`MAX_FAMILIES`] already. A
/// histogram also takes its name with `_bucket`, `_sum` and `_count` appended. Name and help are
/// part of the program, so each of these is a mistake in the program.
#[derive(Default)]
pub struct Registry {
    names: Mutex<Names>,
    collectors: Mutex<Vec<Arc<dyn Fn() + Send + Sync>>>,
    /// Held during a scrape, so that only one runs at a time.
    scrape: Mutex<()>,
}

#[derive(Default)]
struct Names {
    /// Ordered by name, as a scrape shows them.
    families: BTreeMap<&'static str, Registered>,
    /// The names of all samples. A histogram has three beside its own.
    taken: BTreeSet<String>,
}

#[derive(Clone)]
struct Registered {
    help: &'static str,
    kind: Kind,
    metric: Arc<dyn Metric>,
}

impl Registry {
    /// A registry without metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers a counter. Its name should end in `_total`.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Arc<Counter> {
        self.register(name, help, Kind::Counter, Counter::default())
    }

    /// Registers a gauge.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Arc<Gauge> {
        self.register(name, help, Kind::Gauge, Gauge::default())
    }

    /// Registers a gauge whose value `read` returns at every scrape, such as a queue's length.
    ///
    /// `read` runs in the thread that scrapes, and must not scrape.
    pub fn gauge_of(
        &self,
        name: &'static str,
        help: &'static str,
        read: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.register(name, help, Kind::Gauge, GaugeOf(read));
    }

    /// Registers a histogram. The bounds are in the metric's unit, which its name should end in
    /// (`_seconds`).
    ///
    /// # Panics
    /// Also if there are no bounds or more than [`MAX_BOUNDS`](crate::MAX_BOUNDS), or they are not
    /// finite or not ascending.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        bounds: &[f64],
    ) -> Arc<Histogram> {
        self.register(name, help, Kind::Histogram, Histogram::new(bounds))
    }

    /// Registers a counter for each combination of the labels' values; each label comes with its
    /// closed set.
    ///
    /// # Panics
    /// Also if a label's name is not one that the data model allows (`[a-zA-Z_][a-zA-Z0-9_]*`,
    /// without two underscores at the start) or is given twice, if a set has a value twice or
    /// contains [`OTHER`](crate::OTHER), or if there would be more than
    /// [`MAX_SERIES`](crate::MAX_SERIES) series.
    pub fn counter_family<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [(&'static str, &[&str]); N],
    ) -> Arc<Family<Counter, N>> {
        self.register(
            name,
            help,
            Kind::Counter,
            Family::new(labels, Counter::default),
        )
    }

    /// Registers a gauge for each combination of the labels' values.
    ///
    /// # Panics
    /// As [`Registry::counter_family`].
    pub fn gauge_family<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [(&'static str, &[&str]); N],
    ) -> Arc<Family<Gauge, N>> {
        self.register(name, help, Kind::Gauge, Family::new(labels, Gauge::default))
    }

    /// Registers a histogram for each combination of the labels' values, all with the same bounds.
    ///
    /// # Panics
    /// As [`Registry::counter_family`] and [`Registry::histogram`], and if a label is named `le`,
    /// which is the label of the bounds.
    pub fn histogram_family<const N: usize>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: [(&'static str, &[&str]); N],
        bounds: &[f64],
    ) -> Arc<Family<Histogram, N>> {
        assert!(
            labels.iter().all(|(label, _)| *label != "le"),
            "the label le is reserved for the bounds of a histogram"
        );
        self.register(
            name,
            help,
            Kind::Histogram,
            Family::new(labels, || Histogram::new(bounds)),
        )
    }

    /// Calls `collect` at the beginning of every scrape, to update metrics that it holds handles
    /// of: one look at a status can set many.
    ///
    /// `collect` runs in the thread that scrapes, never twice at a time, and must not scrape.
    pub fn collector(&self, collect: impl Fn() + Send + Sync + 'static) {
        lock(&self.collectors).push(Arc::new(collect));
    }

    /// All metrics now, in Prometheus' text format 0.0.4, ordered by name. Scrapes wait for each
    /// other.
    pub fn render(&self) -> String {
        let _one_at_a_time = lock(&self.scrape);
        // Collectors and metrics run without the locks of registration, so they may register more.
        let collectors = lock(&self.collectors).clone();
        for collect in collectors {
            collect();
        }
        let families = lock(&self.names).families.clone();
        let mut page = Page::default();
        for (name, Registered { help, kind, metric }) in families {
            page.family(name, help, kind);
            metric.expose(name, &[], &mut page);
        }
        page.into_text()
    }

    fn register<M: Metric + 'static>(
        &self,
        name: &'static str,
        help: &'static str,
        kind: Kind,
        metric: M,
    ) -> Arc<M> {
        assert!(
            is_metric_name(name),
            "metric name {name:?} does not match [a-zA-Z_:][a-zA-Z0-9_:]*"
        );
        let suffixes: &[&str] = match kind {
            Kind::Counter | Kind::Gauge => &[""],
            Kind::Histogram => &["", "_bucket", "_sum", "_count"],
        };
        let samples: Vec<String> = suffixes
            .iter()
            .map(|suffix| format!("{name}{suffix}"))
            .collect();

        let mut names = lock(&self.names);
        assert!(
            names.families.len() < MAX_FAMILIES,
            "a registry takes at most {MAX_FAMILIES} names"
        );
        for sample in &samples {
            assert!(
                !names.taken.contains(sample),
                "metric name {sample} is taken"
            );
        }
        names.taken.extend(samples);
        let metric = Arc::new(metric);
        names.families.insert(
            name,
            Registered {
                help,
                kind,
                metric: metric.clone(),
            },
        );
        metric
    }
}

/// Shows the names only: showing values would be a scrape.
impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(lock(&self.names).families.keys())
            .finish()
    }
}

/// Locks the mutex even if a thread panicked while holding it: the guarded data is consistent after
/// every statement.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn every_kind_of_metric_is_shown() {
        let registry = Registry::new();
        let latency = registry.histogram("z_latency_seconds", "How long.", &[0.25, 1.0]);
        let requests = registry.counter_family(
            "requests_total",
            "What came.",
            [("type", &["read", "write"])],
        );
        let depth = registry.gauge("a_queue_depth", "A back\\slash,\na \"quoted\" line.");
        registry.gauge_of("ratio", "No number.", || f64::NAN);
        let sizes =
            registry.histogram_family("size_bytes", "How large.", [("way", &["in"])], &[10.0]);
        registry.counter("b_total", "Never counted.");
        let roles = registry.gauge_family("role", "Which.", [("role", &["leader", "follower"])]);

        latency.observe(0.25);
        latency.observe(0.5);
        latency.observe(8.0);
        requests.with(["write"]).add(3);
        requests.with(["\"\n"]).increment();
        depth.set(-4);
        sizes.with(["in"]).observe(11.0);
        roles.with(["leader"]).set(1);

        let expected = r#"# HELP a_queue_depth A back\\slash,\na "quoted" line.
# TYPE a_queue_depth gauge
a_queue_depth -4
# HELP b_total Never counted.
# TYPE b_total counter
b_total 0
# HELP ratio No number.
# TYPE ratio gauge
ratio NaN
# HELP requests_total What came.
# TYPE requests_total counter
requests_total{type="read"} 0
requests_total{type="write"} 3
requests_total{type="other"} 1
# HELP role Which.
# TYPE role gauge
role{role="leader"} 1
role{role="follower"} 0
# HELP size_bytes How large.
# TYPE size_bytes histogram
size_bytes_bucket{way="in",le="10"} 0
size_bytes_bucket{way="in",le="+Inf"} 1
size_bytes_sum{way="in"} 11
size_bytes_count{way="in"} 1
# HELP z_latency_seconds How long.
# TYPE z_latency_seconds histogram
z_latency_seconds_bucket{le="0.25"} 1
z_latency_seconds_bucket{le="1"} 2
z_latency_seconds_bucket{le="+Inf"} 3
z_latency_seconds_sum 8.75
z_latency_seconds_count 3
"#;
        assert_eq!(registry.render(), expected);
        assert_eq!(registry.render(), expected);
    }

    #[test]
    fn empty_registry_is_an_empty_page() {
        assert_eq!(Registry::new().render(), "");
    }

    #[test]
    fn each_scrape_runs_collectors_once() {
        let registry = Registry::new();
        let source = Arc::new(AtomicU64::new(0));
        let term = registry.gauge("term", "t");
        let elections = registry.counter("elections_total", "e");
        registry.collector({
            let source = source.clone();
            move || {
                let now = source.fetch_add(1, Ordering::Relaxed) + 1;
                term.set(now as i64);
                elections.advance_to(10 * now);
            }
        });
        assert_eq!(source.load(Ordering::Relaxed), 0);
        let text = registry.render();
        assert!(
            text.contains("\nterm 1\n") && text.contains("\nelections_total 10\n"),
            "{text}"
        );
        let text = registry.render();
        assert!(
            text.contains("\nterm 2\n") && text.contains("\nelections_total 20\n"),
            "{text}"
        );
    }

    #[test]
    fn collector_may_register() {
        let registry = Arc::new(Registry::new());
        let (weak, once) = (Arc::downgrade(&registry), Mutex::new(true));
        registry.collector(move || {
            if std::mem::take(&mut *lock(&once)) {
                weak.upgrade()
                    .expect("it is being scraped")
                    .gauge("late", "l")
                    .set(1);
            }
        });
        assert!(registry.render().contains("late 1\n"));
        assert!(registry.render().contains("late 1\n"));
    }

    #[test]
    fn scrapes_during_counting_are_consistent() {
        let registry = Registry::new();
        let histogram = registry.histogram("h", "h", &[1.0]);
        let count_of = |text: &str, sample: &str| -> u64 {
            let line = text
                .lines()
                .find_map(|line| line.strip_prefix(sample))
                .expect("it is on the page");
            line.trim().parse().expect("a count")
        };
        thread::scope(|scope| {
            for value in [0.0, 2.0] {
                let histogram = histogram.clone();
                scope.spawn(move || (0..20_000).for_each(|_| histogram.observe(value)));
            }
            let mut before = 0;
            for _ in 0..100 {
                let text = registry.render();
                let count = count_of(&text, "h_count");
                assert_eq!(count_of(&text, "h_bucket{le=\"+Inf\"}"), count);
                assert!(count_of(&text, "h_bucket{le=\"1\"}") <= count);
                assert!(before <= count);
                before = count;
            }
        });
        assert_eq!(count_of(&registry.render(), "h_count"), 40_000);
    }

    /// The message of the panic that `register` causes. Checks that the registry did not change.
    fn refused(registry: &Registry, register: impl FnOnce(&Registry)) -> String {
        let before = registry.render();
        let panic = catch_unwind(AssertUnwindSafe(|| register(registry))).expect_err("it panics");
        assert_eq!(registry.render(), before);
        *panic.downcast().expect("the message is formatted")
    }

    #[test]
    fn taken_name_panics() {
        let registry = Registry::new();
        registry.counter("a", "a");
        registry.histogram("h", "h", &[1.0]);
        registry.gauge("x_sum", "x");
        assert_eq!(
            refused(&registry, |r| drop(r.counter("a", "b"))),
            "metric name a is taken"
        );
        assert_eq!(
            refused(&registry, |r| drop(r.gauge("a", "a"))),
            "metric name a is taken"
        );
        assert_eq!(
            refused(&registry, |r| drop(r.gauge("h_count", "a"))),
            "metric name h_count is taken"
        );
        assert_eq!(
            refused(&registry, |r| drop(r.histogram("x", "x", &[1.0]))),
            "metric name x_sum is taken"
        );
        registry.gauge("x", "still free");
        registry.gauge("h_total", "no name of a histogram's");
    }

    #[test]
    fn invalid_name_panics() {
        let registry = Registry::new();
        for name in ["", "a b", "1a", "a{}", "a\n"] {
            let message = refused(&registry, |registry| drop(registry.counter(name, "c")));
            assert_eq!(
                message,
                format!("metric name {name:?} does not match [a-zA-Z_:][a-zA-Z0-9_:]*")
            );
        }
    }

    #[test]
    #[should_panic(expected = "the label le is reserved")]
    fn histogram_with_a_label_le_panics() {
        Registry::new().histogram_family("h", "h", [("le", &["1"])], &[1.0]);
    }

    #[test]
    fn too_many_names_panic() {
        let registry = Registry::new();
        for number in 0..MAX_FAMILIES {
            registry.gauge(format!("g{number}").leak(), "g");
        }
        assert_eq!(
            refused(&registry, |registry| drop(registry.gauge("one_more", "g"))),
            "a registry takes at most 1024 names"
        );
    }
}
