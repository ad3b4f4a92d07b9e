//! Counters, gauges and histograms, their Prometheus text form, and a small HTTP endpoint.
//!
//! A [`Registry`] knows every metric by its name. Registration returns shared handles that any
//! thread may use: counting is one atomic addition, without a lock. Changes are not pushed
//! anywhere; a reader fetches all metrics as text, in Prometheus' text format 0.0.4, over [`http`].
//!
//! ```
//! let registry = metrics::Registry::new();
//! let requests = registry.counter_family(
//!     "kv_requests_total",
//!     "Requests answered.",
//!     [("type", &["read", "write"]), ("result", &["ok", "refused"])],
//! );
//! requests.with(["read", "ok"]).increment();
//! requests.with(["unknown", "refused"]).increment();
//!
//! let text = registry.render();
//! assert!(text.contains("kv_requests_total{type=\"read\",result=\"ok\"} 1\n"));
//! assert!(text.contains("kv_requests_total{type=\"other\",result=\"refused\"} 1\n"));
//! ```
//!
//! Names and label values come from the program, never from its clients: a label has a closed set
//! of values, given on registration, and every other value is counted under [`OTHER`]. So a client
//! cannot fill the memory with series. A wrong name is a mistake in the program, so registration
//! panics instead of returning an error.
//!
//! What is deliberately absent: summaries, time stamps, exemplars, the OpenMetrics and protobuf
//! formats, and removal.

mod counter;
mod family;
mod gauge;
mod histogram;
pub mod http;
mod registry;
mod text;

pub use counter::Counter;
pub use family::{Family, MAX_SERIES, OTHER};
pub use gauge::Gauge;
pub use histogram::{Histogram, MAX_BOUNDS};
pub use registry::{MAX_FAMILIES, Registry};
