//! Streams of events, each of which holds a slot for as long as it lasts.

use crate::{GET, started, support::client::Client};

#[tokio::test]
async fn streams_of_events_take_no_more_than_their_share_of_the_slots() {
    let (origin, usher, mut first) = started("    event_streams: 20%\n").await;
    let stream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                  Transfer-Encoding: chunked\r\n\r\n";
    first.send(GET).await;
    let mut held = origin.accept().await;
    held.read().await;
    held.write(stream).await;
    assert_eq!(first.head().await.expect("a head").status, 200);
    let streams = "usher_pool_event_streams{pool=\"rails\"}";
    usher.reaches(streams, 1.0).await;
    let mut second = Client::connect(usher.address()).await;
    second.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.try_write(stream.as_bytes()).await;
    let answer = second.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (503, Some("stream_limit")));
    line.closed().await;
    first.reset();
    held.closed().await;
    usher.reaches(streams, 0.0).await;
    second.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(stream).await;
    assert_eq!(second.head().await.expect("a head").status, 200);
    drop((second, line));
    usher.stop().await;
}
