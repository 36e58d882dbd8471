//! Slots whose request has gone: they stay taken for as long as the monolith works on it.

use super::{DEMAND, IN_FLIGHT, ORPHANS, QUEUED, narrow, queued, reset, taken, told};
use crate::{
    GET,
    support::{
        client::Client,
        origin::{Origin, ok},
        usher::Usher,
    },
};

#[tokio::test]
async fn a_slot_whose_client_has_left_stays_taken_until_the_monolith_has_said_its_last_byte() {
    let (_origin, usher, first, mut line) = taken("    queue: { wait: 20s }\n").await;
    reset(first);
    usher.reaches(ORPHANS, 1.0).await;
    assert_eq!(usher.samples().get(IN_FLIGHT), 0.0);
    let mut second = queued(&usher, "/second", 1.0).await;
    assert_eq!(usher.samples().get(DEMAND), 2.0);
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnob").await;
    assert_eq!(usher.samples().get(QUEUED), 1.0);
    line.write("y").await;
    assert_eq!(line.read().await.target(), "/second", "with the connection");
    line.write(ok("second")).await;
    assert_eq!(second.answer().await.text(), "second");
    drop(second);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_upstream_seconds_count", &[]), 2.0, "one sample a lease");
}

#[tokio::test]
async fn an_answer_that_its_client_does_not_wait_for_is_read_to_its_end() {
    let (_origin, usher, mut first, mut line) = taken("    queue: { wait: 20s }\n").await;
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome").await;
    first.until(b"some").await.expect("it has begun");
    reset(first);
    usher.reaches(ORPHANS, 1.0).await;
    let mut second = queued(&usher, "/second", 1.0).await;
    line.write(" more").await;
    assert_eq!(line.read().await.target(), "/second");
    line.write(ok("second")).await;
    assert_eq!(second.answer().await.text(), "second");
    drop(second);
    usher.stop().await;
}

#[tokio::test]
async fn a_slot_is_free_when_the_connection_of_a_gone_request_ends() {
    let (origin, usher, first, line) = taken("    queue: { wait: 20s }\n").await;
    reset(first);
    usher.reaches(ORPHANS, 1.0).await;
    let mut second = queued(&usher, "/second", 1.0).await;
    drop(line);
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("second")).await;
    assert_eq!(second.answer().await.text(), "second");
    drop(second);
    usher.stop().await;
}

#[tokio::test]
async fn a_gone_request_holds_its_slot_no_longer_than_it_may() {
    let pool = "    queue: { wait: 20s }\n    abandoned: { hold: 100ms }\n";
    let (origin, usher, first, line) = taken(pool).await;
    reset(first);
    let mut second = Client::connect(usher.address()).await;
    second.send(GET).await;
    line.closed().await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("second")).await;
    assert_eq!(second.answer().await.text(), "second");
    assert_eq!(usher.samples().get(ORPHANS), 0.0);
    drop(second);
    usher.stop().await;
}

#[tokio::test]
async fn a_deadline_that_passes_leaves_an_orphan_too() {
    let origin = Origin::start().await;
    // Only one request is to be late.
    let late = "[{ name: late, pool: rails, match: [{ path: /late }], \
                timeouts: { first_byte: 200ms } }, { name: everyone";
    let text = narrow(&[origin.endpoint()], "    queue: { wait: 20s }\n");
    let usher = Usher::start(&text.replace("[{ name: everyone", late)).await;
    let mut first = Client::connect(usher.address()).await;
    first.send("GET /late HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    assert_eq!(told(&first.answer().await), (504, Some("first_byte_timeout")));
    usher.reaches(ORPHANS, 1.0).await;
    line.write(ok("too late")).await;
    usher.reaches(ORPHANS, 0.0).await;
    first.send(GET).await;
    line.read().await;
    line.write(ok("in time")).await;
    assert_eq!(first.answer().await.text(), "in time", "nothing of the late answer");
    drop(first);
    usher.stop().await;
}

#[tokio::test]
async fn a_long_answer_and_a_stream_of_events_end_with_their_client() {
    for head in [
        "Content-Length: 100000000",
        "Content-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked",
    ] {
        let (_origin, usher, mut first, mut line) = taken("").await;
        line.write(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n")).await;
        assert_eq!(first.head().await.expect("a head").status, 200);
        reset(first);
        line.closed().await;
        usher.reaches(IN_FLIGHT, 0.0).await;
        usher.stop().await;
    }
}
