//! The tests of `proxy`, over TLS. What is about other things than a client's connection is not
//! told twice.

#[path = "proxy/answers.rs"]
mod answers;
#[path = "proxy/bodies.rs"]
mod bodies;
#[path = "proxy/endings.rs"]
mod endings;
#[path = "proxy/limits.rs"]
mod limits;
#[path = "proxy/reload.rs"]
mod reload;
#[path = "proxy/requests.rs"]
mod requests;
#[path = "proxy/started.rs"]
mod started;
mod support;
#[path = "proxy/upstream.rs"]
mod upstream;
#[path = "proxy/websocket.rs"]
mod websocket;

use started::{GET, started};
