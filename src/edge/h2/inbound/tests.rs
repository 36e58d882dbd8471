//! A client's bytes, in pieces of any size, and what the crate makes of them.

mod client;

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderMap, Request};
use proptest::prelude::*;
use tokio::io::AsyncWrite;

use super::*;
use crate::edge::h2::{blocks::MARK, frames::PREFACE};
use client::{Client, Expected};

/// What a client sends, as it is read: whatever is left comes in these pieces.
#[derive(Default)]
struct Pieces {
    pieces: VecDeque<Vec<u8>>,
    ends: bool,
}

/// The crate's end of a connection.
struct End {
    pieces: Pieces,
    inbound: Inbound,
    /// What room there is for each look, at most, one after another.
    rooms: Vec<usize>,
    looks: usize,
    /// What the crate got.
    got: Vec<u8>,
}

// === impl Pieces ===

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut piece) = self.pieces.pop_front() else {
            return if self.ends { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        let rest = piece.split_off(piece.len().min(buffer.remaining()));
        buffer.put_slice(&piece);
        if !rest.is_empty() {
            self.pieces.push_front(rest);
        }
        Poll::Ready(Ok(()))
    }
}

// === impl End ===

impl End {
    fn new(bytes: &[u8], step: usize) -> Self {
        Self::of(bytes.chunks(step).map(<[u8]>::to_vec).collect(), vec![usize::MAX])
    }

    fn of(pieces: VecDeque<Vec<u8>>, rooms: Vec<usize>) -> Self {
        Self {
            pieces: Pieces { pieces, ends: false },
            inbound: Inbound::new(Bytes::new(), 36 << 10, Arc::default()),
            rooms,
            looks: 0,
            got: Vec::new(),
        }
    }

    /// Reads all that can be.
    fn read(&mut self) -> &[u8] {
        let mut room = [0; 1 << 15];
        loop {
            let mut buffer = ReadBuf::new(&mut room);
            let read = Pin::new(&mut *self)
                .poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer);
            if read.is_pending() || buffer.filled().is_empty() {
                return &self.got;
            }
        }
    }

    fn send(&mut self, piece: &[u8]) -> &[u8] {
        self.got.clear();
        self.pieces.pieces.push_back(piece.to_vec());
        self.read()
    }
}

impl AsyncRead for End {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let it = &mut *self;
        let room = it.rooms[it.looks % it.rooms.len()].min(buffer.remaining());
        it.looks += 1;
        let mut part = vec![0; room];
        let mut part = ReadBuf::new(&mut part);
        ready!(it.inbound.poll_read(cx, &mut it.pieces, &mut part))?;
        buffer.put_slice(part.filled());
        it.got.extend_from_slice(part.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for End {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&[length[1], length[2], length[3], kind, flags], &stream.to_be_bytes()[..], payload].concat()
}

const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_BOTH: u8 = 0x5;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const GET: &[u8] = b"\x82\x86\x84\x41\x01a";
const MALFORMED: &[u8] = b"\x82\x86\x84\x41\x01a\x00\x01X\x00";
const MENDED: &[u8] = b"\x82\x86\x84\x41\x01a\x00\x01\"\x00";

fn all(frames: &[Vec<u8>]) -> Vec<u8> {
    [PREFACE.to_vec(), frames.concat()].concat()
}

#[test]
fn what_is_clean_passes_as_it_is_however_it_comes() {
    let padded = [&b"\x03\0\0\0\x01\x10"[..], GET, &[0; 3]].concat();
    let large = [GET, &b"\x00\x01x\x7f\xe1\x5c"[..], &[b'a'; 12_000]].concat();
    let bytes = all(&[
        frame(0x4, 0, 0, &[0; 18]),
        frame(HEADERS, END_HEADERS, 1, GET),
        frame(0x0, 0, 1, &[1; 3000]),
        frame(HEADERS, END_BOTH, 1, b"\x00\x01x\x01y"),
        frame(0x8, 0, 0, &[0; 4]),
        frame(HEADERS, END_BOTH | 0x28, 3, &padded),
        frame(HEADERS, END_BOTH, 5, &large),
        frame(0x3, 0, 3, &[0; 4]),
        frame(0x77, 0, 0, b""),
    ]);
    for step in [1, 2, 7, 100, 5000, bytes.len()] {
        let mut end = End::new(&bytes, step);
        assert_eq!(end.read(), bytes, "in steps of {step}");
        assert_eq!(end.inbound.awaited(), None);
        assert!(end.inbound.held.is_none());
        let watch = &end.inbound.watch;
        assert_eq!((watch.read(), watch.of_bodies()), (bytes.len() as u64, 3000));
        assert_eq!((watch.opened(), watch.ended()), (3, None));
    }
}

#[test]
fn a_malformed_head_is_mended_and_its_neighbours_are_not_touched() {
    let body = frame(0x0, 1, 1, &[1; 100]);
    let bytes = all(&[
        frame(HEADERS, END_HEADERS, 1, GET),
        frame(HEADERS, END_BOTH, 3, MALFORMED),
        body.clone(),
        frame(HEADERS, END_BOTH, 5, MALFORMED),
        frame(HEADERS, END_BOTH, 7, GET),
    ]);
    let expected = all(&[
        frame(HEADERS, END_HEADERS, 1, GET),
        frame(HEADERS, END_BOTH, 3, MENDED),
        body,
        frame(HEADERS, END_BOTH, 5, MENDED),
        frame(HEADERS, END_BOTH, 7, GET),
    ]);
    for step in [1, 10, 50, bytes.len()] {
        assert_eq!(End::new(&bytes, step).read(), expected, "in steps of {step}");
    }
}

#[test]
fn a_stream_that_waits_for_itself_is_malformed() {
    let circular = [&b"\0\0\0\x03\x10"[..], GET].concat();
    let bytes = all(&[frame(HEADERS, END_BOTH | 0x20, 3, &circular)]);
    let mut end = End::new(&bytes, bytes.len());
    assert_eq!(end.read(), all(&[frame(HEADERS, END_BOTH, 3, MENDED)]));
}

#[test]
fn a_head_in_pieces_is_held_until_it_is_whole() {
    let mut end = End::new(PREFACE, PREFACE.len());
    end.read();
    for (n, (block, joined)) in [(GET, GET), (MALFORMED, MENDED)].into_iter().enumerate() {
        let stream = 2 * n as u32 + 1;
        assert_eq!(end.send(&frame(HEADERS, END_STREAM, stream, &block[..3])), b"");
        let begun = end.inbound.awaited();
        assert!(begun.is_some());
        assert_eq!(end.send(&frame(CONTINUATION, 0, stream, b"")), b"");
        let last = frame(CONTINUATION, END_HEADERS, stream, &block[3..]);
        assert_eq!(end.send(&last[..5]), b"");
        assert_eq!(end.send(&last[5..10]), b"");
        assert_eq!(end.inbound.awaited(), begun, "one head is one thing");
        let next = frame(0x6, 0, 0, &[0; 8]);
        let expected = [frame(HEADERS, END_BOTH, stream, joined), next.clone()].concat();
        assert_eq!(end.send(&[&last[10..], &next].concat()), expected);
        assert_eq!(end.inbound.awaited(), None);
        assert!(end.inbound.held.is_none());
    }
    assert_eq!(end.inbound.watch.opened(), 2);
}

#[test]
fn a_head_that_is_larger_than_a_frame_stays_in_several() {
    let many =
        |name: &[u8]| [GET, &[&b"\x00\x01"[..], name, b"\x01y"].concat().repeat(4000)].concat();
    let cut = |block: &[u8]| {
        let (first, rest) = block.split_at(12_000);
        let last = frame(CONTINUATION, END_HEADERS, 1, rest);
        all(&[frame(HEADERS, END_STREAM, 1, first), last])
    };
    let clean = cut(&many(b"x"));
    assert_eq!(End::new(&clean, 1000).read(), clean);
    let malformed = [GET, &many(b"x")[GET.len()..], b"\x00\x01X\x00"].concat();
    let mended = [&*many(b"x"), b"\x00\x01\"\x00"].concat();
    let (first, rest) = mended.split_at(16 << 10);
    let last = frame(CONTINUATION, END_HEADERS, 1, rest);
    let expected = all(&[frame(HEADERS, END_STREAM, 1, first), last]);
    assert_eq!(End::new(&cut(&malformed), 1000).read(), expected);
}

/// The crate ends the connection because of each of these, and has to see it for that.
#[test]
fn what_the_crate_ends_a_connection_for_reaches_it_as_it_is() {
    let continued = |n: usize| {
        let mut frames = vec![frame(HEADERS, END_STREAM, 1, GET)];
        frames.extend(vec![frame(CONTINUATION, 0, 1, b""); n]);
        all(&frames)
    };
    for (what, bytes) in [
        ("too many pieces", continued(6)),
        ("another frame within", all(&[frame(HEADERS, 0, 1, GET), frame(0x6, 0, 0, &[0; 8])])),
        (
            "another stream's piece",
            all(&[frame(HEADERS, 0, 1, GET), frame(CONTINUATION, 4, 3, b"")]),
        ),
        ("a piece of nothing", all(&[frame(CONTINUATION, END_HEADERS, 1, GET)])),
        ("a promise", all(&[frame(0x5, END_HEADERS, 1, b"\0\0\0\x02\x82")])),
        ("no stream", all(&[frame(HEADERS, END_BOTH, 0, GET)])),
        ("too large a frame", all(&[frame(HEADERS, END_BOTH, 1, &[0x82; 20_000])])),
        ("too much padding", all(&[frame(HEADERS, END_BOTH | 0x8, 1, b"\x09\x82")])),
        ("half of a field", all(&[frame(HEADERS, END_BOTH, 1, b"\x82\x40")])),
        ("nothing at all", all(&[frame(HEADERS, END_BOTH, 1, b"\x82\x40\x00\x00")])),
    ] {
        for step in [1, bytes.len()] {
            let mut end = End::new(&bytes, step);
            assert_eq!(end.read(), bytes, "{what}");
            assert_eq!(end.inbound.awaited(), Some(u64::MAX), "{what}");
            let malformed = frame(HEADERS, END_BOTH, 9, MALFORMED);
            assert_eq!(end.send(&malformed), malformed, "{what}: no more is looked at");
        }
    }
    let mut end = End::new(&continued(5), 10);
    assert_eq!(end.read(), PREFACE, "as many as there may be");
    let last = frame(CONTINUATION, END_HEADERS, 1, b"");
    assert_eq!(end.send(&last), frame(HEADERS, END_BOTH, 1, GET));
}

#[test]
fn what_is_held_at_the_end_reaches_the_crate() {
    let bytes = all(&[frame(HEADERS, END_STREAM, 1, GET), frame(CONTINUATION, 0, 1, b"\0\x01")]);
    let bytes = &bytes[..bytes.len() - 1];
    for rooms in [vec![usize::MAX], vec![3]] {
        let mut end = End::of(VecDeque::from([bytes.to_vec()]), rooms);
        assert_eq!(end.read(), PREFACE);
        end.pieces.ends = true;
        assert_eq!(end.read(), bytes);
        assert!(end.inbound.has_ended());
    }
}

#[test]
fn a_flood_is_noticed_in_what_is_held_too() {
    let mut end = End::new(PREFACE, PREFACE.len());
    end.read();
    let pings = frame(0x6, 0, 0, &[0; 8]).repeat(1000);
    let half = frame(HEADERS, END_BOTH, 1, GET);
    assert_eq!(end.send(&half[..12]), b"");
    end.send(&[&half[12..], &pings].concat());
    assert_eq!(end.inbound.watch.ended(), Some(Http2End::ControlFrames));
}

/// What the `h2` crate makes of all that `client` sends, in these pieces.
fn served(client: &Client, pieces: VecDeque<Vec<u8>>, rooms: Vec<usize>) {
    let mut cx = Context::from_waker(Waker::noop());
    let end = End::of(pieces, rooms);
    let mut builder = h2::server::Builder::new();
    builder.max_header_list_size(1 << 20).max_concurrent_reset_streams(1000);
    let mut handshake = Box::pin(builder.handshake::<_, Bytes>(end));
    let Poll::Ready(Ok(mut connection)) = handshake.as_mut().poll(&mut cx) else {
        panic!("its preface is there");
    };
    let mut requests = Vec::new();
    loop {
        match connection.poll_accept(&mut cx) {
            Poll::Ready(Some(Ok((request, respond)))) => requests.push((request, respond)),
            Poll::Ready(other) => panic!("the connection ended: {other:?}"),
            Poll::Pending => break,
        }
    }
    let mut expected = client.expected.clone();
    for (request, respond) in &mut requests {
        let stream = respond.stream_id().as_u32();
        // It cannot be asked for by its name, which is none to who asks.
        let is_marked = request.headers().keys().any(|name| name.as_str() == MARK);
        match expected.remove(&stream).expect("it was sent") {
            Expected { head: None, .. } => assert!(is_marked, "{:?}", request.headers()),
            Expected { head: Some(fields), trailers } => {
                assert_eq!(*request.headers(), fields);
                if let Some(trailers) = trailers {
                    assert_eq!(trailers_of(request, &mut cx), trailers);
                }
            }
        }
    }
    // The crate has reset the others.
    assert!(expected.values().all(|expected| expected.head.is_none()), "{expected:?}");
}

/// The fields that came after a body; `None` where the stream was reset.
fn trailers_of(request: &mut Request<h2::RecvStream>, cx: &mut Context<'_>) -> Option<HeaderMap> {
    let body = request.body_mut();
    match body.poll_data(cx) {
        Poll::Ready(None) => match body.poll_trailers(cx) {
            Poll::Ready(Ok(trailers)) => Some(trailers.unwrap_or_default()),
            other => panic!("{other:?}"),
        },
        Poll::Ready(Some(Err(error))) => {
            assert_eq!(error.reason(), Some(h2::Reason::PROTOCOL_ERROR));
            None
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever a client does with its table, in whatever pieces its bytes come: each clean message
    /// says what it said, no malformed one is taken, and the connection lives.
    #[test]
    fn tables_stay_in_step(seed in any::<u64>(), errs in any::<bool>(), cuts in any::<bool>()) {
        let mut client = Client::new(seed, errs, cuts);
        for _ in 0..30 {
            client.ask();
        }
        let (pieces, rooms) = client.pieces();
        served(&client, pieces, rooms);
    }

    /// A client that makes no mistake and cuts no head in frames is read byte for byte.
    #[test]
    fn nothing_clean_is_touched(seed in any::<u64>()) {
        let mut client = Client::new(seed, false, false);
        for _ in 0..30 {
            client.ask();
        }
        let (pieces, rooms) = client.pieces();
        let mut end = End::of(pieces, rooms);
        prop_assert_eq!(end.read(), &client.sent[..]);
        prop_assert!(end.inbound.held.is_none());
    }
}
