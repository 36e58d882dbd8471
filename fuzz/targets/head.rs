//! Heads over HTTP/2 are looked at and mended alike however their bytes come, and what the `h2`
//! crate takes without that it takes with it: the same, or marked.

#![no_main]

use std::{
    collections::BTreeMap,
    io,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::HeaderMap;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use usher::edge::h2::fuzzing::{MARK, pass};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A client that sends this and stays.
struct Client<'b>(&'b [u8]);

impl AsyncRead for Client<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.is_empty() {
            return Poll::Pending;
        }
        let (now, later) = self.0.split_at(self.0.len().min(buffer.remaining()));
        buffer.put_slice(now);
        self.0 = later;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client<'_> {
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

/// The requests that the crate takes, by their streams, and whether the connection lives.
fn taken(bytes: &[u8]) -> (BTreeMap<u32, HeaderMap>, bool) {
    let mut cx = Context::from_waker(Waker::noop());
    let mut handshake = Box::pin(h2::server::Builder::new().handshake::<_, Bytes>(Client(bytes)));
    let Poll::Ready(Ok(mut connection)) = handshake.as_mut().poll(&mut cx) else {
        panic!("its preface is there");
    };
    let (mut requests, mut kept) = (BTreeMap::new(), Vec::new());
    loop {
        match connection.poll_accept(&mut cx) {
            Poll::Ready(Some(Ok((request, respond)))) => {
                requests.insert(respond.stream_id().as_u32(), request.headers().clone());
                kept.push((request, respond));
            }
            Poll::Ready(_) => return (requests, false),
            Poll::Pending => return (requests, true),
        }
    }
}

/// Whether the crate alone comes to the same end. It does not where a stream waits for itself: it
/// refuses the head without unpacking it, and knows no more what the table holds. Nor where streams
/// have numbers that end a connection (RFC 9113 §5.1.1): it does not look at that of a head that it
/// refuses. Nor where a table gets another size within a head (RFC 7541 §4.2): it lets that be
/// where a frame begins.
fn is_comparable(mut frames: &[u8]) -> bool {
    let mut newest = 0;
    while let [l0, l1, l2, kind, flags, s0, s1, s2, s3, rest @ ..] = frames {
        let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]) & !(1 << 31);
        let priority = rest.get(usize::from(flags & 0x8 != 0)..);
        let priority = priority.and_then(|rest| rest.first_chunk());
        let behind = priority.map(|bytes| u32::from_be_bytes(*bytes) & !(1 << 31));
        let waits_for_itself = flags & 0x20 != 0 && behind == Some(stream);
        if *kind == 1 && (waits_for_itself || stream % 2 == 0 || stream < newest) {
            return false;
        }
        if *kind == 9 && rest.first().is_some_and(|byte| byte & 0xe0 == 0x20) {
            return false;
        }
        newest = newest.max(if *kind == 1 { stream } else { 0 });
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        frames = rest.get(length..).unwrap_or_default();
    }
    true
}

fuzz_target!(|bytes: &[u8]| {
    if !is_comparable(bytes) {
        return;
    }
    let bytes = [PREFACE, bytes].concat();
    let Some(passed) = pass(&bytes, usize::MAX) else { return };
    if let Some(again) = pass(&bytes, 1) {
        assert_eq!(passed, again, "in one piece or in many");
    }
    let (plain, lives) = taken(&bytes);
    let (looked_at, lives_still) = taken(&passed);
    if passed == bytes || !lives {
        return;
    }
    assert!(lives_still, "the connection has ended");
    let is_marked = |fields: &HeaderMap| fields.keys().any(|name| name.as_str() == MARK);
    for (stream, fields) in looked_at.iter().filter(|(_, fields)| !is_marked(fields)) {
        assert_eq!(Some(fields), plain.get(stream), "a request that says something else");
    }
});
