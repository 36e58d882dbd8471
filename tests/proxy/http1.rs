//! What can only be said over HTTP/1.1: heads that do not come whole, the key of a WebSocket
//! handshake, its version, an upgrade to something else, HTTP/1.0. Everything else stands in the
//! suite and holds over HTTP/2 too.
//!
//! Transport: HTTP/1.1, in plain text and over TLS.

use tokio::io::AsyncWriteExt;

use crate::limits::{goes_on, gone, limited, told};
use crate::started;
use crate::support::{
    client::Client,
    origin::{Asked, ok},
};
use crate::websocket::{KEY, agreement, asking, told as told_of_upgrade, valid};

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_a_408_even_when_it_dribbles() {
    let (origin, usher, mut silent) = limited("head: 64KiB, head_wait: 100ms").await;
    silent.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    assert_eq!(told(&silent.answer().await), (408, Some("head_timeout"), Some("close")));
    gone(&usher, [silent]).await;
    let mut dribbling = Client::connect(usher.address()).await;
    dribbling.send("GET / HTTP/1.1\r\nHost: a\r\nX: ").await;
    let answer = loop {
        tokio::select! {
            biased;
            answer = dribbling.head() => break answer.expect("an answer"),
            () = tokio::task::yield_now() => {}
        }
        // Between two bytes something else takes its time, so that the head stays small.
        usher.samples();
        dribbling.try_send(b"x").await;
    };
    assert_eq!(told(&answer), (408, Some("head_timeout"), Some("close")));
    gone(&usher, [dribbling]).await;
    goes_on(&origin, &usher).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["head_timeout"]), 2.0);
}

#[tokio::test]
async fn a_refused_client_that_goes_on_sending_is_cut_within_bounds() {
    let (origin, usher, mut client) = limited("target: 256B").await;
    client.send(format!("GET /{} HTTP/1.1\r\n", "x".repeat(300))).await;
    assert_eq!(client.head().await.expect("an answer").status, 414);
    let piece = vec![b'x'; 1 << 16];
    let mut sent = 0;
    while client.stream.write_all(&piece).await.is_ok() {
        sent += piece.len();
        assert!(sent < 1 << 28, "it never ends");
    }
    goes_on(&origin, &usher).await;
    usher.stop().await;
}

#[tokio::test]
async fn a_handshake_that_is_none_goes_nowhere() {
    let (origin, usher, mut client) = started("").await;
    let version = "Sec-WebSocket-Version: 13";
    let bad_keys = [
        version.to_owned(),
        format!("{version}\r\n{KEY}\r\n{KEY}"),
        format!("{version}\r\nSec-WebSocket-Key:"),
        format!("{version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"),
        format!("{version}\r\nSec-WebSocket-Key: c2hvcnQ="),
        format!("{version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZSBub25jZQ=="),
        format!("{version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="),
        format!("{version}\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25j*Q=="),
    ];
    for lines in bad_keys {
        client.send(asking(&lines)).await;
        assert_eq!(told_of_upgrade(&client.answer().await), (400, Some("bad_upgrade")), "{lines}");
    }
    let bad_versions = [
        KEY.to_owned(),
        format!("{KEY}\r\nSec-WebSocket-Version: 8"),
        format!("{KEY}\r\nSec-WebSocket-Version: 13, 8"),
        format!("{KEY}\r\nSec-WebSocket-Version: 013"),
        format!("{KEY}\r\n{version}\r\n{version}"),
    ];
    for lines in bad_versions {
        client.send(asking(&lines)).await;
        let answer = client.answer().await;
        assert_eq!(told_of_upgrade(&answer), (426, Some("websocket_version")), "{lines}");
        assert_eq!(answer.field("sec-websocket-version"), Some("13"));
        assert_eq!(answer.field("upgrade"), Some("websocket"));
        assert_eq!(answer.field("connection"), Some("upgrade"));
    }
    for wrong in [
        valid().replace("GET", "POST"),
        valid().replace("GET", "HEAD"),
        valid().replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi"),
        valid().replace("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ] {
        let mut client = Client::connect(usher.address()).await;
        client.send(&wrong).await;
        let answer = client.head().await.expect("an answer");
        assert_eq!(told_of_upgrade(&answer), (400, Some("bad_upgrade")), "{wrong}");
    }
    client.send("GET /after HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), "/after", "nothing else got here");
    line.write(ok("")).await;
    client.answer().await;
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn what_is_no_websocket_goes_on_without_its_upgrade() {
    let (origin, usher, mut client) = started("").await;
    client.send(valid().replace("HTTP/1.1", "HTTP/1.0")).await;
    let mut line = origin.accept().await;
    let plain =
        |asked: Asked| (asked.field("upgrade").is_none(), asked.field("connection").is_none());
    assert_eq!(plain(line.read().await), (true, true));
    line.write(ok("plain")).await;
    assert_eq!(client.answer().await.text(), "plain");
    client.send(valid().replace("WebSocket", "h2c")).await;
    assert_eq!(plain(line.read().await), (true, true));
    line.write(agreement()).await;
    assert_eq!(
        told_of_upgrade(&client.answer().await),
        (502, Some("upstream_upgrade")),
        "nobody asked"
    );
    line.closed().await;
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn what_comes_before_the_101_is_held_back() {
    let (origin, usher, mut client) = started("").await;
    let smuggled = "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n";
    client.send(valid() + smuggled).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), "/cable");
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await;
    assert_eq!(client.answer().await.text(), "no");
    assert!(client.closed().await.is_empty(), "what was early is no request");
    line.stream.shutdown().await.expect("half-closes");
    assert!(line.try_read().await.is_none() && line.ahead() == 0, "none of it came here");
    let mut client = Client::connect(usher.address()).await;
    client.send(valid() + "early").await;
    let mut line = origin.accept().await;
    line.read().await;
    assert_eq!(line.ahead(), 0, "nothing comes before the 101");
    line.write(agreement() + "first").await;
    assert_eq!(line.read_exactly(5).await.expect("bytes"), b"early");
    client.head().await.expect("a 101");
    assert_eq!(client.until(b"first").await.expect("bytes"), b"first");
    drop(client);
    line.closed().await;
    usher.stop().await;
}

#[tokio::test]
async fn an_old_client_reads_an_answer_without_a_length_to_its_end() {
    let (origin, usher, mut client) = started("").await;
    client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 200 OK\r\n\r\nok").await;
    drop(line);
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.field("transfer-encoding")), ("ok", None));
    assert_eq!(answer.field("connection"), Some("close"));
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
}

#[tokio::test]
async fn hints_for_a_client_of_http_1_0_are_dropped_and_counted() {
    let (origin, usher, mut client) = started("").await;
    client.send("GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n").await;
    line.write(ok("page")).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "page"));
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_interim_answers_total", &["dropped"]), 1.0);
    assert_eq!(samples.sum("usher_interim_answers_total", &["passed"]), 0.0);
}
