//! Clients that take their answers slowly: what they cost the monolith, and what they cost usher.

use crate::GET;
use crate::support::{
    client::Client,
    origin::{Line, Origin, ok},
    usher::{Usher, one_pool},
};

/// More than the system's own buffers hold between two sockets.
const LARGE: usize = 24 << 20;

/// The head of an answer of `length` bytes.
fn head(length: usize, more: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{more}\r\n")
}

/// A pool of one slot, whose answers are read ahead as `buffer` says.
async fn one_slot(buffer: &str, limits: &str) -> (Origin, Usher, Client) {
    narrow(&format!("    buffer: {{ {buffer} }}\nlimits: {{ {limits} }}\n")).await
}

async fn narrow(pool: &str) -> (Origin, Usher, Client) {
    let origin = Origin::start().await;
    // One worker, so that a slot which is free has its connection where it is wanted next.
    let text = one_pool(&[origin.endpoint()], pool)
        .replace("capacity: 5", "capacity: 1")
        .replace("workers: 2", "workers: 1");
    let usher = Usher::start(&text).await;
    let client = Client::connect(usher.address()).await;
    (origin, usher, client)
}

/// The request of `client` has reached the monolith.
async fn asked(origin: &Origin, client: &mut Client) -> Line {
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line
}

/// Says `length` bytes on `line`, and the line once usher has taken them all.
async fn say(mut line: Line, head: String, length: usize) -> Line {
    line.write(head).await;
    let piece = vec![b'x'; 1 << 16];
    for _ in 0..length / piece.len() {
        line.write(&piece).await;
    }
    line
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_no_slot() {
    let (origin, usher, mut slow) = one_slot("ahead: 32MiB", "buffers: 64MiB").await;
    let line = asked(&origin, &mut slow).await;
    let mut line = say(line, head(LARGE, ""), LARGE).await;
    // The only slot is free and its connection is used again, though nobody has read a byte.
    let mut other = Client::connect(usher.address()).await;
    other.send(GET).await;
    line.read().await;
    line.write(ok("other")).await;
    assert_eq!(other.answer().await.text(), "other");
    assert!(usher.samples().sum("usher_buffer_bytes", &["memory"]) > 1e6);
    let answer = slow.answer().await;
    assert_eq!((answer.body.len(), answer.body.iter().all(|&byte| byte == b'x')), (LARGE, true));
    drop((slow, other, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_buffer_bytes", &[]), 0.0);
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 2.0);
}

#[tokio::test]
async fn what_is_over_the_bound_of_one_answer_or_of_all_waits_for_the_client() {
    for (buffer, limits, short) in [
        ("ahead: 1MiB", "buffers: 64MiB", 0.0),
        ("ahead: 64MiB", "buffers: 1MiB", 1.0),
        ("answer: off", "buffers: 64MiB", 0.0),
    ] {
        let (origin, usher, mut slow) = one_slot(buffer, limits).await;
        let line = asked(&origin, &mut slow).await;
        let saying = tokio::spawn(say(line, head(LARGE, ""), LARGE));
        let bound = if buffer == "answer: off" { 0.0 } else { (1 << 20) as f64 };
        // Until usher has taken what it may, and then for as long as other things take.
        while usher.samples().sum("usher_buffer_bytes", &["memory"]) < bound {
            tokio::task::yield_now().await;
        }
        let mut other = Client::connect(usher.address()).await;
        other.send(GET).await;
        let refused = other.answer().await;
        let samples = usher.samples();
        assert_eq!(refused.field("x-usher-fault"), Some("queue_timeout"), "{buffer}, {limits}");
        assert!(!saying.is_finished());
        // One read more than the bound.
        assert!(samples.sum("usher_buffer_bytes", &["memory"]) <= bound + 262_144.0);
        assert_eq!(samples.sum("usher_buffer_shortages_total", &["answer"]), short);
        assert_eq!(samples.sum("usher_pool_in_flight", &[]), 1.0);
        assert_eq!(slow.answer().await.body.len(), LARGE);
        drop((slow, other, saying.await.expect("all is said")));
        let samples = usher.stop().await;
        assert_eq!(samples.sum("usher_buffer_bytes", &[]), 0.0);
    }
}

#[tokio::test]
async fn an_application_that_wants_no_buffering_feels_its_client() {
    for field in ["X-Accel-Buffering: no\r\n", "Content-Type: text/event-stream\r\n"] {
        let (origin, usher, mut slow) = one_slot("ahead: 64MiB", "buffers: 64MiB").await;
        let line = asked(&origin, &mut slow).await;
        let saying = tokio::spawn(say(line, head(LARGE, field), LARGE));
        let mut other = Client::connect(usher.address()).await;
        other.send(GET).await;
        let refused = other.answer().await;
        assert_eq!(refused.field("x-usher-fault"), Some("queue_timeout"), "{field}");
        assert_eq!(usher.samples().sum("usher_buffer_bytes", &[]), 0.0);
        assert!(!saying.is_finished());
        assert_eq!(slow.answer().await.body.len(), LARGE);
        drop((slow, other, saying.await.expect("all is said")));
        usher.stop().await;
    }
}

#[tokio::test]
async fn nothing_is_held_back_from_a_client_that_takes_it() {
    let (origin, usher, mut client) = one_slot("ahead: 1MiB", "").await;
    let mut line = asked(&origin, &mut client).await;
    line.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.head().await.expect("the head goes on alone");
    for piece in ["a", "bc", "def"] {
        line.write(format!("{:x}\r\n{piece}\r\n", piece.len())).await;
        let chunk = client.until(b"\r\n").await.and(client.until(b"\r\n").await);
        assert_eq!(chunk.expect("a chunk"), format!("{piece}\r\n").into_bytes());
    }
    line.write("0\r\n\r\n").await;
    client.until(b"0\r\n\r\n").await.expect("the end");
    drop((client, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_buffer_shortages_total", &[]), 0.0);
}

#[tokio::test]
async fn a_slow_client_never_makes_the_monolith_late_and_gets_all_with_its_trailers() {
    let pool = "    buffer: { ahead: 2MiB }\n    timeouts: { between_bytes: 4s }\n    \
                queue: { wait: 5s }\n";
    let (origin, usher, mut slow) = narrow(pool).await;
    let mut line = asked(&origin, &mut slow).await;
    let saying = tokio::spawn(async move {
        line.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        let piece = format!("10000\r\n{}\r\n", "y".repeat(1 << 16));
        for _ in 0..LARGE >> 16 {
            line.write(&piece).await;
        }
        line.write("0\r\nX-Sum: 7\r\n\r\n").await;
        line
    });
    // For longer than the monolith may be silent, it is the client that pauses.
    let mut other = Client::connect(usher.address()).await;
    other.send(GET).await;
    assert_eq!(other.answer().await.field("x-usher-fault"), Some("queue_timeout"));
    let answer = slow.answer().await;
    assert_eq!((answer.status, answer.body.len()), (200, LARGE));
    drop((slow, other, saying.await.expect("all is said")));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["between_bytes_timeout"]), 0.0);
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 1.0);
}

#[tokio::test]
async fn an_answer_that_breaks_off_ahead_of_its_client_frees_its_slot_at_once() {
    let (origin, usher, mut slow) = one_slot("ahead: 64MiB", "buffers: 64MiB").await;
    let line = asked(&origin, &mut slow).await;
    let line = say(line, head(2 * LARGE, ""), LARGE).await;
    drop(line);
    let mut other = Client::connect(usher.address()).await;
    other.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("other")).await;
    assert_eq!(other.answer().await.text(), "other");
    assert_eq!(usher.samples().sum("usher_faults_total", &["upstream_broke"]), 0.0, "not yet told");
    let got = slow.closed().await;
    assert!(got.len() > LARGE && got.len() < 2 * LARGE, "all that had come, and the cut");
    drop((slow, other, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["upstream_broke"]), 1.0);
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 1.0);
    assert_eq!(samples.sum("usher_buffer_bytes", &[]), 0.0);
}

#[tokio::test]
async fn an_answer_that_falls_silent_ahead_of_its_client_is_cut_and_its_slot_orphaned() {
    let pool = "    buffer: { ahead: 64MiB }\n    \
                timeouts: { between_bytes: 2s }\nlimits: { buffers: 64MiB }\n";
    let (origin, usher, mut slow) = narrow(pool).await;
    let line = asked(&origin, &mut slow).await;
    let line = say(line, head(LARGE + 1, ""), LARGE).await;
    usher.reaches("usher_pool_orphans{pool=\"rails\"}", 1.0).await;
    assert!(slow.closed().await.len() > LARGE);
    drop((slow, line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["between_bytes_timeout"]), 1.0);
}

#[tokio::test]
async fn a_client_that_leaves_gives_back_what_was_read_ahead_for_it() {
    for all in [true, false] {
        let (origin, usher, mut slow) = one_slot("ahead: 64MiB", "buffers: 64MiB").await;
        let line = asked(&origin, &mut slow).await;
        let length = if all { LARGE } else { 2 * LARGE };
        let line = say(line, head(length, ""), LARGE).await;
        slow.reset();
        usher.reaches("usher_buffer_bytes{place=\"memory\"}", 0.0).await;
        usher.reaches("usher_pool_in_flight{pool=\"rails\"}", 0.0).await;
        drop(line);
        let samples = usher.stop().await;
        assert_eq!(samples.sum("usher_faults_total", &["client_left"]), 1.0, "whole: {all}");
        assert_eq!(samples.sum("usher_requests_total", &["abandoned"]), 1.0);
    }
}

#[tokio::test]
async fn where_memory_is_short_a_body_goes_to_disk_and_is_refused_where_that_is_full() {
    let pool = "    buffer: { disk: 1MiB }\n    queue: { wait: 20s, length: 100 }\n\
                limits: { buffers: 1MiB }\n";
    let (origin, usher, mut first) = narrow(pool).await;
    let mut line = asked(&origin, &mut first).await;
    let mut waiting = Vec::new();
    for _ in 0..16 {
        let mut client = Client::connect(usher.address()).await;
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65000\r\n\r\n").await;
        client.send(vec![b'x'; 65_000]).await;
        waiting.push(client);
    }
    usher.reaches("usher_buffer_bytes{place=\"memory\"}", 16.0 * 65_000.0).await;
    // More than one read brings, which is what may exceed the bound.
    let mut small = Client::connect(usher.address()).await;
    small.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n").await;
    small.send(vec![b'y'; 60_000]).await;
    usher.reaches("usher_buffer_bytes{place=\"disk\"}", 60_000.0).await;
    let mut large = Client::connect(usher.address()).await;
    large.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n").await;
    large.flood(&[b'x'; 1 << 14]).await;
    let refused = large.answer().await;
    assert_eq!((refused.status, refused.field("x-usher-fault")), (503, Some("buffer_full")));
    let problems = usher.remote.status().problems;
    assert!(problems.iter().any(|it| it.contains("limits.buffers")), "{problems:?}");
    let serving = tokio::spawn(async move {
        line.write(ok("first")).await;
        for _ in 0..17 {
            let length = line.read().await.body.len();
            line.write(ok(&length.to_string())).await;
        }
    });
    first.answer().await;
    for client in &mut waiting {
        assert_eq!(client.answer().await.text(), "65000");
    }
    assert_eq!(small.answer().await.text(), "60000");
    serving.await.expect("all are served");
    drop((first, waiting, small, large));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_buffer_shortages_total", &["request"]), 2.0);
    assert_eq!(samples.sum("usher_buffer_bytes", &[]), 0.0);
}
