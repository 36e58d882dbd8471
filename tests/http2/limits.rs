//! What a client over HTTP/2 may cost: every limit that HTTP/1.1 has, reached.

use tokio::io::AsyncReadExt;

use crate::raw::Raw;
use crate::started_with;
use crate::support::{
    http2::{asked, within},
    origin::ok,
    wire,
};

#[tokio::test]
async fn a_body_is_bounded_whether_it_says_its_length_or_not() {
    let (origin, usher, mut client) = started_with("limits: { body: 100KiB }", "").await;
    let mut declared = asked("POST", "/");
    declared.headers_mut().insert("content-length", "102401".parse().expect("a value"));
    let sent = client.begin(declared, false).await;
    let answer = sent.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (413, Some("body_too_large")));
    let mut sent = client.begin(asked("POST", "/"), false).await;
    sent.send(&vec![b'x'; 102_401], false).await;
    let answer = sent.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (413, Some("body_too_large")));
    origin.serve(|asked| ok(&asked.body.len().to_string()));
    let answer = client.send(asked("POST", "/"), &vec![b'x'; 102_400]).await;
    assert_eq!((answer.status, answer.text()), (200, "102400"));
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_body_shorter_or_longer_than_it_says_is_refused() {
    let (_origin, usher, mut client) = started_with("", "").await;
    for bytes in [3, 5] {
        let mut request = asked("POST", "/");
        request.headers_mut().insert("content-length", "4".parse().expect("a value"));
        let mut sent = client.begin(request, false).await;
        sent.send(&vec![b'x'; bytes], true).await;
        let error = sent.try_answer().await.expect_err("a reset");
        assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
    }
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["bad_framing", "client"]), 2.0);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let (_origin, usher, mut client) = started_with("", "").await;
    let mut sent = client.begin(asked("POST", "/"), false).await;
    sent.send(b"begun", false).await;
    let answer = sent.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (408, Some("body_timeout")));
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn a_head_or_a_preface_that_does_not_come_whole_ends_the_connection() {
    let (_origin, usher, client) = started_with("limits: { head_wait: 200ms }", "").await;
    let mut half_a_head = Raw::connect(usher.address()).await;
    half_a_head.frame(0x1, 0x1, 1, b"\x82\x86\x84").await;
    half_a_head.ended().await;
    let mut half_a_frame = Raw::connect(usher.address()).await;
    half_a_frame.bytes(&[0, 0, 8, 6]).await;
    half_a_frame.ended().await;
    let mut half_a_preface = Raw::without_preface(usher.address()).await;
    half_a_preface.bytes(b"PRI * HTTP/2.0\r\n").await;
    let mut answer = Vec::new();
    // Over TLS an end may come without a word about it.
    let _ = within(half_a_preface.stream.read_to_end(&mut answer)).await;
    // Without TLS nobody knows yet what it was to be.
    assert_eq!(answer.starts_with(b"HTTP/1.1 408 "), !wire::TLS, "{}", answer.escape_ascii());
    drop((client, half_a_head, half_a_frame, half_a_preface));
    let samples = usher.stop().await;
    let closed = samples.sum("usher_http2_connections_closed_total", &["\"head_timeout\""]);
    assert_eq!(closed, if wire::TLS { 3.0 } else { 2.0 });
}
