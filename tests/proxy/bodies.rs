//! Bodies of requests: gathered, or passed on as they come.

use crate::started;
use crate::support::{
    client::{CLOSE, Client},
    origin::{Origin, ok},
    usher::{Usher, one_pool},
    wire,
};

#[tokio::test]
async fn a_body_is_gathered_before_the_monolith_sees_the_request() {
    let (origin, usher, mut client) = started("").await;
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("5\r\nhello\r\n").await;
    let large = "x".repeat(300_000);
    client.send(format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len())).await;
    let mut line = origin.accept().await;
    let asked = line.read().await;
    assert_eq!(asked.field("content-length"), Some("300005"));
    assert_eq!(asked.field("transfer-encoding"), None);
    assert_eq!(asked.body.len(), 300_005);
    line.write(ok("got it")).await;
    assert_eq!(client.answer().await.text(), "got it");
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n").await;
    let asked = line.read().await;
    assert_eq!((&*asked.body, &*asked.trailers), (&b"hi"[..], "x-sum: 7\r\n"));
    line.write(ok("")).await;
    client.answer().await;
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_streamed_body_reaches_the_monolith_as_it_comes() {
    let (origin, usher, mut client) = started("    buffer: { request: off }\n").await;
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").await;
    let mut line = origin.accept().await;
    line.read_until(b"\r\n\r\n").await.expect("a head");
    assert_eq!(line.read_exactly(5).await.expect("the first half"), b"first");
    client.send("other").await;
    assert_eq!(line.read_exactly(5).await.expect("the other half"), b"other");
    line.write(ok("both")).await;
    assert_eq!(client.answer().await.text(), "both");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_client_that_leaves_within_a_streamed_body_is_no_fault_of_the_monolith() {
    let (origin, usher, mut client) = started("    buffer: { request: off }\n").await;
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").await;
    let mut line = origin.accept().await;
    line.read_until(b"\r\n\r\n").await.expect("a head");
    line.read_exactly(5).await.expect("the first half");
    drop(client);
    line.closed().await;
    let abandoned = "usher_requests_total{audience=\"everyone\",pool=\"rails\",arm=\"stable\",\
                     status=\"none\",outcome=\"abandoned\"}";
    usher.reaches(abandoned, 1.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client_left"]), 1.0);
    assert_eq!(samples.sum("usher_faults_total", &["upstream"]), 0.0);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_breaks_its_coding_never_reaches_the_monolith() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "") + "limits: { body: 1KiB }\n";
    let usher = Usher::start(&text).await;
    let more = "x".repeat(if wire::HTTP2 { 0x401 } else { 0 });
    let cases = [
        ("Content-Length: 1025\r\n\r\n", "", 413, "body_too_large"),
        ("Transfer-Encoding: chunked\r\n\r\n401\r\n", &*more, 413, "body_too_large"),
        ("Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "", 400, "bad_chunk"),
    ];
    // A bad chunk is none of HTTP/2.
    let cases = &cases[..if wire::HTTP2 { 2 } else { 3 }];
    for &(rest, body, status, fault) in cases {
        let mut client = Client::connect(usher.address()).await;
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}{body}")).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.field("x-usher-fault")), (status, Some(fault)));
    }
    let mut client = Client::connect(usher.address()).await;
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), "/next", "the first that the origin hears of");
    line.write(ok("")).await;
    client.answer().await;
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_chunked_get_keeps_its_body_and_its_trailers() {
    for pool in ["", "    buffer: { request: off }\n"] {
        let (origin, usher, mut client) = started(pool).await;
        let mut line = None;
        for (trailer, expected) in [("", ""), ("X-Sum: 7\r\n", "x-sum: 7\r\n")] {
            client.send("GET / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\n").await;
            client.send("Transfer-Encoding: chunked\r\n\r\n").await;
            client.send(format!("5\r\nhello\r\n0\r\n{trailer}\r\n")).await;
            if line.is_none() {
                line = Some(origin.accept().await);
            }
            let line = line.as_mut().expect("it was accepted");
            let asked = line.read().await;
            assert_eq!((&*asked.body, &*asked.trailers), (&b"hello"[..], expected), "{pool}");
            line.write(ok("")).await;
            client.answer().await;
        }
        drop((client, line));
        usher.stop().await;
    }
}

#[tokio::test]
async fn an_endpoint_that_takes_no_more_of_a_streamed_body_is_late() {
    let pool = "    buffer: { request: off }\n    timeouts: { first_byte: 200ms }\n";
    let (origin, usher, mut client) = started(pool).await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read_until(b"\r\n\r\n").await.expect("a head");
    client.flood(&[b'x'; 1 << 14]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (504, Some("first_byte_timeout")));
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["outcome=\"failed\""]), 1.0);
}

#[tokio::test]
async fn an_answer_that_comes_before_the_upload_has_ended_reaches_the_client() {
    let (origin, usher, mut client) = started("    buffer: { request: off }\n").await;
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nfirst").await;
    let mut line = origin.accept().await;
    line.read_until(b"\r\n\r\n").await.expect("a head");
    line.write("HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, "no"));
    assert_eq!(answer.field("connection"), CLOSE, "its rest must not be read as a request");
    client.closed().await;
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["\"413\"", "served"]), 1.0);
}
