//! What happens between an accepted socket and the first byte of HTTP: TLS, PROXY headers, and how
//! a listener meets its clients. `edge_tls` and `edge_http2_tls` tell what clients meet over TLS,
//! and over HTTP/2 within it.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod book;
mod certificates;
mod redirects;
mod sessions;
#[path = "suite.rs"]
mod suite;
mod unix;

use suite::*;
