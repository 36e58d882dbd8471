//! HTTP/2 towards clients: one request's way through a whole usher, between a client over HTTP/2
//! and an origin that do as they are told.

mod answers;
mod floods;
mod leaving;
mod limits;
mod raw;
mod requests;
#[path = "../support/mod.rs"]
mod support;
mod websocket;

use support::{
    http2::Http2,
    origin::Origin,
    usher::{Usher, one_pool},
};

/// usher with HTTP/2 in plain text, in front of one origin, and a client.
async fn started(pool: &str) -> (Origin, Usher, Http2) {
    started_with("", pool).await
}

/// The same with `limits` of its listener.
async fn started_with(limits: &str, pool: &str) -> (Origin, Usher, Http2) {
    let origin = Origin::start().await;
    let usher = Usher::start(&with_h2c(&one_pool(&[origin.endpoint()], pool), limits)).await;
    let client = Http2::connect(usher.address()).await;
    (origin, usher, client)
}

/// A configuration of the other tests, whose listener speaks HTTP/2 too.
fn with_h2c(text: &str, limits: &str) -> String {
    let listener = "{ bind: 127.0.0.1:0 }]";
    assert!(text.contains(listener), "a listener to be changed");
    text.replacen(listener, &format!("{{ bind: 127.0.0.1:0, h2c: on, {limits} }}]"), 1)
}
