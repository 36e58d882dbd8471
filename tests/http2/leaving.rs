//! How connections over HTTP/2 end: idle, old, or because usher stops.

use crate::support::{
    http2::{Http2, get},
    origin::{Line, Origin, ok},
    usher::{Usher, one_pool},
};
use crate::{
    raw::{self, Raw},
    started, started_with, with_http2,
};

#[tokio::test]
async fn an_idle_connection_is_told_to_go_and_goes() {
    let (origin, usher, mut client) = started_with("limits: { keep_alive: 2s }", "").await;
    origin.serve(|_| ok(""));
    assert_eq!(client.get("/").await.status, 200);
    client.ended().await.expect("a GOAWAY without an error");
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_http2_connections_closed_total", &["\"idle\""]), 1.0);
}

/// A client with an open request is told twice: that usher is leaving, and, once it knows, which
/// request was the last. It is answered, and the connection ends with nothing unsaid.
async fn is_told_twice_and_answered(mut client: Raw, origin: &Origin, mut line: Line) {
    let first = client.until(raw::GOAWAY).await;
    assert_eq!(first.payload, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], "any request may still come");
    // A request that was on its way is taken.
    client.frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 3, raw::GET).await;
    let ping = client.until(raw::PING).await;
    client.frame(raw::PING, raw::ACK, 0, &ping.payload).await;
    let last = client.until(raw::GOAWAY).await;
    assert_eq!(last.payload, [0, 0, 0, 3, 0, 0, 0, 0]);
    let mut other = origin.accept().await;
    other.read().await;
    line.write(ok("done")).await;
    let done = client.until(raw::DATA).await;
    assert_eq!((done.stream, &*done.payload), (1, &b"done"[..]));
    other.write(ok("too")).await;
    let too = client.until(raw::DATA).await;
    assert_eq!((too.stream, &*too.payload), (3, &b"too"[..]));
    assert!(client.read().await.is_none(), "nothing is left to be said");
}

async fn asking(usher: &Usher, origin: &Origin) -> (Raw, Line) {
    let mut client = Raw::connect(usher.address()).await;
    client.frame(raw::HEADERS, raw::END_STREAM | raw::END_HEADERS, 1, raw::GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    (client, line)
}

#[tokio::test]
async fn an_old_connection_ends_after_the_requests_that_are_open() {
    let (origin, usher, idle) = started_with("limits: { age: 300ms }", "").await;
    let (client, line) = asking(&usher, &origin).await;
    is_told_twice_and_answered(client, &origin, line).await;
    drop(idle);
    let samples = usher.stop().await;
    assert!(samples.sum("usher_http2_connections_closed_total", &["\"age\""]) >= 1.0);
}

#[tokio::test]
async fn when_usher_stops_what_is_open_is_answered() {
    let (origin, usher, mut idle) = started("").await;
    let (client, line) = asking(&usher, &origin).await;
    usher.remote.stop();
    idle.ended().await.expect("a GOAWAY without an error");
    is_told_twice_and_answered(client, &origin, line).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_http2_connections_closed_total", &["\"drained\""]), 2.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"served\""]), 2.0);
}

#[tokio::test]
async fn what_is_not_answered_in_time_is_cut_and_ushers_own_doing() {
    let (origin, usher, mut client) = started("").await;
    let text = with_http2(&one_pool(&[origin.endpoint()], ""), "");
    let text = text.replace("requests: 5s", "requests: 100ms");
    let hasty = Usher::start(&text).await;
    let mut doomed = Http2::connect(hasty.address()).await;
    let sent = doomed.begin(get("/"), true).await;
    let mut line = origin.accept().await;
    line.read().await;
    let samples = hasty.stop().await;
    sent.try_answer().await.expect_err("it was cut");
    assert_eq!(samples.sum("usher_faults_total", &["draining", "usher"]), 1.0);
    origin.serve(|_| ok(""));
    assert_eq!(client.get("/").await.status, 200);
    drop((client, doomed, line));
    usher.stop().await;
}
