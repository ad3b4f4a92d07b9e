//! Counters, gauges and histograms, their Prometheus text form, and a small HTTP endpoint.
