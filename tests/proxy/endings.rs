//! Ends that nobody wished for: connections that die, clients that leave, usher stopping.

use crate::support::{client::Client, origin::ok};
use crate::{GET, started};

#[tokio::test]
async fn a_get_is_replayed_when_its_reused_connection_had_died_and_a_post_is_not() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("1")).await;
    client.answer().await;
    // usher cannot know that the origin goes away just when it has read the next request.
    client.send(GET).await;
    line.read().await;
    drop(line);
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("2")).await;
    assert_eq!(client.answer().await.text(), "2");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    line.read().await;
    drop(line);
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (502, Some("upstream_broke")));
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("3")).await;
    client.answer().await;
    let keyed = "POST / HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 2\r\n\r\nhi";
    client.send(keyed).await;
    line.read().await;
    line.reset();
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.body, b"hi", "a gathered body is sent again");
    line.write(ok("4")).await;
    assert_eq!(client.answer().await.text(), "4");
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_retries_total", &["replayed"]), 2.0);
}

#[tokio::test]
async fn a_client_that_leaves_is_abandoned_and_its_request_cancelled() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    client.stream.set_zero_linger().expect("resets");
    drop(client);
    line.closed().await;
    let abandoned = "usher_requests_total{audience=\"everyone\",pool=\"rails\",arm=\"stable\",\
                     status=\"none\",outcome=\"abandoned\"}";
    usher.reaches(abandoned, 1.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client_left"]), 1.0);
}

#[tokio::test]
async fn a_half_closed_client_still_gets_its_answer() {
    let (origin, usher, mut client) = started("").await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    tokio::io::AsyncWriteExt::shutdown(&mut client.stream).await.expect("half-closes");
    line.write(ok("still here")).await;
    assert_eq!(client.answer().await.text(), "still here");
    assert!(client.closed().await.is_empty());
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_is_in_flight_and_accepts_no_more() {
    let (origin, usher, mut client) = started("").await;
    let mut idle = Client::connect(usher.address()).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    usher.remote.stop();
    assert!(idle.closed().await.is_empty(), "an idle connection is closed");
    line.write(ok("in time")).await;
    let answer = client.answer().await;
    assert_eq!((answer.text(), answer.field("connection")), ("in time", Some("close")));
    assert!(client.closed().await.is_empty());
    drop((client, idle));
    usher.stop().await;
}
