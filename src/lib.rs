//! usher: an audience-based L7 reverse proxy in front of one Rails monolith.
//!
//! The modules in reading order, from the words up to the house. A module imports only from lower
//! floors, from those listed before it on its own floor, or from inside itself; `ARCHITECTURE.md`
//! has the table and `tests/tidy.rs` keeps it.

// F0: words
pub mod name;
pub mod units;
pub mod fault;
pub mod bind;
pub mod peer;
pub mod body;
pub mod http1;
pub mod http2;
pub mod deadline;
pub mod stride;
pub mod drain;
pub mod descriptors;
pub mod allowance;
pub mod durable;
pub mod telemetry;
pub mod systemd;
pub mod proxy_protocol;

// F1: rules
pub mod classify;
pub mod meters;
pub mod policy;
pub mod slo;
pub mod dashboards;

// F2: means
pub mod tls;
pub mod identity;
pub mod config;
pub mod discover;
pub mod upstream;
pub mod verbs;

// F3: world
pub mod snapshot;

// F4: work
pub mod proxy;

// F5: doors
pub mod control;
pub mod edge;
pub mod reload;
pub mod handover;

// F6: house
pub mod app;
pub mod cli;
pub mod demo;
