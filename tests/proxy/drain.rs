//! Stopping: what is open is ended as it should be, what cannot be is cut.

use tokio::io::AsyncWriteExt;

use crate::support::{
    client::{Client, refused},
    origin::{Asked, Line, Origin, PATIENCE, ok},
    usher::{Usher, one_pool},
};
use crate::websocket::{self, opened};
use crate::{GET, started};

/// A frame of text from a server.
const HELLO: &[u8] = b"\x81\x05hello";

/// What is not sent a second time when its connection dies.
const ORDER: &str = "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";

/// What a client is told: 1012, without a mask.
const SERVICE_RESTART: &[u8] = &[0x88, 2, 0x03, 0xf4];

/// What the client answers: the same, with a mask of zeros.
const ANSWERED: &[u8] = &[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4];

/// Reads a close with a mask, and returns its code.
async fn close_code(line: &mut Line) -> u16 {
    let frame = line.read_exactly(8).await.expect("a close");
    assert_eq!(frame[..2], [0x88, 0x82], "{frame:?}");
    u16::from_be_bytes([frame[6] ^ frame[2], frame[7] ^ frame[3]])
}

#[tokio::test]
async fn a_tunnel_closes_between_two_frames_and_both_sides_are_told() {
    let (origin, usher, client) = started("").await;
    drop(client);
    let (mut client, mut line) = opened(&origin, &usher).await;
    line.write(&HELLO[..4]).await;
    assert_eq!(client.until(&HELLO[..4]).await.expect("half a frame"), &HELLO[..4]);
    usher.remote.stop();
    // Half a frame is always under way, so that no close may ever come but behind its rest.
    let seen = loop {
        line.write([&HELLO[4..], &HELLO[..4]].concat()).await;
        client.until(&HELLO[4..]).await.expect("the rest");
        let next = client.exactly(4).await.expect("the next frame's beginning, or the close");
        if next != HELLO[..4] {
            break next;
        }
    };
    assert_eq!(seen, SERVICE_RESTART);
    // What the client says until it knows still gets there; its own close does not.
    let text = b"\x81\x82\0\0\0\0hi";
    client.send([text, ANSWERED].concat()).await;
    assert_eq!(line.read_exactly(text.len()).await.expect("bytes"), text);
    assert_eq!(close_code(&mut line).await, 1001);
    line.write([0x88, 2, 0x03, 0xe9]).await;
    assert!(client.closed().await.is_empty(), "nothing comes behind the close");
    line.closed().await;
    let samples = usher.stop().await;
    let drained =
        "usher_tunnels_closed_total{audience=\"everyone\",reason=\"drained\",blame=\"usher\"}";
    assert_eq!(samples.get(drained), 1.0);
}

#[tokio::test]
async fn tunnels_close_one_after_the_other_and_not_all_at_once() {
    const TUNNELS: usize = 24;
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "").replace("tunnels: 5s", "tunnels: 12s");
    let usher = Usher::start(&text).await;
    let mut clients = Vec::new();
    let mut lines = Vec::new();
    for _ in 0..TUNNELS {
        let (client, line) = opened(&origin, &usher).await;
        clients.push(client);
        lines.push(line);
    }
    usher.remote.stop();
    let closing: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            tokio::spawn(async move {
                assert_eq!(client.exactly(4).await.expect("a close"), SERVICE_RESTART);
                let told = tokio::time::Instant::now();
                client.send(ANSWERED).await;
                assert!(client.closed().await.is_empty());
                told
            })
        })
        .collect();
    let mut told = Vec::new();
    for closing in closing {
        told.push(closing.await.expect("it is told"));
    }
    told.sort();
    // Each has its turn in the first 7 of the 12 s that there are; none is due with another.
    let span = told[TUNNELS - 1] - told[0];
    assert!(span > PATIENCE / 16, "all {TUNNELS} within {span:?}");
    drop(lines);
    let samples = usher.stop().await;
    let drained = samples.sum("usher_tunnels_closed_total", &["drained"]);
    assert_eq!(drained, TUNNELS as f64);
}

#[tokio::test]
async fn a_tunnel_whose_frame_does_not_end_is_cut_when_its_time_is_over() {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "").replace("tunnels: 5s", "tunnels: 100ms");
    let usher = Usher::start(&text).await;
    let (mut client, mut line) = opened(&origin, &usher).await;
    line.write(&HELLO[..4]).await;
    client.until(&HELLO[..4]).await.expect("half a frame");
    usher.remote.stop();
    assert!(client.closed().await.is_empty(), "no close in the middle of a frame");
    line.closed().await;
    let samples = usher.stop().await;
    let cut = "usher_tunnels_closed_total{audience=\"everyone\",reason=\"cut\",blame=\"usher\"}";
    assert_eq!(samples.get(cut), 1.0);
}

#[tokio::test]
async fn a_tunnel_that_is_closing_by_itself_is_left_to_do_so() {
    let (origin, usher, client) = started("").await;
    drop(client);
    let (mut client, mut line) = opened(&origin, &usher).await;
    let close = [0x88, 2, 0x03, 0xe8];
    line.write(close).await;
    assert_eq!(client.exactly(4).await.expect("a close"), close);
    usher.remote.stop();
    refused(usher.address()).await;
    let answered = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
    client.send(answered).await;
    assert_eq!(line.read_exactly(8).await.expect("its own close"), answered);
    drop(line);
    assert!(client.closed().await.is_empty());
    client.stream.shutdown().await.expect("it has said all");
    let samples = usher.stop().await;
    drop(client);
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["\"closed\"", "upstream"]), 1.0);
}

/// usher with one slot, a client whose request has just been answered, and the line to the origin
/// that went to a second client together with the slot: to another worker, on a connection that
/// lives with the first.
async fn handed_over(asks: &str, drain: &str) -> (Origin, Usher, [Client; 2], (Line, Asked)) {
    let origin = Origin::start().await;
    let text = one_pool(&[origin.endpoint()], "    queue: { wait: 20s }\n");
    let text = text.replace("capacity: 5", "capacity: 1");
    let usher = Usher::start(&text.replace("requests: 5s, tunnels: 5s", drain)).await;
    let mut first = Client::connect(usher.address()).await;
    first.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    let mut second = Client::connect(usher.address()).await;
    second.send(asks).await;
    usher.reaches("usher_pool_queue_length{pool=\"rails\"}", 1.0).await;
    line.write(ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
    let asked = line.read().await;
    (origin, usher, [first, second], (line, asked))
}

#[tokio::test]
async fn a_request_is_not_lost_with_the_worker_that_made_its_connection() {
    let (_origin, usher, [first, mut second], (line, _)) =
        handed_over(ORDER, "requests: 300ms, tunnels: 5s").await;
    usher.remote.stop();
    // The worker that made the connection has no client any more.
    drop(first);
    assert!(second.closed().await.is_empty());
    drop(line);
    let samples = usher.stop().await;
    // It was cut when its time was over, and by nothing else before that.
    assert_eq!(samples.sum("usher_faults_total", &["\"draining\""]), 1.0);
    assert_eq!(samples.sum("usher_faults_total", &["\"upstream\""]), 0.0);
}

#[tokio::test]
async fn a_tunnel_is_not_lost_with_the_worker_that_made_its_connection() {
    let (_origin, usher, [first, mut second], (mut line, asked)) =
        handed_over(&websocket::valid(), "requests: 5s, tunnels: 5s").await;
    line.write(websocket::agreement_to(&asked)).await;
    assert_eq!(second.head().await.expect("an answer").status, 101);
    usher.remote.stop();
    drop(first);
    assert_eq!(second.exactly(4).await.expect("a close"), SERVICE_RESTART);
    second.send(ANSWERED).await;
    assert!(second.closed().await.is_empty());
    drop(line);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["drained"]), 1.0);
}

#[tokio::test]
async fn half_closed_tunnels_are_told_as_well() {
    let (origin, usher, client) = started("").await;
    drop(client);
    let (mut client, mut line) = opened(&origin, &usher).await;
    client.stream.shutdown().await.expect("half-closes");
    assert_eq!(line.read_exactly(1).await, None, "the end is passed on");
    usher.remote.stop();
    assert_eq!(client.closed().await, SERVICE_RESTART);
    line.closed().await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_tunnels_closed_total", &["drained"]), 1.0);
}
