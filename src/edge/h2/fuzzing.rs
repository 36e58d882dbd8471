//! What fuzzers call: a client's bytes as the `h2` crate gets them. Only built for them.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};

use super::{blocks, inbound::Inbound};

/// The name by which a head is known that was mended.
pub const MARK: &str = blocks::MARK;

/// A client that sends its bytes in pieces of at most so many, and then closes.
struct Pieces<'b>(&'b [u8], usize);

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let bytes = self.0.len().min(self.1).min(buffer.remaining());
        buffer.put_slice(&self.0[..bytes]);
        self.0 = &self.0[bytes..];
        Poll::Ready(Ok(()))
    }
}

/// What the crate gets of `bytes`, the preface included, that come in pieces of at most `piece`;
/// nothing where they are too much of something.
pub fn pass(bytes: &[u8], piece: usize) -> Option<Vec<u8>> {
    let watch = Arc::default();
    let mut inbound = Inbound::new(Bytes::new(), 36 << 10, Arc::clone(&watch));
    let (mut pieces, mut got) = (Pieces(bytes, piece), Vec::new());
    let mut room = [0; 8192];
    loop {
        let mut buffer = ReadBuf::new(&mut room);
        let mut cx = Context::from_waker(Waker::noop());
        let read = inbound.poll_read(&mut cx, &mut pieces, &mut buffer);
        if read.is_pending() || watch.ended().is_some() {
            return None;
        }
        if buffer.filled().is_empty() {
            return Some(got);
        }
        got.extend_from_slice(buffer.filled());
    }
}
