//! The tests of `dialects`, over HTTP/2 within TLS.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "dialects/suite.rs"]
mod suite;

use suite::*;
