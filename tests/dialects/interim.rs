//! Answers over HTTP/2 from endpoints that are no plain ones: 1xx, and those that end in odd ways.

use std::future::poll_fn;

use bytes::Bytes;
use http::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    House,
    http2::{asking, started},
    origin2::{Asked, request},
    support::{
        client::Client,
        http2::{Http2, get, within},
        wire,
    },
};

const PASSED: &str = r#"usher_interim_answers_total{result="passed"}"#;
const DROPPED: &str = r#"usher_interim_answers_total{result="dropped"}"#;

/// What a client with HTTP/2 asks usher, which must not be the endpoint's own connection.
async fn http2_client(house: &House) -> Http2 {
    Http2::connect(house.usher.address()).await
}

fn interim(asked: &mut Asked, status: u16) {
    let head = Response::builder().status(status).header("link", "</a.css>");
    let head = head.header("x-usher-build", "1").body(()).expect("a head");
    asked.answer.send_informational(head).expect("usher reads");
}

#[tokio::test]
async fn hints_of_an_endpoint_reach_clients_of_http1_and_http2_and_those_of_http_1_0_are_counted() {
    let (origin, house) = started("").await;
    let mut client = asking(&house, "GET", "/1", "").await;
    let mut trunk = origin.accept().await;
    let mut asked = trunk.read().await;
    interim(&mut asked, 103);
    let hints = client.head().await.expect("they come before the answer");
    assert_eq!((hints.status, hints.field("link")), (103, Some("</a.css>")));
    assert_eq!(hints.field("x-usher-build"), None);
    interim(&mut asked, 102);
    assert_eq!(client.head().await.expect("another").status, 102);
    asked.ok("one");
    assert_eq!(client.answer().await.text(), "one");

    let mut modern = http2_client(&house).await;
    let mut sent = modern.begin(get("/2"), true).await;
    let mut asked = trunk.read().await;
    interim(&mut asked, 103);
    let hints = within(poll_fn(|cx| sent.answer.poll_informational(cx))).await;
    let hints: Response<()> = hints.expect("hints").expect("good ones");
    assert_eq!((hints.status().as_u16(), hints.headers()["link"].as_bytes()), {
        (103, &b"</a.css>"[..])
    });
    asked.ok("two");
    assert_eq!(sent.answer().await.text(), "two");
    assert_eq!(house.usher.samples().get(PASSED), 3.0);

    if wire::HTTP2 {
        // Whose clients cannot say HTTP/1.0.
        drop((client, modern));
        house.usher.stop().await;
        return;
    }
    let mut old = Client::connect(house.usher.address()).await;
    old.send("GET /3 HTTP/1.0\r\nHost: shop.example\r\n\r\n").await;
    let mut asked = trunk.read().await;
    interim(&mut asked, 103);
    // Nothing came of it for the client: the endpoint asks for a body that there is none of.
    interim(&mut asked, 100);
    asked.ok("three");
    let answer = old.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "three"));
    drop((client, modern, old));
    let samples = house.usher.stop().await;
    assert_eq!((samples.get(PASSED), samples.get(DROPPED)), (3.0, 1.0));
}

#[tokio::test]
async fn interim_answers_without_end_and_a_101_are_malformed_and_harm_nobody_else() {
    let (origin, house) = started("retry: off, ejection: off").await;
    let mut client = asking(&house, "GET", "/1", "").await;
    let mut trunk = origin.accept().await;
    let mut asked = trunk.read().await;
    for _ in 0..101 {
        interim(&mut asked, 103);
    }
    let mut answer = client.answer().await;
    let mut hints = 0;
    while answer.status == 103 {
        hints += 1;
        answer = client.answer().await;
    }
    assert_eq!((hints, answer.field("x-usher-fault")), (16, Some("upstream_malformed")));
    let reset = within(poll_fn(|cx| asked.answer.poll_reset(cx))).await.expect("it is taken back");
    assert_eq!(reset, h2::Reason::CANCEL);
    let mut client = asking(&house, "GET", "/2", "").await;
    interim(&mut trunk.read().await, 101);
    assert_eq!(client.answer().await.field("x-usher-fault"), Some("upstream_malformed"));
    let mut client = asking(&house, "GET", "/3", "").await;
    trunk.read().await.ok("three");
    assert_eq!(client.answer().await.text(), "three");
    drop(client);
    let samples = house.usher.stop().await;
    assert_eq!((samples.get(PASSED), samples.get(DROPPED)), (16.0, 84.0));
}

#[tokio::test]
async fn an_answer_without_a_length_that_is_taken_back_is_cut_and_one_that_is_whole_is_not() {
    let (origin, house) = started("").await;
    let mut client = asking(&house, "GET", "/1", "").await;
    let mut trunk = origin.accept().await;
    for reason in [h2::Reason::CANCEL, h2::Reason::INTERNAL_ERROR] {
        let mut asked = trunk.read().await;
        let mut stream = asked.begin(Response::new(()));
        stream.send_data(Bytes::from_static(b"half"), false).expect("usher reads");
        assert_eq!(client.head().await.expect("a head").status, 200);
        assert_eq!(client.until(b"half").await.expect("half of it"), b"4\r\nhalf");
        stream.send_reset(reason);
        assert_eq!(client.closed().await, b"\r\n", "{reason:?}: no last chunk");
        client = asking(&house, "GET", "/1", "").await;
    }
    // The whole answer, and no more of the request is wanted (RFC 9113 §8.1).
    trunk.read().await.ok("whole");
    assert_eq!(client.answer().await.text(), "whole");
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn an_answer_that_comes_before_the_body_has_been_sent_is_the_answer() {
    let (origin, house) = started("buffer: { request: off }").await;
    let mut client = asking(&house, "POST", "/1", "Content-Length: 100000000\r\n").await;
    let mut trunk = origin.accept().await;
    let asked = trunk.read().await;
    // More than there is room for, so that it is still on its way.
    client.try_send(&vec![b'x'; 1 << 20]).await;
    let Asked { mut answer, body, .. } = asked;
    let head = Response::builder().status(413).header("content-length", 5).body(());
    let mut stream = answer.send_response(head.expect("a head"), false).expect("usher reads");
    stream.send_data(Bytes::from_static(b"large"), true).expect("usher reads");
    let told = client.answer().await;
    assert_eq!((told.status, told.text()), (413, "large"));
    drop((body, client));
    let mut next = asking(&house, "GET", "/2", "").await;
    trunk.read().await.ok("two");
    assert_eq!(next.answer().await.text(), "two");
    drop(next);
    house.usher.stop().await;
}

/// It takes the two times five seconds that an endpoint has to say anything.
#[tokio::test]
async fn an_endpoint_that_says_nothing_any_more_is_given_up() {
    let (origin, house) = started("retry: off, timeouts: { first_byte: 60s, total: 120s }").await;
    let mut client = asking(&house, "GET", "/", "").await;
    let mut socket = origin.accept_socket().await;
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    socket.write_all(&settings).await.expect("usher reads");
    let mut heard = Vec::new();
    within(socket.read_to_end(&mut heard)).await.expect("usher closes");
    let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0];
    assert!(heard.windows(ping.len()).any(|frame| frame == ping), "it was asked before");
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (502, Some("upstream_broke")));
    client.send(request("GET", "/again", "")).await;
    origin.accept().await.read().await.ok("again");
    assert_eq!(client.answer().await.text(), "again");
    drop(client);
    house.usher.stop().await;
}
