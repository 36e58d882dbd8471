//! One direction of a tunnel: bytes from one side to the other, until that side ends or until this
//! direction is to stop between two frames.
//!
//! What is read is written at once from the stack; only what the other side does not take is kept.
//! So a tunnel in which nothing passes owns no buffer.

use std::{
    io,
    mem::MaybeUninit,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    activity::{Activity, Side},
    frames::{Frames, Passage},
};

/// How much is carried at once, in bytes.
const PIECE_BYTES: usize = 16 * 1024;

/// One direction.
pub(super) struct Half {
    from: Side,
    to: Side,
    frames: Frames,
    /// What was read and not taken by the other side yet.
    kept: Bytes,
    /// How much of what is kept ends with a frame; none when a frame has begun to be written whose
    /// end is not among it.
    whole: Option<usize>,
    until: Until,
    /// Whether something was written since the last flush.
    flush_due: bool,
}

/// How long a direction goes on.
enum Until {
    /// Until its side ends.
    End,
    /// Until a frame has ended; then these are the last words.
    Boundary(Bytes),
    /// Until a close frame begins, which these replace.
    Close(Bytes),
    /// The last words are being written.
    Said,
    /// Its side has ended, which is to be passed on.
    Ended,
    Done,
}

// === impl Half ===

impl Half {
    /// The direction from one side to the other; `early` has come already and goes first.
    pub(super) fn new(from: Side, early: Bytes, activity: &Activity) -> Self {
        let to = match from {
            Side::Client => Side::Upstream,
            Side::Upstream => Side::Client,
        };
        let mut frames = Frames::default();
        let whole = frames.pass(&early).boundary;
        if !early.is_empty() {
            activity.passed(from, early.len());
        }
        Self { from, to, frames, kept: early, whole, until: Until::End, flush_due: false }
    }

    /// Whether its side has begun to close.
    pub(super) fn is_closing(&self) -> bool {
        self.frames.is_closing()
    }

    /// Whether its side has ended.
    pub(super) fn has_ended(&self) -> bool {
        matches!(self.until, Until::Ended | Until::Done)
    }

    /// Stops at the end of a frame, the next there is, with `last_words`.
    pub(super) fn stop_between(&mut self, last_words: Bytes) {
        if !matches!(self.until, Until::End | Until::Close(_)) {
            return;
        }
        match self.whole {
            Some(whole) if !self.kept.is_empty() => {
                self.kept.truncate(whole);
                self.say(last_words);
            }
            _ if self.kept.is_empty() && self.frames.is_between() => self.say(last_words),
            _ => self.until = Until::Boundary(last_words),
        }
    }

    /// Stops where its side begins a close frame, with `last_words` in its place.
    pub(super) fn stop_at_close(&mut self, last_words: Bytes) {
        if matches!(self.until, Until::End) {
            self.until = Until::Close(last_words);
        }
    }

    /// Carries on. Ready once the end of its side was passed on, or its last words were said; then
    /// it need not be polled again, and may be.
    pub(super) fn poll_carry(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut impl AsyncRead>,
        mut to: Pin<&mut impl AsyncWrite>,
        activity: &Activity,
    ) -> Poll<io::Result<()>> {
        loop {
            let written = ready!(self.poll_write(cx, to.as_mut()));
            written.inspect_err(|_| activity.ended(self.to))?;
            match self.until {
                Until::End | Until::Boundary(_) | Until::Close(_) => {}
                Until::Said => {
                    ready!(to.as_mut().poll_flush(cx)).inspect_err(|_| activity.ended(self.to))?;
                    self.until = Until::Done;
                }
                Until::Ended => {
                    ready!(to.as_mut().poll_shutdown(cx))
                        .inspect_err(|_| activity.ended(self.to))?;
                    self.until = Until::Done;
                }
                Until::Done => return Poll::Ready(Ok(())),
            }
            if matches!(self.until, Until::Done) {
                continue;
            }
            let mut piece = [const { MaybeUninit::uninit() }; PIECE_BYTES];
            let mut piece = ReadBuf::uninit(&mut piece);
            let Poll::Ready(read) = from.as_mut().poll_read(cx, &mut piece) else {
                if self.flush_due {
                    ready!(to.as_mut().poll_flush(cx)).inspect_err(|_| activity.ended(self.to))?;
                    self.flush_due = false;
                }
                return Poll::Pending;
            };
            read.inspect_err(|_| activity.ended(self.from))?;
            if piece.filled().is_empty() {
                activity.ended(self.from);
                self.until = Until::Ended;
                continue;
            }
            activity.passed(self.from, piece.filled().len());
            self.send(cx, piece.filled(), to.as_mut()).inspect_err(|_| activity.ended(self.to))?;
        }
    }

    /// Writes what the other side takes of `piece`, and keeps the rest.
    fn send(
        &mut self,
        cx: &mut Context<'_>,
        mut piece: &[u8],
        to: Pin<&mut impl AsyncWrite>,
    ) -> io::Result<()> {
        let Passage { boundary, close } = self.frames.pass(piece);
        let stop = match &self.until {
            Until::Boundary(_) => boundary,
            Until::Close(_) => close,
            Until::End | Until::Said | Until::Ended | Until::Done => None,
        };
        self.whole = boundary;
        if let Some(stop) = stop {
            piece = &piece[..stop];
        } else if let Poll::Ready(written) = to.poll_write(cx, piece) {
            let written = written?;
            self.flush_due = true;
            self.has_written(written)?;
            piece = &piece[written..];
        }
        if !piece.is_empty() {
            self.kept = Bytes::copy_from_slice(piece);
        }
        if stop.is_some()
            && let Until::Boundary(last_words) | Until::Close(last_words) =
                std::mem::replace(&mut self.until, Until::Said)
        {
            self.say(last_words);
        }
        Ok(())
    }

    /// Writes what is kept.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        mut to: Pin<&mut impl AsyncWrite>,
    ) -> Poll<io::Result<()>> {
        while !self.kept.is_empty() {
            let written = ready!(to.as_mut().poll_write(cx, &self.kept))?;
            self.flush_due = true;
            self.has_written(written)?;
            self.kept.advance(written);
        }
        // The buffer behind it goes too.
        self.kept = Bytes::new();
        Poll::Ready(Ok(()))
    }

    fn has_written(&mut self, bytes: usize) -> io::Result<()> {
        if bytes == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.whole = self.whole.and_then(|whole| whole.checked_sub(bytes));
        Ok(())
    }

    /// Puts `last_words` behind what is kept, and stops.
    fn say(&mut self, last_words: Bytes) {
        self.kept = if self.kept.is_empty() {
            last_words
        } else {
            [&self.kept[..], &last_words[..]].concat().into()
        };
        self.until = Until::Said;
    }
}
