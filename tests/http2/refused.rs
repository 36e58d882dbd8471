//! What is refused of a single stream, and what a client is told at first.

use crate::{
    raw::{
        self, DATA, END_HEADERS, END_STREAM, GET, HEADERS, RST_STREAM, Raw, SETTINGS, WINDOW_UPDATE,
    },
    started, started_with,
    support::origin::ok,
};

/// The code of a stream that breaks RFC 9113.
const PROTOCOL_ERROR: [u8; 4] = CONNECTION_ERROR.to_be_bytes();

/// GOAWAY's code for the same of a connection.
const CONNECTION_ERROR: u32 = 0x1;

/// A field as HPACK writes it without any state (RFC 7541 §6.2.2).
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).expect("it is short");
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

#[tokio::test]
async fn a_head_that_must_not_be_ends_its_stream_and_neither_the_connection_nor_others() {
    let (origin, usher, friend) = started("").await;
    let mut client = Raw::connect(usher.address()).await;
    let get = |more: Vec<u8>| [GET, &more].concat();
    let heads = [
        ("a field of the connection", get(field("connection", "close"))),
        ("a body in chunks", get(field("transfer-encoding", "chunked"))),
        ("an upgrade", get(field("upgrade", "h2c"))),
        ("how long to keep it", get(field("keep-alive", "timeout=5"))),
        ("one of a proxy", get(field("proxy-connection", "keep-alive"))),
        ("a pseudo-field twice", get(field(":path", "/other"))),
        ("a pseudo-field of an answer", get(field(":status", "200"))),
        ("a pseudo-field behind another field", [&field("x-a", "1"), GET].concat()),
        ("no path", b"\x82\x86\x41\x01a".to_vec()),
        ("no method", b"\x86\x84\x41\x01a".to_vec()),
    ];
    let count = heads.len();
    for (n, (what, head)) in heads.into_iter().enumerate() {
        let stream = 2 * u32::try_from(n).expect("few") + 1;
        client.frame(HEADERS, END_STREAM | END_HEADERS, stream, &head).await;
        let reset = client.until_or_end(RST_STREAM).await;
        let reset = reset.unwrap_or_else(|| panic!("{what} ended the connection"));
        assert_eq!((reset.stream, &*reset.payload), (stream, &PROTOCOL_ERROR[..]), "{what}");
    }
    origin.serve(|asked| ok(asked.target()));
    let stream = 2 * u32::try_from(count).expect("few") + 1;
    client.frame(HEADERS, END_STREAM | END_HEADERS, stream, GET).await;
    let answer = client.until(DATA).await;
    assert_eq!((answer.stream, &*answer.payload), (stream, &b"/"[..]), "the connection goes on");
    // A name that is none is not even unpacked, and nobody knows what the tables hold from then on.
    let names = ["X-Upper", "x a", "x\0", ":audience"];
    for name in names {
        let mut client = Raw::connect(usher.address()).await;
        let head = get(field(name, "1"));
        client.frame(HEADERS, END_STREAM | END_HEADERS, 1, &head).await;
        assert_eq!(client.ended().await, Some(CONNECTION_ERROR), "{name:?}");
    }
    drop((client, friend));
    usher.reaches("usher_http2_streams_refused_total", (count + names.len()) as f64).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 1.0, "Rails saw one of them");
}

#[tokio::test]
async fn a_client_is_told_the_limits_that_the_documents_name() {
    let (_origin, usher, friend) = started_with("limits: { head: 8KiB, headers: 50 }", "").await;
    let mut client = Raw::connect(usher.address()).await;
    let settings = client.until(SETTINGS).await.payload;
    let told = |kind: u16| {
        let mut pairs = settings.chunks_exact(6);
        let found = pairs.find(|pair| pair[..2] == kind.to_be_bytes())?;
        Some(u32::from_be_bytes(found[2..].try_into().expect("four bytes")))
    };
    // Tables, streams, the window of a stream, frames, heads, extended CONNECT (RFC 9113 §6.5.2,
    // RFC 8441 §3).
    assert_eq!(told(0x1).unwrap_or(4096), 4096);
    assert_eq!(told(0x3), Some(100));
    assert_eq!(told(0x4), Some(64 << 10));
    assert_eq!(told(0x5), Some(16 << 10));
    assert_eq!(told(0x6), Some(2 * (8 << 10) + 50 * 32));
    assert_eq!(told(0x8), Some(1));
    let room = client.until(WINDOW_UPDATE).await;
    let more = u32::from_be_bytes(room.payload.try_into().expect("four bytes"));
    assert_eq!((room.stream, more), (0, (1 << 20) - 65_535), "of the whole connection");
    // Larger frames than it allows are no HTTP/2 of usher's.
    client.bytes(&raw::frame(DATA, 0, 1, &[0; (16 << 10) + 1])).await;
    assert_eq!(client.ended().await, Some(FRAME_SIZE_ERROR));
    let ended = "usher_http2_connections_closed_total{reason=\"frame_size_error\"}";
    usher.reaches(ended, 1.0).await;
    drop(friend);
    usher.stop().await;
}

/// GOAWAY's code for a frame of a wrong size.
const FRAME_SIZE_ERROR: u32 = 0x6;
