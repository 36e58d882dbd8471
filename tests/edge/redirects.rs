//! Redirects to https.
//!
//! Transport: plain text, over HTTP/1.1 and HTTP/2; whoever speaks TLS need not be sent there.

use crate::{
    House,
    support::{
        client::Client,
        http2::Http2,
        origin::{Origin, ok},
    },
};

#[tokio::test]
async fn plain_requests_are_sent_on_to_https_but_for_challenges() {
    let origin = Origin::start().await;
    let house = House::open(
        &origin,
        "trusted_proxies: [127.0.0.2]",
        "{ bind: 127.0.0.1:0, h2c: on, redirect: https }, \
         { bind: 127.0.0.2:0, redirect: \"https:8443\" }",
    )
    .await;
    origin.serve(|_| ok("here"));
    let mut client = Client::plain(house.address(0)).await;
    for (method, host, target, status, location) in [
        ("GET", "shop.example:8080", "/a%2Fb?c=d", 301, "https://shop.example/a%2Fb?c=d"),
        ("HEAD", "shop.example", "/", 301, "https://shop.example/"),
        ("POST", "[2001:db8::1]:80", "/orders", 308, "https://[2001:db8::1]/orders"),
    ] {
        client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n")).await;
        let answer = match method {
            "HEAD" => client.answer_to_head().await,
            _ => client.answer().await,
        };
        assert_eq!((answer.status, answer.field("location")), (status, Some(location)));
        assert_eq!(answer.field("x-usher-fault"), Some("https_required"));
    }
    assert_eq!(client.get("/.well-known/acme-challenge/x").await.text(), "here");
    assert_eq!(client.get("/.well-known/acme-challenger").await.status, 301);
    let mut modern = Http2::connect(house.address(0)).await;
    let answer = modern.get("/a%2Fb?c=d").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.headers["location"], "https://shop.example/a%2Fb?c=d");
    assert_eq!(modern.get("/.well-known/acme-challenge/x").await.text(), "here");
    let mut other = Client::plain(house.address(1)).await;
    let answer = other.get("/").await;
    assert_eq!(answer.field("location"), Some("https://shop.example:8443/"));
    drop((client, modern, other));
    house.usher.stop().await;
}

#[tokio::test]
async fn who_came_by_https_to_the_balancer_is_not_sent_on() {
    let origin = Origin::start().await;
    let listener = "{ bind: 127.0.0.1:0, redirect: https, hsts: { max_age: 365d } }";
    let house = House::open(&origin, "trusted_proxies: [127.0.0.1]", listener).await;
    origin.serve(|_| ok("here"));
    let mut client = Client::plain(house.address(0)).await;
    let request = "GET / HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-Proto: https\r\n\r\n";
    client.send(request).await;
    let answer = client.answer().await;
    assert_eq!(answer.text(), "here");
    assert_eq!(answer.field("strict-transport-security"), Some("max-age=31536000"));
    let answer = client.get("/").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.field("strict-transport-security"), None, "RFC 6797 §7.2");
    drop(client);
    house.usher.stop().await;
}
