//! What is changed while a real usher runs: by reloads, by signals, by another binary.
//! `lifecycle_tls` and `lifecycle_http2_tls` tell over TLS, and over HTTP/2 within it, what clients
//! meet meanwhile.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod audited;
mod fixed;
mod kept;
#[cfg(feature = "real")]
mod machine;
mod signals;
#[path = "suite.rs"]
mod suite;
mod systemd;
mod unix;

use suite::*;
