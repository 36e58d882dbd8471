//! One request's way through a whole usher, between a client and an origin that do as they are
//! told. `proxy_tls` and `proxy_http2_tls` tell the same over TLS, and over HTTP/2 within it.

mod crowds;
mod http1;
#[path = "suite.rs"]
mod suite;

use suite::*;
