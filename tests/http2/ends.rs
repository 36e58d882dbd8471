//! Ends of connections that no flood brings: each has its reason in the metrics.

use tokio::net::TcpSocket;

use crate::{
    raw::{
        CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PLAIN_GET, POST, Raw, SETTINGS,
        WINDOW_UPDATE, frame,
    },
    siege::Siege,
    started_with,
    support::{origin::ok, wire::Wire},
};

/// GOAWAY's code for breaking RFC 9113.
const PROTOCOL_ERROR: u32 = 0x1;

/// GOAWAY's code for heads that are not unpacked any more.
const COMPRESSION_ERROR: u32 = 0x9;

/// More than the buffers of the system take between two sockets of which one is not read.
const LARGE_BYTES: usize = 8 * 1024 * 1024;

#[tokio::test]
async fn a_client_that_takes_nothing_of_what_is_written_loses_its_connection() {
    let (origin, usher, mut friend) = started_with("limits: { write_wait: 300ms }", "").await;
    origin.serve(|asked| match asked.target() {
        "/large" => ok(&"x".repeat(LARGE_BYTES)),
        _ => ok("fine"),
    });
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option");
    let socket = socket.connect(usher.address()).await.expect("usher accepts");
    let mut client = Raw::on(Wire::for_http2(socket).await).await;
    // There is room for all of it, in the stream and in the connection.
    let most = 0x7fff_ffff_u32;
    let window = [&4_u16.to_be_bytes()[..], &most.to_be_bytes()].concat();
    client.frame(SETTINGS, 0, 0, &window).await;
    client.bytes(&frame(WINDOW_UPDATE, 0, 0, &(most - 65_535).to_be_bytes())).await;
    let large = b"\x82\x86\x04\x06/large\x41\x01a";
    client.frame(HEADERS, END_STREAM | END_HEADERS, 1, large).await;
    let closed = "usher_http2_connections_closed_total{reason=\"write_stalled\"}";
    usher.reaches(closed, 1.0).await;
    assert_eq!(friend.get("/").await.text(), "fine", "others are unharmed");
    drop((client, friend));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client_stalled"]), 1.0);
}

/// The stream's error alone by RFC 9113 §6.9, which may be treated as the connection's (§5.4.1).
#[tokio::test]
async fn no_room_that_is_given_ends_the_connection() {
    let siege = Siege::start().await;
    let mut client = siege.attacker().await;
    client.frame(HEADERS, END_HEADERS, 1, POST).await;
    client.frame(WINDOW_UPDATE, 0, 1, &0_u32.to_be_bytes()).await;
    assert_eq!(client.ended().await, Some(PROTOCOL_ERROR));
    siege.held("protocol_error", 2).await;
}

/// What the table of HPACK does not have: an index that is none, and one behind its end. The crate
/// says no more of it than that it breaks RFC 9113.
#[tokio::test]
async fn a_head_that_refers_to_nothing_ends_the_connection() {
    for index in [0x80, 0xbe] {
        let siege = Siege::start().await;
        let mut client = siege.attacker().await;
        client.frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x82, 0x86, 0x84, index]).await;
        assert_eq!(client.ended().await, Some(PROTOCOL_ERROR));
        siege.held("protocol_error", 2).await;
    }
}

/// A head that is too large already, and in which a string goes on for as long as that is.
#[tokio::test]
async fn a_head_that_is_not_unpacked_to_its_end_ends_the_connection() {
    let siege = Siege::start().await;
    let mut client = siege.attacker().await;
    let value = [&[0x7f, 0xbd, 0x1d][..], &[b'a'; 3900]].concat();
    let first = [PLAIN_GET, b"\x40\x01x", &value].concat();
    client.frame(HEADERS, END_STREAM | END_HEADERS, 1, &first).await;
    // Ten times the first field, and one of 2 MiB begins.
    let second = [PLAIN_GET, &[0xbe; 10], b"\x00\x01y\x7f\x81\xff\x7f"].concat();
    client.frame(HEADERS, END_STREAM, 3, &second).await;
    for _ in 0..6 {
        client.frame(CONTINUATION, 0, 3, &[b'a'; 16 * 1024]).await;
    }
    assert_eq!(client.ended().await, Some(COMPRESSION_ERROR));
    siege.held("compression_error", 3).await;
}
