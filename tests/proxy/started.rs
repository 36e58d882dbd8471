//! What nearly every test here begins with.

use crate::support::{
    client::Client,
    origin::Origin,
    usher::{Usher, one_pool},
};

/// The simplest request there is.
pub const GET: &str = "GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// usher in front of one origin, and a client.
pub async fn started(pool: &str) -> (Origin, Usher, Client) {
    let origin = Origin::start().await;
    let usher = Usher::start(&one_pool(&[origin.endpoint()], pool)).await;
    let client = Client::connect(usher.address()).await;
    (origin, usher, client)
}
