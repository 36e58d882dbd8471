//! The tests of `edge` that hold whatever a client speaks, over TLS, and what holds only there.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "edge/https.rs"]
mod https;
#[path = "edge/suite.rs"]
mod suite;
#[path = "edge/visitors.rs"]
mod visitors;

use suite::*;
