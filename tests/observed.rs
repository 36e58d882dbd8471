//! usher under traffic, looked at by a real Prometheus: dashboards, rules and alerts. Prometheus
//! and Alertmanager are Debian's.
//!
//! Transport: HTTP/1.1 in plain text, HTTP/2 where a dashboard shows it; this is about what is
//! shown.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod support;

#[path = "support/prometheus.rs"]
mod prometheus;
#[path = "support/puma.rs"]
mod puma;

#[path = "observed/alerted.rs"]
mod alerted;
#[path = "observed/dashboards.rs"]
mod dashboards;
