//! Every limit of `limits:`, reached on a real socket. Those of tunnels are in `websocket`.

use tokio::io::AsyncWriteExt;

use crate::support::{
    client::{Answer, CLOSE, Client},
    origin::{Line, Origin, ok},
    usher::{Usher, listener_tls, one_pool},
    wire,
};
use crate::{GET, started};

/// usher with these limits, in front of one origin.
pub async fn limited(limits: &str) -> (Origin, Usher, Client) {
    started(&format!("limits: {{ {limits} }}\n")).await
}

pub fn told(answer: &Answer) -> (u16, Option<&str>, Option<&str>) {
    (answer.status, answer.field("x-usher-fault"), answer.field("connection"))
}

/// usher has closed though the clients have not, and counts them no more.
pub async fn gone(usher: &Usher, clients: impl IntoIterator<Item = Client>) {
    for mut client in clients {
        client.closed().await;
    }
    while usher.samples().sum("usher_connections", &[]) > 0.0 {
        tokio::task::yield_now().await;
    }
}

/// A fresh request is served.
pub async fn goes_on(origin: &Origin, usher: &Usher) {
    let mut client = Client::connect(usher.address()).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("fresh")).await;
    assert_eq!(client.answer().await.text(), "fresh");
}

#[tokio::test]
async fn a_head_or_body_that_is_too_large_is_refused_and_its_connection_closes() {
    let (origin, usher, client) =
        limited("head: 1KiB, headers: 5, target: 256B, body: 1KiB, head_wait: 9s").await;
    let long = "x".repeat(2000);
    let chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let cases = [
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}\r\n\r\n"), 431, "head_too_large"),
        (
            format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: x\r\n".repeat(5)),
            431,
            "head_too_large",
        ),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}"), 431, "head_too_large"),
        (format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", &long[..256]), 414, "target_too_long"),
        (format!("GET /{}", &long[..300]), 414, "target_too_long"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n".into(),
            413,
            "body_too_large",
        ),
        (format!("{chunked}7d0\r\n{long}\r\n0\r\n\r\n"), 413, "body_too_large"),
        (format!("{chunked}{}", "1\r\nx\r\n".repeat(1025)), 413, "body_too_large"),
    ];
    drop(client);
    let mut refused = Vec::new();
    // Over HTTP/2 nothing can be said of a head that has not come whole.
    let cases: Vec<_> =
        cases.into_iter().filter(|(sent, ..)| !wire::HTTP2 || sent.contains("\r\n\r\n")).collect();
    for (sent, status, fault) in &cases {
        let mut client = Client::connect(usher.address()).await;
        client.send(sent).await;
        let answer = client.answer().await;
        assert_eq!(told(&answer), (*status, Some(*fault), CLOSE), "{sent:.80}");
        refused.push(client);
    }
    if wire::HTTP2 {
        // A refusal ends its own stream.
        refused.clear();
    }
    gone(&usher, refused).await;
    goes_on(&origin, &usher).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client"]), cases.len() as f64);
    assert_eq!(samples.sum("usher_upstream_seconds_count", &[]), 1.0, "only the last one went on");
}

#[tokio::test]
async fn a_listener_may_have_limits_of_its_own() {
    let origin = Origin::start().await;
    let other = format!("}}, {{ bind: 127.0.0.2:0{} }}]\n", listener_tls());
    let text = one_pool(&[origin.endpoint()], "limits: { head: 2KiB, headers: 5 }\n");
    let narrow = text.replacen(" }]\n", &format!(", limits: {{ head: 1KiB }} {other}"), 1);
    let usher = Usher::start(&narrow).await;
    let long = "x".repeat(1500);
    let ask = |fields: &str| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let [narrow, wide] = usher.addresses.listeners[..] else { panic!("there are two listeners") };
    let mut client = Client::connect(narrow).await;
    client.send(ask(&format!("X: {long}\r\n"))).await;
    assert_eq!(told(&client.answer().await).1, Some("head_too_large"));
    let mut client = Client::connect(wide).await;
    client.send(ask(&format!("X: {long}\r\n"))).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("wide")).await;
    assert_eq!(client.answer().await.text(), "wide");
    // What it does not say itself is as for all.
    for address in [narrow, wide] {
        let mut client = Client::connect(address).await;
        client.send(ask(&"X: x\r\n".repeat(5))).await;
        assert_eq!(told(&client.answer().await).1, Some("head_too_large"));
    }
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_a_408_and_reaches_nobody() {
    let (origin, usher, mut client) = limited("body_rate: 1MiB/s").await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nslow").await;
    assert_eq!(told(&client.answer().await), (408, Some("body_timeout"), CLOSE));
    gone(&usher, [client]).await;
    goes_on(&origin, &usher).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_upstream_seconds_count", &[]), 1.0, "only the last one went on");
}

#[tokio::test]
async fn a_client_that_takes_none_of_its_answer_is_reset() {
    let (origin, usher, mut client) = limited("write_wait: 100ms").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n").await;
    let piece = vec![b'x'; 1 << 20];
    while line.stream.write_all(&piece).await.is_ok() {}
    let stalled = "usher_requests_total";
    while usher.samples().sum(stalled, &["abandoned"]) == 0.0 {
        tokio::task::yield_now().await;
    }
    let mut read = vec![0; 1 << 20];
    let reset = loop {
        match tokio::io::AsyncReadExt::read(&mut client.stream, &mut read).await {
            Ok(0) => break None,
            Ok(_) => {}
            Err(error) => break Some(error.kind()),
        }
    };
    // Over HTTP/2 it is the stream that is reset.
    assert_eq!(reset, (!wire::HTTP2).then_some(std::io::ErrorKind::ConnectionReset));
    goes_on(&origin, &usher).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client_stalled"]), 1.0);
}

/// A client whose request has reached `origin`, on a connection that was not closed before it could
/// be asked on.
async fn asked_in_time(origin: &Origin, usher: &Usher) -> (Client, Line) {
    loop {
        let mut client = Client::connect(usher.address()).await;
        let _ = client.stream.write_all(GET.as_bytes()).await;
        tokio::select! {
            mut line = origin.accept() => {
                line.read().await;
                return (client, line);
            }
            _late = client.closed() => {}
        }
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_silence() {
    let (origin, usher, mut unused) = limited("keep_alive: 100ms").await;
    let (mut used, mut line) = asked_in_time(&origin, &usher).await;
    assert!(unused.closed().await.is_empty());
    let mut unused = Client::connect(usher.address()).await;
    assert!(unused.closed().await.is_empty());
    line.write(ok("after longer than that")).await;
    assert_eq!(used.answer().await.text(), "after longer than that");
    assert!(used.closed().await.is_empty());
    usher.stop().await;
}

#[tokio::test]
async fn a_connection_that_is_old_closes_after_its_answer() {
    let (origin, usher, first) = limited("age: 100ms").await;
    drop(first);
    let (mut busy, mut line) = asked_in_time(&origin, &usher).await;
    // Each lives for at least nine tenths of the age: two in a row outlast the busy one.
    for _ in 0..2 {
        let mut idle = Client::connect(usher.address()).await;
        assert!(idle.closed().await.is_empty());
    }
    line.write(ok("last")).await;
    let answer = busy.answer().await;
    assert_eq!((answer.text(), answer.field("connection")), ("last", CLOSE));
    gone(&usher, [busy]).await;
    usher.stop().await;
}
