//! What comes in from a client, on its way to the `h2` crate: counted, and its heads [looked
//! at](Blocks).
//!
//! Almost all of it goes on as it stands in the room that it was read to. What begins a frame's
//! header, or a head, and has not come whole is held back until it has, and so is a head that needs
//! mending. What is held is bounded by what the crate takes of one head.
//!
//! Invariant: bytes are held back only while more are waited for, or the crate has yet to take what
//! is ready; at the client's end it gets them as they are.

mod held;

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::Instant,
};

use crate::meters::Http2End;

use super::{
    FRAME_BYTES_MAX,
    blocks::{Blocks, Broken, Found, Of},
    frames::{Frame, Frames, HEADER_BYTES, Header},
    patience::{Flood, Patience},
    wire::Watch,
};
use held::Held;

/// What is read at once while something is held back.
const ROOM_BYTES: usize = 4096;

/// One client's bytes.
pub(super) struct Inbound {
    /// What was read before it was known to be HTTP/2.
    early: Bytes,
    watch: Arc<Watch>,
    patience: Patience,
    frames: Frames,
    blocks: Blocks,
    /// Whether heads are looked at still. They are not once the crate must have ended the
    /// connection, for a reason that is found here as well.
    follows: bool,
    /// Frames that have been counted of what has begun and is not passed yet.
    counted: usize,
    /// What the block is that the last of them began.
    of: Of,
    /// Frames that a head may have between its first and its last.
    continued_max: usize,
    held: Option<Held>,
    ended: bool,
}

/// Why no more of what was read can go on as it is.
enum Stop {
    /// All of it can.
    Through,
    /// It begins something that is not whole.
    Part,
    /// It begins a head in several frames.
    Split,
    /// It begins with a whole frame, in whose block something malformed stands there.
    Malformed(usize),
    /// The connection must end.
    Flood,
}

// === impl Inbound ===

impl Inbound {
    /// Nothing has been looked at, and `early` has been read; the crate takes heads of
    /// `list_bytes_max`.
    pub(super) fn new(early: Bytes, list_bytes_max: usize, watch: Arc<Watch>) -> Self {
        // As the crate has it: so many full frames and a quarter, or a few.
        let full = (list_bytes_max / FRAME_BYTES_MAX as usize).max(1);
        Self {
            early,
            watch,
            patience: Patience::new(Instant::now().into_std()),
            frames: Frames::new(),
            blocks: Blocks::new(),
            follows: true,
            counted: 0,
            of: Of::Head,
            continued_max: (full + full / 4).max(5),
            held: None,
            ended: false,
        }
    }

    /// Whether the client has ended its side.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Which of all that should come at once is being waited for, if any is: a number that only
    /// grows. A connection that should have ended by now is one thing.
    pub(super) fn awaited(&self) -> Option<u64> {
        if self.follows { self.frames.awaited() } else { Some(u64::MAX) }
    }

    /// So many bytes went out.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.patience.sent(bytes);
    }

    /// Reads for the crate. Pending without a waker once the [`Watch`] says that the connection
    /// must end.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        while self.held.is_none() {
            ready!(self.poll_take(cx, stream, buffer))?;
            let read = &buffer.filled()[before..];
            let (passed, stop) = self.look(read);
            if !matches!(stop, Stop::Through | Stop::Flood) {
                let mut held = Held::default();
                held.pending.extend_from_slice(&read[passed..]);
                self.settle(&mut held, Some(stop));
                self.held = Some(held);
            }
            if self.watch.ended().is_some() {
                buffer.set_filled(before);
                return Poll::Pending;
            }
            if passed > 0 || self.ended {
                buffer.set_filled(before + passed);
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
        self.poll_held(cx, stream, buffer)
    }

    fn poll_held(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(mut held) = self.held.take() else { return Poll::Ready(Ok(())) };
        while !held.give(buffer) {
            let mut room = [0; ROOM_BYTES];
            let mut read = ReadBuf::new(&mut room);
            let taken = self.poll_take(cx, stream, &mut read);
            if !matches!(taken, Poll::Ready(Ok(()))) {
                self.held = Some(held);
                return taken;
            }
            held.pending.extend_from_slice(read.filled());
            if self.ended {
                held.release();
                held.give(buffer);
                break;
            }
            self.settle(&mut held, None);
            if self.watch.ended().is_some() {
                return Poll::Pending;
            }
        }
        if !held.is_empty() {
            self.held = Some(held);
        }
        Poll::Ready(Ok(()))
    }

    /// Reads what comes next.
    #[inline(always)]
    fn poll_take(
        &mut self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncRead + Unpin),
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if self.early.is_empty() {
            ready!(Pin::new(stream).poll_read(cx, buffer))?;
        } else {
            let bytes = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early[..bytes]);
            self.early.advance(bytes);
            if self.early.is_empty() {
                // What is empty may still hold on to the memory that it is a part of.
                self.early = Bytes::new();
            }
        }
        let read = buffer.filled().len() - before;
        self.ended = read == 0;
        Watch::add(&self.watch.read, read as u64);
        Poll::Ready(Ok(()))
    }

    /// How much of `bytes` may go on as it is, and why no more.
    fn look(&mut self, bytes: &[u8]) -> (usize, Stop) {
        let mut at = 0;
        loop {
            let of_body = self.frames.of_body(&bytes[at..]);
            if of_body > 0 {
                Watch::add(&self.watch.of_bodies, of_body as u64);
            }
            at += self.frames.pass(&bytes[at..]);
            let rest = &bytes[at..];
            if rest.is_empty() {
                return (at, Stop::Through);
            }
            self.frames.begin();
            let Some(header) = Header::read(rest) else { return (at, Stop::Part) };
            if self.counted == 0 && !self.count(&header) {
                return (at, Stop::Flood);
            }
            if self.follows && header.has_fields() {
                match self.look_at_head(&header, rest) {
                    Ok(Stop::Through) => {
                        at += header.bytes();
                        self.pass();
                        continue;
                    }
                    Ok(stop) => return (at, stop),
                    Err(Broken) => self.follows = false,
                }
            }
            at += HEADER_BYTES;
            self.pass();
            self.frames.enter(&header);
        }
    }

    /// Looks at the head that `bytes` begin with.
    fn look_at_head(&mut self, header: &Header, bytes: &[u8]) -> Result<Stop, Broken> {
        if !header.may_begin_block(FRAME_BYTES_MAX) {
            return Err(Broken);
        }
        if !header.ends_block() {
            return Ok(Stop::Split);
        }
        let Some(payload) = header.payload(bytes) else { return Ok(Stop::Part) };
        let fragment = header.fragment(payload).ok_or(Broken)?;
        if header.is_circular(&fragment) {
            // The crate would refuse the message without having unpacked it.
            return Ok(Stop::Malformed(0));
        }
        Ok(match self.blocks.look(fragment.bytes, self.of)? {
            Found::Clean => Stop::Through,
            Found::Malformed(at) => Stop::Malformed(at),
        })
    }

    /// Counts a frame; `false` when it was one too many.
    fn count(&mut self, header: &Header) -> bool {
        self.counted += 1;
        let frame = self.frames.judge(header);
        if frame == Frame::Opens {
            Watch::add(&self.watch.opened, 1);
        }
        if self.counted == 1 {
            self.of = if frame == Frame::Opens { Of::Head } else { Of::Trailers };
        }
        let flood = self.patience.count(frame, || Instant::now().into_std());
        if let Err(flood) = flood {
            self.watch.end(match flood {
                Flood::Resets => Http2End::Resets,
                Flood::Control => Http2End::ControlFrames,
                Flood::Room => Http2End::WindowUpdates,
            });
        }
        flood.is_ok()
    }

    /// What has begun is passed.
    fn pass(&mut self) {
        self.counted = 0;
        self.frames.leave();
    }
}

#[cfg(test)]
mod tests;
