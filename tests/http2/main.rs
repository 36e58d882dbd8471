//! HTTP/2 towards clients: one request's way through a whole usher, between a client over HTTP/2
//! and an origin that do as they are told.
//!
//! Transport: HTTP/2, here in plain text and over TLS in `http2_tls`.

mod answers;
mod drained;
mod ends;
mod floods;
mod leaving;
mod limits;
mod ordered;
mod raw;
mod refused;
mod reloaded;
mod requests;
mod siege;
mod silent;
mod started;
#[path = "../support/mod.rs"]
mod support;
mod websocket;

use started::{started, started_with, with_http2};
