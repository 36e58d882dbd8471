//! WebSockets to endpoints over HTTP/2 (RFC 8441).

use bytes::Bytes;
use h2::{RecvStream, SendStream, ext::Protocol};
use http::{Method, Request, Response, StatusCode, response::Builder};
use tokio::io::AsyncWriteExt;

use crate::{
    House,
    http2::{asking, started},
    origin2::{Asked, request},
    support::{
        client::{Answer, Client},
        http2::{Http2, get, scheme, within},
    },
};

const TUNNELS: &str = r#"usher_tunnels{audience="everyone"}"#;
const IN_FLIGHT: &str = r#"usher_pool_in_flight{pool="rails"}"#;
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
                         Sec-WebSocket-Version: 13\r\n\
                         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                         Sec-WebSocket-Protocol: chat, v2\r\n";

/// A client that asks for a WebSocket.
async fn wishing(house: &House, path: &str) -> Client {
    asking(house, "GET", path, HANDSHAKE).await
}

fn told(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.field("x-usher-fault"))
}

fn agreement() -> Builder {
    Response::builder().header("sec-websocket-protocol", "v2")
}

/// Agrees to the WebSocket, and brings both directions of it.
fn agree(mut asked: Asked) -> (SendStream<Bytes>, RecvStream) {
    let sent = asked.begin(agreement().body(()).expect("a head"));
    (sent, asked.body)
}

fn say(stream: &mut SendStream<Bytes>, text: &'static str) {
    stream.send_data(Bytes::from_static(text.as_bytes()), false).expect("an open stream");
}

/// What comes next; `None` at the end, however it came.
async fn next(stream: &mut RecvStream) -> Option<Bytes> {
    loop {
        let data = within(stream.data()).await?.ok()?;
        let _ = stream.flow_control().release_capacity(data.len());
        if !data.is_empty() {
            return Some(data);
        }
    }
}

#[tokio::test]
async fn a_websocket_goes_through_a_stream_beside_other_requests() {
    let (origin, house) = started("").await;
    let mut client = wishing(&house, "/cable?x=1").await;
    let mut trunk = origin.accept_admitting(100).await;
    let asked = trunk.read().await;
    let head = &asked.head;
    assert_eq!((&head.method, head.uri.path_and_query().map(|it| it.as_str())), {
        (&Method::CONNECT, Some("/cable?x=1"))
    });
    assert_eq!(head.uri.authority().map(|it| it.as_str()), Some("shop.example"));
    assert_eq!(head.extensions.get::<Protocol>().map(Protocol::as_str), Some("websocket"));
    assert_eq!(head.headers["sec-websocket-version"], "13");
    assert_eq!(head.headers["sec-websocket-protocol"], "chat, v2");
    for gone in ["sec-websocket-key", "upgrade", "connection", "host"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    let (mut to, mut from) = agree(asked);
    let switched = client.head().await.expect("a 101");
    assert_eq!((switched.status, switched.field("upgrade")), (101, Some("websocket")));
    assert_eq!(switched.field("sec-websocket-accept"), Some(ACCEPT));
    assert_eq!(switched.field("sec-websocket-protocol"), Some("v2"));
    house.usher.reaches(TUNNELS, 1.0).await;
    house.usher.reaches(IN_FLIGHT, 0.0).await;
    say(&mut to, "hello");
    assert_eq!(client.until(b"hello").await.expect("a word"), b"hello");
    client.send("ping").await;
    assert_eq!(next(&mut from).await.expect("a word back"), "ping");
    let mut other = asking(&house, "GET", "/other", "").await;
    trunk.read().await.ok("other");
    assert_eq!(other.answer().await.text(), "other");
    assert!(origin.is_quiet().await, "there is no second connection");
    client.stream.shutdown().await.expect("it is open");
    assert_eq!(next(&mut from).await, None);
    to.send_data(Bytes::new(), true).expect("an open stream");
    assert!(client.closed().await.is_empty());
    drop((to, from, client));
    house.usher.reaches(TUNNELS, 0.0).await;
    // The connection is none the worse for it.
    other.send(request("GET", "/again", "")).await;
    trunk.read().await.ok("again");
    assert_eq!(other.answer().await.text(), "again");
    drop(other);
    let samples = house.usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"101\"", "served"]), 1.0);
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["\"closed\"", "client"]), 1.0);
}

#[tokio::test]
async fn a_websocket_of_a_client_over_http2_reaches_an_endpoint_over_http2() {
    let (origin, house) = started("").await;
    let mut client = Http2::connect(house.usher.address()).await;
    let first = client.begin(get("/"), true).await;
    let mut trunk = origin.accept_admitting(100).await;
    trunk.read().await.ok("first");
    assert_eq!(first.answer().await.text(), "first");
    assert!(client.knows_extended_connect());
    let wish = Request::builder()
        .method(Method::CONNECT)
        .uri(format!("{}://shop.example/cable?x=1", scheme()))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "chat, v2");
    let mut sent = client.begin(wish.body(()).expect("a request"), false).await;
    let asked = trunk.read().await;
    let head = &asked.head;
    assert_eq!((&head.method, head.uri.path()), (&Method::CONNECT, "/cable"));
    assert_eq!(head.extensions.get::<Protocol>().map(Protocol::as_str), Some("websocket"));
    // The key with which it is asked for over HTTP/1.1 is usher's own, and stays here.
    for gone in ["sec-websocket-key", "upgrade", "connection"] {
        assert!(!head.headers.contains_key(gone), "{gone}");
    }
    let (mut to, mut from) = agree(asked);
    let agreed: Response<RecvStream> = within(&mut sent.answer).await.expect("an answer");
    assert_eq!(agreed.status(), StatusCode::OK);
    assert_eq!(agreed.headers()["sec-websocket-protocol"], "v2");
    assert!(!agreed.headers().contains_key("sec-websocket-accept"));
    let mut received = agreed.into_body();
    house.usher.reaches(TUNNELS, 1.0).await;
    house.usher.reaches(IN_FLIGHT, 0.0).await;
    say(&mut sent.body, "ping");
    assert_eq!(next(&mut from).await.expect("a word"), "ping");
    say(&mut to, "pong");
    assert_eq!(next(&mut received).await.expect("a word back"), "pong");
    // Another request on both connections, beside the tunnel.
    let other = client.begin(get("/other"), true).await;
    trunk.read().await.ok("other");
    assert_eq!(other.answer().await.text(), "other");
    assert!(origin.is_quiet().await, "there is no second connection");
    sent.body.send_data(Bytes::from_static(b"bye"), true).expect("an open stream");
    assert_eq!(next(&mut from).await.expect("the last word"), "bye");
    assert_eq!(next(&mut from).await, None);
    to.send_data(Bytes::new(), true).expect("an open stream");
    assert_eq!(next(&mut received).await, None);
    house.usher.reaches(TUNNELS, 0.0).await;
    drop(client);
    let samples = house.usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["\"closed\"", "client"]), 1.0);
}

#[tokio::test]
async fn an_endpoint_that_lets_none_pass_is_not_asked_and_nothing_is_held_against_it() {
    let (origin, house) = started("ejection: { consecutive: 1 }").await;
    let mut client = wishing(&house, "/cable").await;
    let mut trunk = origin.accept().await;
    assert_eq!(told(&client.answer().await), (502, Some("upstream_upgrade")));
    // Now that its settings are known, at once.
    for _ in 0..10 {
        let mut client = wishing(&house, "/cable").await;
        assert_eq!(told(&client.answer().await), (502, Some("upstream_upgrade")));
    }
    client.send(request("GET", "/", "")).await;
    let asked = trunk.read().await;
    assert_eq!(asked.path(), "/", "the first that it hears of");
    asked.ok("here");
    assert_eq!(client.answer().await.text(), "here");
    assert!(origin.is_quiet().await);
    drop(client);
    let samples = house.usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["upstream_upgrade"]), 11.0);
    assert_eq!(samples.sum("usher_endpoint_events_total", &[]), 0.0);
    assert_eq!(samples.sum("usher_retries_total", &[]), 0.0);
}

#[tokio::test]
async fn what_is_not_agreed_to_is_an_ordinary_answer_and_a_wrong_agreement_none() {
    let (origin, house) = started("").await;
    let mut client = wishing(&house, "/none").await;
    let mut trunk = origin.accept_admitting(100).await;
    let mut asked = trunk.read().await;
    let head = Response::builder().status(404).header("content-length", 4);
    let mut to = asked.begin(head.body(()).expect("a head"));
    to.send_data(Bytes::from_static(b"none"), true).expect("usher reads");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (404, "none"));
    for head in [
        Response::builder().header("sec-websocket-protocol", "v3"),
        Response::builder().header("sec-websocket-extensions", "x-mine"),
    ] {
        client.send(request("GET", "/cable", HANDSHAKE)).await;
        let mut asked = trunk.read().await;
        let _to = asked.begin(head.body(()).expect("a head"));
        assert_eq!(told(&client.answer().await), (502, Some("upstream_upgrade")));
        assert_eq!(next(&mut asked.body).await, None, "it is taken back");
    }
    drop(client);
    let samples = house.usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &[]), 0.0);
}

#[tokio::test]
async fn an_end_of_either_side_reaches_the_other() {
    let (origin, house) = started("").await;
    let mut client = wishing(&house, "/1").await;
    let mut trunk = origin.accept_admitting(100).await;
    let (mut to, mut from) = agree(trunk.read().await);
    assert_eq!(client.head().await.expect("a 101").status, 101);
    to.send_data(Bytes::from_static(b"bye"), true).expect("usher reads");
    assert_eq!(client.closed().await, b"bye");
    client.send("and you").await;
    assert_eq!(next(&mut from).await.expect("a word back"), "and you");
    client.stream.shutdown().await.expect("it is open");
    assert_eq!(next(&mut from).await, None);
    drop(client);
    house.usher.reaches(TUNNELS, 0.0).await;
    let mut client = wishing(&house, "/2").await;
    let (mut to, from) = agree(trunk.read().await);
    assert_eq!(client.head().await.expect("a 101").status, 101);
    to.send_reset(h2::Reason::INTERNAL_ERROR);
    assert!(client.closed().await.is_empty());
    drop((to, from, client));
    house.usher.reaches(TUNNELS, 0.0).await;
    let samples = house.usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["\"closed\"", "upstream"]), 1.0);
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["\"broke\"", "upstream"]), 1.0);
}

#[tokio::test]
async fn a_tunnel_has_a_seat_and_keeps_its_connection_when_nobody_else_uses_it() {
    let (origin, house) = started("keep_alive: { idle: 100ms }").await;
    let mut first = wishing(&house, "/1").await;
    let mut trunk = origin.accept_admitting(1).await;
    let (mut to, mut from) = agree(trunk.read().await);
    assert_eq!(first.head().await.expect("a 101").status, 101);
    // The only stream is taken.
    let mut second = asking(&house, "GET", "/2", "").await;
    let mut other = origin.accept_admitting(1).await;
    other.read().await.ok("two");
    assert_eq!(second.answer().await.text(), "two");
    other.closed().await;
    say(&mut to, "still here");
    assert_eq!(first.until(b"still here").await.expect("words"), b"still here");
    first.send("so am I").await;
    assert_eq!(next(&mut from).await.expect("words"), "so am I");
    drop((first, second, to, from));
    trunk.closed().await;
    house.usher.stop().await;
}

#[tokio::test]
async fn a_websocket_that_was_not_looked_at_is_asked_for_again() {
    let (origin, house) = started("").await;
    let mut client = wishing(&house, "/cable").await;
    let mut trunk = origin.accept_admitting(100).await;
    trunk.read().await.reset(h2::Reason::REFUSED_STREAM);
    let (mut to, _from) = agree(trunk.read().await);
    assert_eq!(client.head().await.expect("a 101").status, 101);
    say(&mut to, "hello");
    assert_eq!(client.until(b"hello").await.expect("a word"), b"hello");
    drop(client);
    house.usher.stop().await;
}
