//! The door's own HTTP/1.1, over real sockets and with services of the tests.
//!
//! Transport: HTTP/1.1, here and over TLS in `h1_tls`.

#[path = "h1/bodies.rs"]
mod bodies;
#[path = "h1/hostile.rs"]
mod hostile;
#[path = "h1/keeping.rs"]
mod keeping;
#[path = "h1/kit.rs"]
mod kit;
mod support;
