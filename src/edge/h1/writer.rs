//! The writing side of a connection: what is to go out, gathered into few writes.

use std::{
    collections::VecDeque,
    io::{self, IoSlice},
    mem,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::time::Instant;

use crate::{
    deadline::{Deadline, Wheel},
    fault::Fault,
};

use super::{super::Stream, buffer};

/// Parts up to this size are copied behind each other; larger ones are written where they lie.
const COPIED_BYTES_MAX: usize = 2 * 1024;

/// The most parts of one write.
const SLICES_MAX: usize = 16;

/// So much waits at most before it is written.
const WAITING_BYTES_MAX: usize = 128 * 1024;

/// What is to go out on a connection.
pub(super) struct Writer<'c> {
    stream: &'c Stream,
    wheel: &'c Wheel,
    write_wait: Duration,
    /// Goes first.
    parts: VecDeque<Bytes>,
    /// Goes last.
    pub(super) text: BytesMut,
    waiting_bytes: usize,
    stalled: Option<Deadline>,
}

// === impl Writer ===

impl<'c> Writer<'c> {
    /// The writing side of `stream`, whose client may pause for `write_wait`.
    pub(super) fn new(stream: &'c Stream, wheel: &'c Wheel, write_wait: Duration) -> Self {
        let (parts, text) = (VecDeque::new(), BytesMut::new());
        Self { stream, wheel, write_wait, parts, text, waiting_bytes: 0, stalled: None }
    }

    /// Where the head of an answer is laid. It has no buffer before: a request that waits for a
    /// slot or for its answer should not hold one.
    pub(super) fn open(&mut self) -> &mut BytesMut {
        if self.text.capacity() == 0 {
            self.text = buffer::take();
        }
        &mut self.text
    }

    /// Appends a part.
    pub(super) fn push(&mut self, part: Bytes) {
        if part.len() <= COPIED_BYTES_MAX {
            self.text.extend_from_slice(&part);
            return;
        }
        if !self.text.is_empty() {
            let text = self.text.split().freeze();
            self.waiting_bytes += text.len();
            self.parts.push_back(text);
        }
        self.waiting_bytes += part.len();
        self.parts.push_back(part);
    }

    /// Whether it is time to write rather than to gather more.
    pub(super) fn is_full(&self) -> bool {
        self.parts.len() + 2 > SLICES_MAX
            || self.waiting_bytes + self.text.len() >= WAITING_BYTES_MAX
    }

    /// Writes all there is. It fails when the client has left, or takes nothing for too long.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            let done = if self.stream.is_waiting() {
                self.stream.flush().map(|_| 0)
            } else if self.parts.is_empty() && self.text.is_empty() {
                return Poll::Ready(Ok(()));
            } else {
                self.write().and_then(|written| match written {
                    0 => Err(io::ErrorKind::WriteZero.into()),
                    written => Ok(written),
                })
            };
            match done {
                Ok(written) => {
                    self.advance(written);
                    self.stalled = None;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.stream.poll_write_ready(cx).is_pending() {
                        ready!(self.poll_stalled(cx));
                        return Poll::Ready(Err(Fault::ClientStalled));
                    }
                }
                Err(_) => return Poll::Ready(Err(Fault::ClientLeft)),
            }
        }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (wheel, wait) = (self.wheel, self.write_wait);
        let stalled = self.stalled.get_or_insert_with(|| wheel.at(Instant::now() + wait));
        Pin::new(stalled).poll(cx)
    }

    /// Writes once.
    fn write(&self) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); SLICES_MAX];
        let mut count = 0;
        let parts = self.parts.iter().map(|part| &part[..]).take(SLICES_MAX - 1);
        let text =
            (self.parts.len() < SLICES_MAX && !self.text.is_empty()).then_some(&self.text[..]);
        for part in parts.chain(text) {
            slices[count] = IoSlice::new(part);
            count += 1;
        }
        self.stream.write(&slices[..count])
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(part) = self.parts.front_mut() {
            let here = written.min(part.len());
            part.advance(here);
            written -= here;
            self.waiting_bytes -= here;
            if !part.is_empty() {
                return;
            }
            self.parts.pop_front();
        }
        self.text.advance(written);
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        self.parts.clear();
        buffer::give(mem::take(&mut self.text));
    }
}
