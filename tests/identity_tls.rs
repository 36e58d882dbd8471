//! The tests of `identity`, over TLS, and those of clients that show a certificate.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "identity/certified.rs"]
mod certified;
#[path = "identity/suite.rs"]
mod suite;

use suite::*;
