//! Bodies of requests: gathered, or passed on as they come.

use crate::started;
use crate::support::origin::ok;

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
