//! Answers as attackers, broken middleware and other protocols write them.

use tokio::io::AsyncWriteExt;

use crate::support::{
    client::{Answer, Client},
    origin::{Line, Origin, ok},
    usher::{Samples, Usher},
    wire,
};
use crate::{GET, started};

const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// usher, the origin behind it and a client in front, for one answer after the other.
struct Stage {
    origin: Origin,
    usher: Usher,
    client: Client,
}

// === impl Stage ===

impl Stage {
    async fn set() -> Self {
        let (origin, usher, client) = started("").await;
        Self { origin, usher, client }
    }

    /// Sends `request` on a new connection to the origin, and has `said` answered.
    async fn ask(&mut self, request: &str, said: &[u8]) -> Line {
        self.client.send(request).await;
        let mut line = self.origin.accept().await;
        line.read().await;
        line.try_write(said).await;
        line
    }

    /// The answer `said` is a 502, its connection closes, and a fresh request is served.
    async fn refuses(&mut self, said: &[u8], fault: &str) {
        let shown = String::from_utf8_lossy(&said[..said.len().min(120)]).into_owned();
        let mut line = self.ask(GET, said).await;
        // What never becomes an answer must not leave usher waiting for more.
        let _ = line.stream.shutdown().await;
        let answer = self.client.answer().await;
        let told = (answer.status, answer.field("x-usher-fault"));
        assert_eq!(told, (502, Some(fault)), "{shown:?}");
        line.closed().await;
    }

    /// The next request is answered from a new connection, and with nothing of an old one.
    async fn goes_on(&mut self, why: &str) {
        let line = self.ask(GET, &ok("fresh")).await;
        assert_eq!(self.client.answer().await.text(), "fresh", "{why}");
        drop(line);
    }

    async fn strike(self) -> Samples {
        drop(self.client);
        self.usher.stop().await
    }
}

/// `HTTP/1.1 200 OK` with these lines, and a body.
fn with(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n{body}")
}

#[tokio::test]
async fn an_answer_whose_end_is_ambiguous_is_a_502() {
    let mut stage = Stage::set().await;
    let framings = [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;ext=1",
        "Transfer-Encoding:",
        "Content-Length: 2\r\nContent-Length: 2",
        "Content-Length: 2\r\nContent-Length: 3",
        "Content-Length: 2, 2",
        "Content-Length: 2, 3",
        "Content-Length: +2",
        "Content-Length: -2",
        "Content-Length: 0x2",
        "Content-Length: 2 2",
        "Content-Length: 2;",
        "Content-Length: 02",
        "Content-Length: two",
        "Content-Length:",
        "Content-Length: 18446744073709551616",
        "Content-Length: 99999999999999999999999",
    ];
    for framing in framings {
        stage.refuses(with(framing, "ok").as_bytes(), "upstream_malformed").await;
        let chunked = with(framing, "2\r\nok\r\n0\r\n\r\n");
        stage.refuses(chunked.as_bytes(), "upstream_malformed").await;
    }
    let old = "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    stage.refuses(old.as_bytes(), "upstream_malformed").await;
    stage.goes_on("after all").await;
    stage.strike().await;
}

#[tokio::test]
async fn an_answer_whose_head_is_malformed_is_a_502() {
    let mut stage = Stage::set().await;
    let heads: [&[u8]; 41] = [
        b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok",
        b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        b"HTTP/1.1 200\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\rContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX:\r\n\tb\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n X: a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX[]: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX\xc3\xa9: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX\0: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: a\x7fb\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 O\x1bK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1\t200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/11.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"<html>HTTP/0.9</html>",
        b"\x15\x03\x01\x00\x02\x02\x46",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x80",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\xff\xfe\xfd",
    ];
    for head in heads {
        stage.refuses(head, "upstream_malformed").await;
    }
    stage.goes_on("after all").await;
    stage.strike().await;
}

#[tokio::test]
async fn an_answer_without_bounds_is_a_502() {
    let mut stage = Stage::set().await;
    let long = with(&format!("X: {}", "x".repeat(64 * 1024)), "");
    stage.refuses(long.as_bytes(), "upstream_malformed").await;
    let many = with(&vec!["X: x"; 300].join("\r\n"), "");
    stage.refuses(many.as_bytes(), "upstream_malformed").await;
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let flood = hints.repeat(10_000);
    // A client that takes no hints.
    let plain = if wire::HTTP2 { HEAD.to_owned() } else { HEAD.replace("1.1", "1.0") };
    stage.client.send(plain).await;
    let mut line = stage.origin.accept().await;
    line.read().await;
    line.try_write(flood.as_bytes()).await;
    let refused = loop {
        let answer = stage.client.answer_to_head().await;
        if !wire::HTTP2 || answer.status != 103 {
            break answer;
        }
    };
    assert_eq!(refused.status, 502);
    line.closed().await;
    stage.client = Client::connect(stage.usher.address()).await;
    stage.client.send(GET).await;
    let mut line = stage.origin.accept().await;
    line.read().await;
    line.try_write(flood.as_bytes()).await;
    let mut answers: Vec<Answer> = vec![stage.client.answer().await];
    while answers.last().is_some_and(|answer| answer.status == 103) {
        answers.push(stage.client.answer().await);
    }
    assert!(answers.len() <= 17, "{}", answers.len());
    assert_eq!(answers.last().map(|answer| answer.status), Some(502));
    line.closed().await;
    stage.goes_on("after all").await;
    stage.strike().await;
}

#[tokio::test]
async fn nothing_behind_the_end_of_an_answer_reaches_anybody() {
    let mut stage = Stage::set().await;
    let second = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let cases = [
        (GET, with("Content-Length: 2", "ok")),
        (GET, with("Transfer-Encoding: chunked", "2\r\nok\r\n0\r\n\r\n")),
        (GET, with("Content-Length: 0", "")),
        (GET, "HTTP/1.1 204 No Content\r\n\r\n".to_owned()),
        (GET, "HTTP/1.1 204 No Content\r\nContent-Length: 50\r\n\r\n".to_owned()),
        (GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 50\r\n\r\n".to_owned()),
        (HEAD, with("Content-Length: 50", "")),
        (HEAD, with("Transfer-Encoding: chunked", "")),
        (
            GET,
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        ),
    ];
    for (request, answer) in &cases {
        for behind in [second, hints, "\r\n", "0", "poison"] {
            let line = stage.ask(request, format!("{answer}{behind}").as_bytes()).await;
            let to_head = *request == HEAD;
            let client = &mut stage.client;
            let answer =
                if to_head { client.answer_to_head().await } else { client.answer().await };
            assert!(answer.status < 305 && answer.whole, "{behind:?} behind {answer:?}");
            assert!(answer.body.is_empty() || answer.text() == "ok", "{answer:?}");
            line.closed().await;
            stage.goes_on(behind).await;
        }
    }
    for (request, answer) in &cases {
        // The same, but what is behind comes once the answer has been delivered.
        let mut line = stage.ask(request, answer.as_bytes()).await;
        let to_head = *request == HEAD;
        let client = &mut stage.client;
        let got = if to_head { client.answer_to_head().await } else { client.answer().await };
        assert!(got.whole, "{answer:?}");
        line.try_write(second.as_bytes()).await;
        line.closed().await;
        stage.goes_on(answer).await;
    }
    let samples = stage.strike().await;
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_never_ends_cleanly() {
    let mut stage = Stage::set().await;
    let chunked = |body: &str| with("Transfer-Encoding: chunked", body);
    let cases = [
        with("Content-Length: 3", "ok"),
        chunked("2\r\nok\r\n"),
        chunked("2\r\nok\r\n0"),
        chunked("2\r\nok\r\n0\r\n"),
        chunked("2\r\nok\r\n0\r\nX: y\r\n"),
        chunked("3\r\nok"),
    ];
    let mut counted = 0.0;
    for said in &cases {
        let mut line = stage.ask(GET, said.as_bytes()).await;
        let _ = line.stream.shutdown().await;
        let answer = stage.client.answer().await;
        assert_eq!((answer.status, answer.whole), (200, false), "{said:?}: {answer:?}");
        stage.client.closed().await;
        line.closed().await;
        counted += 1.0;
        let failed = stage.usher.samples().sum("usher_requests_total", &["failed"]);
        assert_eq!(failed, counted, "{said:?}");
        stage.client = Client::connect(stage.usher.address()).await;
    }
    for said in [with("X: y", "some"), with("Content-Length: 9", "some")] {
        stage.client.send(GET).await;
        let mut line = stage.origin.accept().await;
        line.read().await;
        line.write(&said).await;
        stage.client.until(b"some").await.expect("what came before the reset");
        line.reset();
        let rest = stage.client.closed().await;
        assert!(!rest.ends_with(b"0\r\n\r\n"), "{said:?}");
        stage.client = Client::connect(stage.usher.address()).await;
    }
    let samples = stage.strike().await;
    let broke = (cases.len() + 2) as f64;
    assert_eq!(samples.sum("usher_faults_total", &["upstream_broke"]), broke);
}

#[tokio::test]
async fn chunks_that_are_none_or_that_only_some_readers_take_are_refused() {
    let mut stage = Stage::set().await;
    let bodies = [
        "2 \r\nok\r\n0\r\n\r\n",
        "2\t\r\nok\r\n0\r\n\r\n",
        " 2\r\nok\r\n0\r\n\r\n",
        "2;a\nb\r\nok\r\n0\r\n\r\n",
        "2 ;a\r\nok\r\n0\r\n\r\n",
        "2\r\nok\r\n0 \r\n\r\n",
        "2;a\0b\r\nok\r\n0\r\n\r\n",
        "2;a=\"b\r\nok\r\n0\r\n\r\n",
        "2\r\nok\r\n0\r\nX: y\n\r\n",
        "2\r\nok\r\n0\r\nX: y\nZ: a\r\n\r\n",
        "2\r\nok\r\n0\r\nX: y\r\n\n",
        "2\r\nok\r\n0\r\n\n",
        "2\r\nok!\r\n0\r\n\r\n",
        "2\r\nok\n0\r\n\r\n",
        "2\r\nok\r\n+1\r\na\r\n0\r\n\r\n",
        "2\r\nok\r\n0x1\r\na\r\n0\r\n\r\n",
        "2\r\nok\r\n1;a\rb\r\na\r\n0\r\n\r\n",
        "2\r\nok\r\n11111111111111111\r\na",
        "2\r\nok\r\n\r\n",
        "2\r\nok\r\n0\r\nX\r\n\r\n",
    ];
    for body in bodies {
        // With its head, none of it is an answer yet; behind one that has gone out, it is cut.
        let whole = with("Transfer-Encoding: chunked", body);
        stage.refuses(whole.as_bytes(), "upstream_malformed").await;
        let mut line = stage.ask(GET, with("Transfer-Encoding: chunked", "").as_bytes()).await;
        assert_eq!(stage.client.head().await.expect("a head").status, 200);
        line.write(body).await;
        let came = stage.client.closed().await;
        assert!(!came.ends_with(b"\r\n\r\n"), "{body:?}: {came:?}");
        line.closed().await;
        stage.client = Client::connect(stage.usher.address()).await;
    }
    stage.goes_on("after all").await;
    let samples = stage.strike().await;
    let told = samples.sum("usher_faults_total", &["upstream_malformed"]);
    assert_eq!(told, 2.0 * bodies.len() as f64);
}

#[tokio::test]
async fn odd_and_legitimate_answers_pass_whole() {
    let mut stage = Stage::set().await;
    let cases = [
        ("HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 299 Only ours\r\nContent-Length: 2\r\n\r\nok", 299),
        ("HTTP/1.1 500 M\u{e4}\r\nContent-Length: 2\r\n\r\nok", 500),
        ("HTTP/1.1 200 OK\r\ncontent-length:2  \r\nX-Empty:\r\nX_Y: \u{e4}\tb\r\n\r\nok", 200),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n02;a=\"b\"\r\nok\r\n0\r\n\r\n", 200),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding:chunked\r\n\r\n2\r\nok\r\n\
             0\r\nX: y\r\nZ:\r\n\r\n",
            200,
        ),
        ("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.0 200 OK\r\n\r\nok", 200),
        ("HTTP/1.1 200 OK\r\n\r\nok", 200),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok", 200),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200),
        ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200),
    ];
    for (said, status) in cases {
        let mut line = stage.ask(GET, said.as_bytes()).await;
        let _ = line.stream.shutdown().await;
        let answer = stage.client.answer().await;
        assert_eq!((answer.status, answer.text(), answer.whole), (status, "ok", true), "{said:?}");
        let framed = answer.field("content-length") == Some("2");
        assert_ne!(framed, answer.field("transfer-encoding") == Some("chunked"), "{said:?}");
        line.closed().await;
    }
    let samples = stage.strike().await;
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
}

#[tokio::test]
async fn hints_lose_what_was_meant_for_usher_and_trailers_what_must_not_follow() {
    let mut stage = Stage::set().await;
    let said = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Usher-Route: a#b\r\n\
                Connection: X-Hop\r\nX-Hop: 1\r\n\r\n\
                HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                0\r\nX-Sum: 1\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\n\r\n";
    let line = stage.ask(GET, said.as_bytes()).await;
    let hints = stage.client.head().await.expect("hints");
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>")));
    assert_eq!((hints.field("x-usher-route"), hints.field("x-hop")), (None, None), "{hints:?}");
    assert_eq!(stage.client.head().await.expect("a head").status, 200);
    let end = stage.client.until(b"\r\n\r\n").await.expect("trailers");
    assert_eq!(String::from_utf8_lossy(&end), "0\r\nx-sum: 1\r\n\r\n");
    drop(line);
    stage.strike().await;
}
