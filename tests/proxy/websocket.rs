//! WebSockets: the handshake as both sides may spell it, and the tunnel behind it.

use tokio::io::AsyncWriteExt;

use crate::started;
use crate::support::{
    client::{Answer, Client},
    gateway::accept,
    origin::{Asked, Line, Origin, ok},
    usher::Usher,
};

pub const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const AGREED: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const TUNNELS: &str = "usher_tunnels{audience=\"everyone\"}";

/// A handshake with these lines beside those that ask for an upgrade.
pub fn asking(lines: &str) -> String {
    format!(
        "GET /cable HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: WebSocket\r\n{lines}\r\n\r\n"
    )
}

pub fn valid() -> String {
    asking(&format!("Sec-WebSocket-Version: 13\r\n{KEY}"))
}

fn agreeing(lines: &str) -> String {
    format!("HTTP/1.1 101 Switching Protocols\r\n{lines}\r\n\r\n")
}

pub fn agreement() -> String {
    agreeing(&format!("Upgrade: websocket\r\nConnection: Upgrade\r\n{ACCEPT}"))
}

/// The agreement to the handshake that reached the monolith: over HTTP/2 its key is usher's own.
pub fn agreement_to(asked: &Asked) -> String {
    fitting(&agreement(), asked)
}

/// What agrees to the example's key, as it agrees to the key that was asked with.
fn fitting(said: &str, asked: &Asked) -> String {
    let key = asked.field("sec-websocket-key").expect("a key");
    said.replace(AGREED, &accept(key))
}

/// A tunnel that is open.
pub async fn opened(origin: &Origin, usher: &Usher) -> (Client, Line) {
    let mut client = Client::connect(usher.address()).await;
    client.send(valid()).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    line.write(agreement_to(&asked)).await;
    assert_eq!(client.head().await.expect("a 101").status, 101);
    (client, line)
}

pub fn told(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.field("x-usher-fault"))
}

#[tokio::test]
async fn an_agreement_to_something_else_is_a_502() {
    let (origin, usher, mut client) = started("").await;
    let asked = asking(&format!(
        "Sec-WebSocket-Version: 13\r\n{KEY}\r\nSec-WebSocket-Protocol: chat, v2\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
    ));
    let good = agreement();
    let with = |line: &str| good.replace("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    let without = |line: &str| good.replace(&format!("\r\n{line}"), "");
    let wrong = [
        without(ACCEPT),
        with(ACCEPT),
        good.replace("s3pPLM", "s3pplm"),
        good.replace("xOo=", "xOo"),
        without("Upgrade: websocket"),
        without("Connection: Upgrade"),
        good.replace("Connection: Upgrade", "Connection: close"),
        good.replace(": websocket", ": h2c"),
        good.replace(": websocket", ": websocket, h2c"),
        with("Upgrade: websocket"),
        with("Sec-WebSocket-Protocol: v3"),
        with("Sec-WebSocket-Protocol: Chat"),
        with("Sec-WebSocket-Protocol: chat, v2"),
        with("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: v2"),
        with("Sec-WebSocket-Protocol:"),
        with("Sec-WebSocket-Extensions: x-mine"),
        with("Sec-WebSocket-Extensions: permessage-deflate, x-mine; a=b"),
        with("Transfer-Encoding: chunked"),
        with("Content-Length: 5"),
        good.replace("HTTP/1.1", "HTTP/1.0"),
    ];
    for said in wrong {
        assert_ne!(said, good);
        client.send(&asked).await;
        let mut line = origin.accept().await;
        let asked = line.read().await;
        line.write(fitting(&said, &asked)).await;
        assert_eq!(told(&client.answer().await), (502, Some("upstream_upgrade")), "{said}");
        line.closed().await;
    }
    client.send(&asked).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.field("sec-websocket-protocol"), Some("chat, v2"));
    let chosen = "Sec-WebSocket-Protocol: v2\r\n\
                  Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover";
    line.write(fitting(&with(chosen), &asked)).await;
    let switched = client.head().await.expect("a 101");
    assert_eq!(switched.status, 101);
    assert_eq!(switched.field("sec-websocket-protocol"), Some("v2"));
    assert_eq!(ACCEPT.split(": ").nth(1), switched.field("sec-websocket-accept"));
    assert_eq!(
        switched.field("sec-websocket-extensions"),
        Some("permessage-deflate; server_no_context_takeover")
    );
    drop(client);
    line.closed().await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["upstream_upgrade"]), 20.0);
}

#[tokio::test]
async fn a_websocket_that_is_not_agreed_to_is_an_ordinary_request() {
    let (origin, usher, mut client) = started("limits: { tunnels: 1 }\n").await;
    client.send(valid()).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnone").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (404, "none"));
    client.send(valid()).await;
    line.read().await;
    line.write("HTTP/1.1 426 Upgrade Required\r\nUpgrade: x\r\nContent-Length: 0\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("upgrade")), (426, None));
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    line.read().await;
    line.write(ok("same")).await;
    assert_eq!(client.answer().await.text(), "same");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn one_tunnel_too_many_is_a_503_and_a_closed_one_makes_room() {
    let (origin, usher, mut client) = started("limits: { tunnels: 1 }\n").await;
    let (first, line) = opened(&origin, &usher).await;
    client.send(valid()).await;
    let answer = client.answer().await;
    assert_eq!(told(&answer), (503, Some("tunnel_limit")));
    assert!(answer.field("retry-after").is_some());
    usher.reaches(TUNNELS, 1.0).await;
    drop(first);
    line.closed().await;
    usher.reaches(TUNNELS, 0.0).await;
    let (again, line) = opened(&origin, &usher).await;
    drop((client, again));
    line.closed().await;
    usher.stop().await;
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_passes_is_closed_on_both_sides() {
    let (origin, usher, client) = started("limits: { tunnel_idle: 2s }\n").await;
    drop(client);
    let (mut client, mut line) = opened(&origin, &usher).await;
    client.send("last words").await;
    assert_eq!(line.read_exactly(10).await.expect("bytes"), b"last words");
    assert!(client.closed().await.is_empty());
    line.closed().await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["idle"]), 1.0);
}

#[tokio::test]
async fn a_side_that_has_said_all_still_hears_the_other() {
    let (origin, usher, client) = started("").await;
    drop(client);
    let (mut client, mut line) = opened(&origin, &usher).await;
    client.send("bye").await;
    client.stream.shutdown().await.expect("half-closes");
    assert_eq!(line.read_exactly(3).await.expect("bytes"), b"bye");
    assert_eq!(line.read_exactly(1).await, None, "the end is passed on");
    line.write("and you").await;
    assert_eq!(client.until(b"and you").await.expect("bytes"), b"and you");
    drop(line);
    assert!(client.closed().await.is_empty());
    let (mut client, mut line) = opened(&origin, &usher).await;
    line.write("bye").await;
    line.stream.shutdown().await.expect("half-closes");
    assert_eq!(client.closed().await, b"bye");
    client.send("and you").await;
    assert_eq!(line.read_exactly(7).await.expect("bytes"), b"and you");
    drop(client);
    line.closed().await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["client"]), 1.0);
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["upstream"]), 1.0);
}
