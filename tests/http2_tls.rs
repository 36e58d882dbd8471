//! The tests of `http2`, over TLS.

#[path = "http2/answers.rs"]
mod answers;
#[path = "http2/drained.rs"]
mod drained;
#[path = "http2/ends.rs"]
mod ends;
#[path = "http2/floods.rs"]
mod floods;
#[path = "http2/leaving.rs"]
mod leaving;
#[path = "http2/limits.rs"]
mod limits;
#[path = "http2/ordered.rs"]
mod ordered;
#[path = "http2/raw.rs"]
mod raw;
#[path = "http2/refused.rs"]
mod refused;
#[path = "http2/reloaded.rs"]
mod reloaded;
#[path = "http2/requests.rs"]
mod requests;
#[path = "http2/siege.rs"]
mod siege;
#[path = "http2/started.rs"]
mod started;
mod support;
#[path = "http2/websocket.rs"]
mod websocket;

use started::{started, started_with, with_http2};
