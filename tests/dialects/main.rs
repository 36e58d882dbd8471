//! How endpoints are spoken to where they want more than plain HTTP/1.1. `dialects_tls` and
//! `dialects_http2_tls` tell the same of clients over TLS, and over HTTP/2 within it.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

#[path = "suite.rs"]
mod suite;

use suite::*;
