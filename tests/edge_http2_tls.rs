//! The tests of `edge_tls`, over HTTP/2 within TLS.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "edge/https.rs"]
mod https;
#[path = "edge/suite.rs"]
mod suite;
#[path = "edge/visitors.rs"]
mod visitors;

use suite::*;
