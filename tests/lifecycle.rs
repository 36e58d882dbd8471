//! What is changed while a real usher runs: by reloads, by signals, by another binary.
//!
//! Transport: HTTP/1.1 in plain text; sockets are handed on whatever is spoken on them. How those
//! who speak something else are told that usher leaves stands in `proxy` and `http2`.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "lifecycle/audited.rs"]
mod audited;
#[path = "lifecycle/fixed.rs"]
mod fixed;
#[path = "lifecycle/kit.rs"]
mod kit;
#[path = "lifecycle/load.rs"]
mod load;
#[path = "lifecycle/show.rs"]
mod show;
#[path = "lifecycle/signals.rs"]
mod signals;
mod support;
#[path = "lifecycle/systemd.rs"]
mod systemd;
#[path = "lifecycle/upgrade.rs"]
mod upgrade;
