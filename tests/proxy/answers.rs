//! What the monolith says, and what of it reaches the client.

use crate::support::{client::Client, origin::ok, usher::Usher};
use crate::{GET, started, websocket};

#[tokio::test]
async fn both_sides_are_kept_alive() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    for n in 0..3 {
        line.read().await;
        line.write(ok(&format!("{n}"))).await;
        assert_eq!(client.answer().await.text(), format!("{n}"));
        client.send(GET).await;
    }
    line.read().await;
    line.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 204);
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(line.read().await.line.starts_with("HEAD"));
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n").await;
    let answer = client.answer_to_head().await;
    assert_eq!(answer.field("content-length"), Some("1000"));
    client.send(GET).await;
    line.read().await;
    line.write("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: x\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 304);
    assert_eq!(line_count(&usher), 1.0, "one connection carried them all");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_connection_is_kept_behind_every_answer_that_says_where_it_ends() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 204);
    let chunked =
        |body: &str| format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let answers = [
        chunked("2\r\nok\r\n0\r\n\r\n"),
        chunked("2\r\nok\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"),
        chunked("0\r\n\r\n"),
        chunked("0\r\nX-Sum: 1\r\n\r\n"),
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    ];
    let upload = "POST / HTTP/1.1\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n\
                  2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    for answer in &answers {
        for request in [GET, upload] {
            client.send(request).await;
            line.read().await;
            line.write(answer).await;
            let answer = client.answer().await;
            assert!(answer.whole && answer.status == 200, "{answer:?}");
        }
    }
    drop((client, line));
    usher.stop().await;
}

/// Client connections now.
fn line_count(usher: &Usher) -> f64 {
    usher.samples().sum("usher_connections", &[])
}

#[tokio::test]
async fn an_event_arrives_before_the_next_one_is_written() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    assert_eq!(client.head().await.expect("a head comes before any event").status, 200);
    for n in 0..5 {
        line.write(format!("9\r\ndata: {n}\n\n\r\n")).await;
        let event = client.until(b"\n\n").await.expect("an event");
        assert!(String::from_utf8_lossy(&event).contains(&format!("data: {n}")));
    }
    line.write("0\r\n\r\n").await;
    client.until(b"0\r\n\r\n").await.expect("an end");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_connection_that_dies_within_an_answer_is_never_a_clean_end() {
    let (origin, usher, mut client) = started("").await;
    for head in ["Content-Length: 100", "Transfer-Encoding: chunked"] {
        client.send(GET).await;
        let mut line = origin.accept().await;
        line.read().await;
        line.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nsome\r\n")).await;
        drop(line);
        let answer = client.answer().await;
        assert!(!answer.whole, "{head}: {answer:?}");
        client.closed().await;
        client = Client::connect(usher.address()).await;
    }
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["upstream_broke"]), 2.0);
    assert_eq!(samples.sum("usher_requests_total", &["outcome=\"failed\"", "\"200\""]), 2.0);
}

#[tokio::test]
async fn an_answer_has_a_hundred_fields_at_most() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    let answer = |fields: usize| {
        let other = "X-Other: 1\r\n".repeat(fields - 1);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{other}\r\n")
    };
    line.write(answer(100)).await;
    let passed = client.answer().await;
    let others = passed.fields.iter().filter(|(name, _)| name == "x-other").count();
    assert_eq!((passed.status, others), (200, 99));
    client.send(GET).await;
    line.read().await;
    line.write(answer(101)).await;
    let refused = client.answer().await;
    assert_eq!(refused.field("x-usher-fault"), Some("upstream_malformed"));
    line.closed().await;
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn trailers_of_an_answer_are_a_hundred_fields_at_most() {
    for (fields, status) in [(100, 200), (101, 502)] {
        let (origin, usher, mut client) = started("").await;
        client.send(GET).await;
        let mut line = origin.accept().await;
        line.read().await;
        let trailers = "X-Sum: 1\r\n".repeat(fields);
        line.write(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n{trailers}\r\n"
        ))
        .await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.whole), (status, true), "{fields} fields");
        drop((client, line));
        let samples = usher.stop().await;
        let faults = samples.sum("usher_faults_total", &["upstream_malformed"]);
        assert_eq!(faults, if status == 200 { 0.0 } else { 1.0 });
    }
}

#[tokio::test]
async fn answers_that_are_not_http_are_a_502() {
    let (origin, usher, mut client) = started("").await;
    let cases = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "malformed"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", "malformed"),
        ("SSH-2.0-OpenSSH_9.2\r\n", "malformed"),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "upstream_upgrade"),
        ("HTTP/1.1 200 OK\r\nX-Accel-Redirect: /f\r\nContent-Length: 0\r\n\r\n", "sendfile_answer"),
        ("HTTP/1.1 200 OK\r\nX-Sendfile: /f\r\nContent-Length: 0\r\n\r\n", "sendfile_answer"),
    ];
    for (said, fault) in cases {
        client.send(GET).await;
        let mut line = origin.accept().await;
        line.read().await;
        line.write(said).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 502, "{said:?}");
        assert!(answer.field("x-usher-fault").unwrap().contains(fault), "{said:?}: {answer:?}");
        line.closed().await;
    }
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_monolith_that_is_late_is_a_504() {
    let timeouts = "    abandoned: { hold: 0s }\n    timeouts: { first_byte: 50ms, total: 10s }\n";
    let (origin, usher, mut client) = started(timeouts).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (504, Some("first_byte_timeout")));
    line.closed().await;
    drop(client);
    usher.stop().await;
    let timeouts = "    timeouts: { first_byte: 10s, total: 50ms }\n";
    let (origin, usher, mut client) = started(timeouts).await;
    client.send(GET).await;
    let line = origin.accept().await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (504, Some("total_timeout")));
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_monolith_that_pauses_too_long_within_its_answer_is_cut() {
    let pool = "    abandoned: { hold: 0s }\n    timeouts: { between_bytes: 50ms }\n";
    let (origin, usher, mut client) = started(pool).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome").await;
    assert!(!client.answer().await.whole);
    line.closed().await;
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["between_bytes_timeout"]), 1.0);
}

#[tokio::test]
async fn early_hints_are_passed_on() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n").await;
    line.write("X-Usher-Build: 1\r\nProxy-Connection: close\r\n\r\n").await;
    let hints = client.head().await.expect("the hints come before the answer");
    assert_eq!((hints.field("x-usher-build"), hints.field("proxy-connection")), (None, None));
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>; rel=preload")));
    line.write(ok("page")).await;
    assert_eq!(client.answer().await.text(), "page");
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_interim_answers_total", &["passed"]), 1.0);
    assert_eq!(samples.sum("usher_interim_answers_total", &["dropped"]), 0.0);
}

#[tokio::test]
async fn a_websocket_becomes_a_tunnel_that_holds_no_lease() {
    let (origin, usher, mut client) = started("").await;
    let handshake = "GET /cable HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
                     Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    client.send(handshake).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.field("upgrade"), Some("websocket"));
    assert_eq!(asked.field("connection"), Some("Upgrade"));
    line.write(websocket::agreement_to(&asked) + "hello").await;
    let switched = client.head().await.expect("a 101");
    assert_eq!((switched.status, switched.field("upgrade")), (101, Some("websocket")));
    assert_eq!(client.until(b"hello").await.expect("a first word"), b"hello");
    client.send("ping").await;
    assert_eq!(line.read_exactly(4).await.expect("a word back"), b"ping");
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 1.0).await;
    usher.reaches("usher_pool_in_flight{pool=\"rails\"}", 0.0).await;
    assert_eq!(usher.samples().sum("usher_requests_total", &["\"101\"", "served"]), 1.0);
    drop(client);
    line.closed().await;
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 0.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["client"]), 1.0);
}

#[tokio::test]
async fn a_part_of_a_file_and_a_query_that_nobody_can_parse_pass_untouched() {
    let (origin, usher, mut client) = started("").await;
    let target = "/f?a=%zz&&=;x[]={}|^`&b==1?";
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\nRange: bytes=2-3\r\n\r\n")).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!((asked.target(), asked.field("range")), (target, Some("bytes=2-3")));
    line.write(
        "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 2-3/10\r\nContent-Encoding: gzip\r\n\
         Content-Length: 2\r\n\r\ncd",
    )
    .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (206, "cd"));
    assert_eq!(answer.field("content-range"), Some("bytes 2-3/10"));
    assert_eq!(answer.field("content-encoding"), Some("gzip"));
    drop((client, line));
    usher.stop().await;
}
