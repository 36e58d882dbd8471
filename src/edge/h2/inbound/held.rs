//! What is held back, until it is whole or mended.

use bytes::{Buf, BytesMut};
use tokio::io::ReadBuf;

use super::{Inbound, Stop};
use crate::edge::h2::{
    FRAME_BYTES_MAX,
    blocks::{Broken, Found},
    frames::Header,
};

/// What is held back.
#[derive(Default)]
pub(super) struct Held {
    /// From a frame's beginning on.
    pub(super) pending: BytesMut,
    /// What the crate is to have before anything else.
    ready: Vec<u8>,
    given: usize,
}

// === impl Inbound ===

impl Inbound {
    /// Makes ready what can go on of what is held. `stop` is why its beginning cannot, where that
    /// is known.
    pub(super) fn settle(&mut self, held: &mut Held, mut stop: Option<Stop>) {
        loop {
            let stop = stop.take().unwrap_or_else(|| {
                let (passed, stop) = self.look(&held.pending);
                held.ready.extend_from_slice(&held.pending.split_to(passed));
                stop
            });
            let rewritten = match stop {
                Stop::Through | Stop::Part | Stop::Flood => return,
                Stop::Malformed(from) => self.mend(held, from),
                Stop::Split => match self.whole_block(&held.pending) {
                    Ok(Some(bytes)) => self.join(held, bytes),
                    Ok(None) => return,
                    Err(Broken) => Err(Broken),
                },
            };
            match rewritten {
                Ok(bytes) => {
                    held.pending.advance(bytes);
                    self.pass();
                }
                Err(Broken) => self.follows = false,
            }
        }
    }

    /// Mends the frame that is held, in whose block something malformed stands at `from`.
    fn mend(&mut self, held: &mut Held, from: usize) -> Result<usize, Broken> {
        let header = Header::read(&held.pending).ok_or(Broken)?;
        let fragment = header.payload(&held.pending).and_then(|bytes| header.fragment(bytes));
        let block = self.blocks.mend(fragment.ok_or(Broken)?.bytes, from, self.of)?;
        header.write_block(&block, FRAME_BYTES_MAX, &mut held.ready);
        Ok(header.bytes())
    }

    /// How many bytes the frames of the block have with which `bytes` begin, if it is whole.
    fn whole_block(&mut self, bytes: &[u8]) -> Result<Option<usize>, Broken> {
        let (mut first, mut at) = (None, 0);
        for n in 0.. {
            let Some(header) = Header::read(&bytes[at..]) else { return Ok(None) };
            let first = first.get_or_insert(header);
            if n > 0 && !header.may_continue(first, FRAME_BYTES_MAX) {
                return Err(Broken);
            }
            if n >= self.counted && !self.count(&header) {
                return Ok(None);
            }
            if n > self.continued_max && !header.ends_block() {
                return Err(Broken);
            }
            at += header.bytes();
            if at > bytes.len() {
                return Ok(None);
            }
            if header.ends_block() {
                break;
            }
        }
        Ok(Some(at))
    }

    /// Makes one frame, where it can be one, of the so many bytes of a head in several.
    fn join(&mut self, held: &mut Held, bytes: usize) -> Result<usize, Broken> {
        let frames = &held.pending[..bytes];
        let first = Header::read(frames).ok_or(Broken)?;
        let (mut block, mut rest, mut is_circular) = (Vec::with_capacity(bytes), frames, false);
        while let Some(header) = Header::read(rest) {
            let fragment = header.payload(rest).and_then(|bytes| header.fragment(bytes));
            let fragment = fragment.ok_or(Broken)?;
            is_circular |= header.is_circular(&fragment);
            block.extend_from_slice(fragment.bytes);
            rest = &rest[header.bytes()..];
        }
        let found =
            if is_circular { Found::Malformed(0) } else { self.blocks.look(&block, self.of)? };
        if let Found::Malformed(from) = found {
            block = self.blocks.mend(&block, from, self.of)?;
        }
        if found == Found::Clean && block.len() > FRAME_BYTES_MAX as usize {
            held.ready.extend_from_slice(frames);
        } else {
            first.write_block(&block, FRAME_BYTES_MAX, &mut held.ready);
        }
        Ok(bytes)
    }
}

// === impl Held ===

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.given == self.ready.len()
    }

    /// Gives what is ready, as far as there is room; `false` when there is nothing.
    pub(super) fn give(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let ready = &self.ready[self.given..];
        if ready.is_empty() {
            return false;
        }
        let bytes = ready.len().min(buffer.remaining());
        buffer.put_slice(&ready[..bytes]);
        self.given += bytes;
        if self.given == self.ready.len() {
            (self.ready, self.given) = (Vec::new(), 0);
        }
        true
    }

    /// Everything is ready as it is.
    pub(super) fn release(&mut self) {
        self.ready.extend_from_slice(&self.pending);
        self.pending.clear();
    }
}
