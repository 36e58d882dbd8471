//! Who is calling: a whole usher between clients that prove something, or try to, and an origin.
//! `identity_tls` and `identity_http2_tls` tell the same over TLS, and over HTTP/2 within it.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod algorithms;
mod mutations;
mod signers;
#[path = "suite.rs"]
mod suite;

use suite::*;
