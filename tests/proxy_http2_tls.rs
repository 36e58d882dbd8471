//! The tests of `proxy`, over HTTP/2 within TLS: they say HTTP/1.1, and `support/gateway` brings it
//! to usher over HTTP/2.

#[path = "proxy/suite.rs"]
mod suite;

use suite::*;
