//! What nearly every test here begins with.

use crate::support::{
    http2::Http2,
    origin::Origin,
    usher::{Usher, one_pool},
    wire,
};

/// usher that speaks HTTP/2, in front of one origin, and a client.
pub async fn started(pool: &str) -> (Origin, Usher, Http2) {
    started_with("", pool).await
}

/// The same with `limits` of its listener.
pub async fn started_with(limits: &str, pool: &str) -> (Origin, Usher, Http2) {
    let origin = Origin::start().await;
    let usher = Usher::start(&with_http2(&one_pool(&[origin.endpoint()], pool), limits)).await;
    let client = Http2::connect(usher.address()).await;
    (origin, usher, client)
}

/// A configuration of the other tests, whose listener speaks HTTP/2 too: within TLS it does.
pub fn with_http2(text: &str, limits: &str) -> String {
    let h2c = if wire::TLS { "" } else { ", h2c: on" };
    let limits = if limits.is_empty() { String::new() } else { format!(", {limits}") };
    let text = text.replacen("bind: 127.0.0.1:0", &format!("bind: 127.0.0.1:0{h2c}{limits}"), 1);
    // A hundred streams at once are to be no matter of slots here.
    text.replace("capacity: 5\n", "capacity: 200\n")
}
