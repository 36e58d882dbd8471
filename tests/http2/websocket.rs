//! WebSockets over HTTP/2 (RFC 8441), to a monolith that knows those of HTTP/1.1.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use h2::{RecvStream, SendStream, ext::Protocol};
use http::{Request, Response};
use sha1::{Digest, Sha1};

use crate::support::{
    http2::{Http2, get, within},
    origin::{Asked, Origin, ok},
};
use crate::{started, started_with};

/// What the monolith says when it agrees.
fn agreement(asked: &Asked) -> String {
    let key = asked.field("sec-websocket-key").expect("a key");
    assert_eq!(STANDARD.decode(key).expect("base64").len(), 16);
    let hash = Sha1::new()
        .chain_update(key)
        .chain_update("258EAFA5-E914-47DA-95CA-C5AB0DC85B11")
        .finalize();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\nSec-WebSocket-Protocol: cable\r\n\r\n",
        STANDARD.encode(hash)
    )
}

fn wish(protocol: &'static str) -> Request<()> {
    Request::builder()
        .method("CONNECT")
        .uri("http://shop.example/cable?x=1")
        .extension(Protocol::from_static(protocol))
        .header("sec-websocket-version", "13")
        .header("sec-websocket-protocol", "cable, other")
        .body(())
        .expect("a request")
}

/// A client that has learnt that usher knows extended CONNECT.
async fn knowing(client: &mut Http2, origin: Origin) -> Origin {
    let sent = client.begin(get("/"), true).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("")).await;
    sent.answer().await;
    assert!(client.knows_extended_connect());
    drop(line);
    origin
}

async fn next(stream: &mut RecvStream) -> Option<Bytes> {
    loop {
        let data = within(stream.data()).await?.expect("a good piece");
        stream.flow_control().release_capacity(data.len()).expect("room");
        // The end of a stream may come alone, as an empty piece.
        if !data.is_empty() {
            return Some(data);
        }
    }
}

fn say(stream: &mut SendStream<Bytes>, text: &'static str, ends: bool) {
    stream.send_data(Bytes::from_static(text.as_bytes()), ends).expect("an open stream");
}

#[tokio::test]
async fn a_websocket_goes_through_a_stream_both_ways_and_beside_other_requests() {
    let (origin, usher, mut client) = started("").await;
    let origin = knowing(&mut client, origin).await;
    let mut sent = client.begin(wish("websocket"), false).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.line, "GET /cable?x=1 HTTP/1.1");
    assert_eq!(asked.field("upgrade"), Some("websocket"));
    assert_eq!(asked.field("connection"), Some("Upgrade"));
    assert_eq!(asked.field("sec-websocket-protocol"), Some("cable, other"));
    line.write(agreement(&asked)).await;
    let response: Response<RecvStream> = within(&mut sent.answer).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["sec-websocket-protocol"], "cable");
    for gone in ["sec-websocket-accept", "upgrade", "connection", "content-length"] {
        assert!(!response.headers().contains_key(gone), "{gone}");
    }
    let mut received = response.into_body();
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 1.0).await;

    say(&mut sent.body, "hello rails", false);
    assert_eq!(within(line.read_exactly(11)).await.expect("bytes"), b"hello rails");
    line.write("hello browser").await;
    assert_eq!(next(&mut received).await.expect("bytes"), "hello browser");

    // Another request on the same connection, while the tunnel is open.
    let other = client.begin(get("/menus"), true).await;
    let mut second = origin.accept().await;
    second.read().await;
    second.write(ok("menus")).await;
    assert_eq!(other.answer().await.text(), "menus");

    say(&mut sent.body, "bye", true);
    assert_eq!(within(line.read_exactly(3)).await.expect("bytes"), b"bye");
    line.closed().await;
    assert_eq!(next(&mut received).await, None, "the end of one side is the end of the other");
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 0.0).await;
    drop((client, second));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"101\"", "\"served\""]), 1.0);
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["\"closed\""]), 1.0);
}

#[tokio::test]
async fn what_is_no_websocket_is_refused_or_answered() {
    let (origin, usher, mut client) = started("").await;
    let origin = knowing(&mut client, origin).await;
    let answer = client.begin(wish("connect-udp"), false).await.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (400, Some("bad_upgrade")));
    let mut old = wish("websocket");
    old.headers_mut().insert("sec-websocket-version", "8".parse().expect("a value"));
    let answer = client.begin(old, false).await.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (426, Some("websocket_version")));
    assert_eq!(answer.field("upgrade"), None, "no such field in HTTP/2");

    // The monolith may decline, and must not agree to something else.
    let sent = client.begin(wish("websocket"), false).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = sent.answer().await;
    assert_eq!((answer.status, answer.text()), (403, "no"));
    let sent = client.begin(wish("websocket"), false).await;
    let asked = line.read().await;
    line.write(agreement(&asked).replace("Accept: ", "Accept: x")).await;
    let answer = sent.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (502, Some("upstream_upgrade")));
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_client_that_resets_its_stream_ends_the_tunnel() {
    let (origin, usher, mut client) = started("").await;
    let origin = knowing(&mut client, origin).await;
    let mut sent = client.begin(wish("websocket"), false).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    line.write(agreement(&asked)).await;
    let response = within(&mut sent.answer).await.expect("an answer");
    sent.body.send_reset(h2::Reason::CANCEL);
    line.closed().await;
    drop((response, sent, client));
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 0.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["\"client\""]), 1.0);
}

#[tokio::test]
async fn a_tunnel_keeps_its_connection_until_it_ends_and_a_slow_reader_holds_back_rails() {
    let (origin, usher, mut client) = started_with("limits: { keep_alive: 2s }", "").await;
    let origin = knowing(&mut client, origin).await;
    let mut sent = client.begin(wish("websocket"), false).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    line.write(agreement(&asked)).await;
    let response = within(&mut sent.answer).await.expect("an answer");
    let mut received = response.into_body();
    // More than all windows and buffers between here and there.
    let writing = tokio::spawn(async move {
        line.try_write(&vec![b'x'; 20_000_000]).await;
    });
    let first = within(received.data()).await.expect("a piece").expect("a good one");
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 1.0).await;
    assert!(!writing.is_finished(), "nobody reads");
    let mut bytes = first.len();
    received.flow_control().release_capacity(first.len()).expect("room");
    while let Some(data) = next(&mut received).await {
        bytes += data.len();
    }
    assert_eq!(bytes, 20_000_000);
    writing.await.expect("no panic");
    drop((sent, client));
    usher.stop().await;
}
