//! Prometheus' text format, version 0.0.4.
//! See <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::fmt::{self, Display};

/// A metric, or a family of them, as the registry sees it.
pub(crate) trait Metric: Send + Sync {
    /// Writes the current samples, with these labels and their values.
    fn expose(&self, name: &str, labels: &[(&str, &str)], page: &mut Page);
}

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A float in the form of the format: the fewest digits that read back the same, `NaN`, `+Inf` and
/// `-Inf`.
pub(crate) struct Float(pub(crate) f64);

impl Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_nan() {
            f.write_str("NaN")
        } else if self.0.is_infinite() {
            f.write_str(if self.0 > 0.0 { "+Inf" } else { "-Inf" })
        } else {
            self.0.fmt(f)
        }
    }
}

/// The text of a scrape, as it grows.
#[derive(Default)]
pub(crate) struct Page {
    text: String,
}

impl Page {
    /// Begins a metric: its help and its type, which come before its samples.
    pub(crate) fn family(&mut self, name: &str, help: &str, kind: Kind) {
        self.text += &format!("# HELP {name} {}\n", escaped(help));
        self.text += &format!("# TYPE {name} {}\n", kind.name());
    }

    /// Adds a sample: one line.
    pub(crate) fn sample(
        &mut self,
        name: &str,
        suffix: &str,
        labels: &[(&str, &str)],
        value: impl Display,
    ) {
        self.text += &format!("{name}{suffix}");
        for (index, (name, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let value = escaped(value).replace('"', "\\\"");
            self.text += &format!("{before}{name}=\"{value}\"");
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        self.text += &format!(" {value}\n");
    }

    pub(crate) fn into_text(self) -> String {
        self.text
    }
}

/// The text with backslashes and line feeds escaped, as help texts have it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n")
}

/// Whether Prometheus' data model allows this name for a metric: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub(crate) fn is_metric_name(name: &str) -> bool {
    is_name(name, b"_:")
}

/// Whether Prometheus' data model allows this name for a label: `[a-zA-Z_][a-zA-Z0-9_]*`, without
/// two underscores at the start, which Prometheus reserves.
pub(crate) fn is_label_name(name: &str) -> bool {
    is_name(name, b"_") && !name.starts_with("__")
}

fn is_name(name: &str, signs: &[u8]) -> bool {
    let may_begin = |byte: u8| byte.is_ascii_alphabetic() || signs.contains(&byte);
    name.bytes().next().is_some_and(may_begin)
        && name
            .bytes()
            .all(|byte| may_begin(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(labels: &[(&str, &str)], value: impl Display) -> String {
        let mut page = Page::default();
        page.sample("m", "_x", labels, value);
        page.into_text()
    }

    #[test]
    fn samples_are_written_with_their_labels() {
        let (a, b) = (("a", "1"), ("b", "2"));
        assert_eq!(sample(&[], u64::MAX), "m_x 18446744073709551615\n");
        assert_eq!(sample(&[a], -1), "m_x{a=\"1\"} -1\n");
        assert_eq!(sample(&[a, b], 0.5), "m_x{a=\"1\",b=\"2\"} 0.5\n");
    }

    #[test]
    fn floats_are_written_as_prometheus_reads_them() {
        for (value, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (0.005, "0.005"),
            (-2.5, "-2.5"),
            (1e21, "1000000000000000000000"),
            (f64::NAN, "NaN"),
            (-f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
        ] {
            assert_eq!(Float(value).to_string(), text);
        }
        for value in [f64::MIN_POSITIVE, f64::MAX, 0.1 + 0.2, 1.0 / 3.0] {
            assert_eq!(Float(value).to_string().parse(), Ok(value));
        }
    }

    #[test]
    fn help_and_label_values_are_escaped() {
        let odd = "a\\b\nc\"d\té";
        let mut page = Page::default();
        page.family("m", odd, Kind::Gauge);
        assert_eq!(
            page.into_text(),
            "# HELP m a\\\\b\\nc\"d\té\n# TYPE m gauge\n"
        );
        assert_eq!(
            sample(&[("l", odd)], 1),
            "m_x{l=\"a\\\\b\\nc\\\"d\té\"} 1\n"
        );
    }

    #[test]
    fn names_of_metrics_and_labels_are_checked() {
        for name in ["a", "_", ":", "a:b", "raft_messages_total", "A9", "__a"] {
            assert!(is_metric_name(name), "{name}");
        }
        for name in ["", "9a", "a-b", "a b", "a.b", "ä", "a\n"] {
            assert!(!is_metric_name(name), "{name}");
            assert!(!is_label_name(name), "{name}");
        }
        for name in ["a", "_", "_a", "a9", "le"] {
            assert!(is_label_name(name), "{name}");
        }
        for name in [":", "a:b", "__a", "__"] {
            assert!(!is_label_name(name), "{name}");
        }
    }
}
