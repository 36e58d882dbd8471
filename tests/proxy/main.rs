//! One request's way through a whole usher, between a client and an origin that do as they are
//! told.

mod answers;
mod bodies;
mod drain;
mod endings;
mod limits;
mod promises;
mod reload;
mod requests;
#[path = "../support/mod.rs"]
mod support;
mod upstream;
mod websocket;
mod why;

use support::{
    client::Client,
    origin::Origin,
    usher::{Usher, one_pool},
};

/// The simplest request there is.
const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// usher in front of one origin, and a client.
async fn started(pool: &str) -> (Origin, Usher, Client) {
    let origin = Origin::start().await;
    let usher = Usher::start(&one_pool(&[origin.endpoint()], pool)).await;
    let client = Client::connect(usher.address()).await;
    (origin, usher, client)
}
