//! The tests of `h1`, over TLS.

#[path = "h1/bodies.rs"]
mod bodies;
#[path = "h1/hostile.rs"]
mod hostile;
#[path = "h1/keeping.rs"]
mod keeping;
#[path = "h1/kit.rs"]
mod kit;
mod support;
