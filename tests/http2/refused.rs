//! What is refused of a single stream, and what a client is told at first.

use crate::{
    raw::{
        self, CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, POST, RST_STREAM, Raw,
        SETTINGS, WINDOW_UPDATE,
    },
    started, started_with,
    support::{origin::ok, usher::Usher},
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
    drop((client, friend));
    usher.reaches("usher_http2_streams_refused_total", count as f64).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 1.0, "Rails saw one of them");
}

/// The same as it enters the table of fields (RFC 7541 §6.2.1).
fn entering(name: &str, value: &str) -> Vec<u8> {
    let mut field = field(name, value);
    field[0] = ENTERS;
    field
}

const ENTERS: u8 = 0x40;

/// `:status` of an answer with 400, and with 200, as HPACK has them (RFC 7541, Appendix A).
const BAD_REQUEST: u8 = 0x80 | 12;
const OK: u8 = 0x80 | 8;

/// A client that asks on one stream after another.
struct Asking {
    client: Raw,
    stream: u32,
}

impl Asking {
    async fn connect(usher: &Usher) -> Self {
        Self { client: Raw::connect(usher.address()).await, stream: 1 }
    }

    /// Asks with this head; what the answer says first.
    async fn ask(&mut self, head: &[u8], what: &str) -> u8 {
        self.client.frame(HEADERS, END_STREAM | END_HEADERS, self.stream, head).await;
        self.answered(what).await
    }

    async fn answered(&mut self, what: &str) -> u8 {
        let answer = self.client.until_or_end(HEADERS).await;
        let answer = answer.unwrap_or_else(|| panic!("{what} ended the connection"));
        assert_eq!(answer.stream, self.stream, "{what}");
        self.stream += 2;
        answer.payload[0]
    }

    /// The same of a head that ends its stream.
    async fn reset(&mut self, what: &str) {
        let reset = self.client.until_or_end(RST_STREAM).await;
        let reset = reset.unwrap_or_else(|| panic!("{what} ended the connection"));
        assert_eq!((reset.stream, &*reset.payload), (self.stream, &PROTOCOL_ERROR[..]), "{what}");
        self.stream += 2;
    }
}

#[tokio::test]
async fn a_field_that_nobody_may_send_is_refused_on_its_stream_and_so_is_what_refers_to_it() {
    let (origin, usher, mut friend) = started("").await;
    origin.serve(|asked| ok(asked.field("x-good").unwrap_or("none")));
    let mut asking = Asking::connect(&usher).await;
    let fields = [
        ("X-Upper", "1"),
        ("x a", "1"),
        ("x\0", "1"),
        ("x\"", "1"),
        ("", "1"),
        (":audience", "1"),
        ("x-a", "1\0"),
        ("x-a", "1\r\nx-b: 2"),
        ("x-a", "\x7f"),
    ];
    let mut refused = 0;
    for (name, value) in fields {
        let what = format!("{name:?}: {value:?}");
        assert_eq!(asking.ask(&[GET, &field(name, value)].concat(), &what).await, BAD_REQUEST);
        assert_eq!(asking.ask(&[GET, &entering(name, value)].concat(), &what).await, BAD_REQUEST);
        // `GET` has put its authority before it in the meantime.
        assert_eq!(asking.ask(&[GET, b"\xbf"].concat(), &what).await, BAD_REQUEST, "the {what}");
        refused += 3;
        assert_eq!(asking.ask(&[GET, &entering("x-good", &what[..1])].concat(), &what).await, OK);
        assert_eq!(asking.client.until(DATA).await.payload, what.as_bytes()[..1]);
        assert_eq!(asking.ask(&[GET, b"\xbf"].concat(), &what).await, OK);
        assert_eq!(asking.client.until(DATA).await.payload, what.as_bytes()[..1], "by its index");
        assert_eq!(friend.get("/").await.text(), "none");
    }
    drop((asking, friend));
    usher.reaches("usher_http2_connections_closed_total{reason=\"closed\"}", 2.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["malformed_head"]), f64::from(refused));
    assert_eq!(samples.sum("usher_http2_streams_refused_total", &[]), 0.0, "each has its answer");
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 3.0 * fields.len() as f64);
}

#[tokio::test]
async fn a_head_that_is_none_without_what_must_not_be_in_it_is_reset() {
    let (origin, usher, friend) = started("").await;
    origin.serve(|asked| ok(asked.target()));
    let mut asking = Asking::connect(&usher).await;
    for (what, head) in [
        ("a method that is none", &b"\x02\x03G T\x86\x84\x41\x01a"[..]),
        ("a path that is no text", b"\x82\x86\x04\x02/\xff\x41\x01a"),
        ("an unknown pseudo-field that enters the table", b"\x82\x40\x02:x\x011\x86\x84\x41\x01a"),
    ] {
        let client = &mut asking.client;
        client.frame(HEADERS, END_STREAM | END_HEADERS, asking.stream, head).await;
        asking.reset(what).await;
    }
    assert_eq!(asking.ask(GET, "a good one").await, OK);
    drop((asking, friend));
    usher.reaches("usher_http2_streams_refused_total", 3.0).await;
    usher.stop().await;
}

#[tokio::test]
async fn a_head_in_several_frames_is_refused_like_any_other() {
    let (origin, usher, friend) = started("").await;
    origin.serve(|asked| ok(asked.target()));
    let mut asking = Asking::connect(&usher).await;
    for (more, is_reset) in [(field("X-Upper", "1"), false), (field("upgrade", "h2c"), true)] {
        let (client, stream) = (&mut asking.client, asking.stream);
        client.frame(HEADERS, END_STREAM, stream, GET).await;
        client.frame(CONTINUATION, 0, stream, &more[..4]).await;
        client.frame(CONTINUATION, END_HEADERS, stream, &more[4..]).await;
        if is_reset {
            asking.reset("a field of the connection").await;
        } else {
            assert_eq!(asking.answered("upper case").await, BAD_REQUEST);
        }
    }
    assert_eq!(asking.ask(GET, "a good one").await, OK);
    drop((asking, friend));
    usher.stop().await;
}

#[tokio::test]
async fn trailers_that_nobody_may_send_reset_their_stream() {
    let (origin, usher, friend) = started("").await;
    origin.serve(|asked| ok(asked.target()));
    let mut asking = Asking::connect(&usher).await;
    let trailers = [field("X-Upper", "1"), field("x-a", "1\n"), b"\x84".to_vec()];
    for trailers in &trailers {
        let (client, stream) = (&mut asking.client, asking.stream);
        client.frame(HEADERS, END_HEADERS, stream, POST).await;
        client.frame(DATA, 0, stream, b"body").await;
        client.frame(HEADERS, END_STREAM | END_HEADERS, stream, trailers).await;
        asking.reset("trailers").await;
    }
    assert_eq!(asking.ask(GET, "a good one").await, OK);
    drop((asking, friend));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["bad_framing"]), trailers.len() as f64);
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 1.0, "Rails saw none of them");
}

/// Nobody knows what the tables hold from then on (RFC 9113 §4.3).
#[tokio::test]
async fn what_cannot_be_unpacked_ends_the_connection() {
    let (_origin, usher, friend) = started("").await;
    let heads: [(&str, &[u8]); 5] = [
        ("an index of nothing", b"\xbe"),
        ("a string that is none", b"\x00\x01a\x84\xff\xff\xff\xff"),
        ("half of a field", b"\x00\x01a\x05b"),
        ("a number without end", b"\xff\xff\xff\xff\xff\xff"),
        // It has the size of its entry alone, and nothing else has.
        ("a field without name and value that enters the table", b"\x40\x00\x00"),
    ];
    for (what, more) in &heads {
        let mut client = Raw::connect(usher.address()).await;
        let head = [b"\x82\x86\x84", *more].concat();
        client.frame(HEADERS, END_STREAM | END_HEADERS, 1, &head).await;
        assert_eq!(client.ended().await, Some(CONNECTION_ERROR), "{what}");
    }
    drop(friend);
    let ended = "usher_http2_connections_closed_total{reason=\"protocol_error\"}";
    usher.reaches(ended, heads.len() as f64).await;
    usher.stop().await;
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
