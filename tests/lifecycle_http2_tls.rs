//! The tests of `lifecycle` that hold whatever a client speaks, over HTTP/2 within TLS.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "lifecycle/suite.rs"]
mod suite;

use suite::*;
