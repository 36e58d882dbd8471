//! What is still to come of an answer's body.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http_body::{Frame, SizeHint};

use super::{
    Flaw,
    head::{Framing, Head},
};
use crate::http1::chunked::{Decoder, Step, Trailers};

/// How much may come behind the last chunk.
const TRAILERS: Trailers = Trailers { bytes_max: 16 * 1024, fields_max: 100 };

/// What is still to come.
#[derive(Debug)]
pub(super) enum Rest {
    /// So many bytes.
    Length(u64),
    Chunked(Box<Chunks>),
    /// All until the connection ends.
    UntilClose,
}

/// What is still to come of a chunked body.
#[derive(Debug)]
pub(super) struct Chunks {
    decoder: Decoder,
    /// What was decoded together with the head.
    ahead: VecDeque<Frame<Bytes>>,
    ended: bool,
}

// === impl Rest ===

impl Rest {
    /// Of an answer that begins with `head`; a HEAD's has none, whatever it says.
    pub(super) fn of(head: &Head, head_only: bool) -> Result<Self, Flaw> {
        let framing = head.framing()?;
        let empty = matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        Ok(match framing {
            _ if empty || head_only => Rest::Length(0),
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => {
                let decoder = Decoder::new(TRAILERS);
                Rest::Chunked(Box::new(Chunks { decoder, ahead: VecDeque::new(), ended: false }))
            }
            Framing::UntilClose => Rest::UntilClose,
        })
    }

    /// Whether nothing is to come.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Rest::Length(left) => *left == 0,
            Rest::Chunked(chunks) => chunks.ended && chunks.ahead.is_empty(),
            Rest::UntilClose => false,
        }
    }

    /// Whether it is the connection's end that ends it.
    pub(super) fn ends_with_the_connection(&self) -> bool {
        matches!(self, Rest::UntilClose)
    }

    /// As far as it is known.
    pub(super) fn size_hint(&self) -> SizeHint {
        match self {
            Rest::Length(left) => SizeHint::with_exact(*left),
            Rest::Chunked(_) | Rest::UntilClose => SizeHint::default(),
        }
    }

    /// Decodes what of `buffer` is in chunks before anybody asks for it.
    pub(super) fn look_ahead(&mut self, buffer: &mut BytesMut) -> Result<(), Flaw> {
        let Rest::Chunked(chunks) = self else { return Ok(()) };
        while let Some(frame) = chunks.step(buffer)? {
            chunks.ahead.push_back(frame);
        }
        Ok(())
    }

    /// Takes the next frame off the front of `buffer`; `None` when that is all for now.
    pub(super) fn step(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Flaw> {
        let here = match self {
            Rest::Chunked(chunks) => match chunks.ahead.pop_front() {
                Some(frame) => return Ok(Some(frame)),
                None => return chunks.step(buffer),
            },
            Rest::Length(left) => {
                let here = (*left).min(buffer.len() as u64);
                *left -= here;
                here as usize
            }
            Rest::UntilClose => buffer.len(),
        };
        Ok((here > 0).then(|| Frame::data(buffer.split_to(here).freeze())))
    }
}

// === impl Chunks ===

impl Chunks {
    fn step(&mut self, buffer: &mut BytesMut) -> Result<Option<Frame<Bytes>>, Flaw> {
        loop {
            if self.ended {
                return Ok(None);
            }
            match self.decoder.step(buffer).map_err(|_| Flaw::Chunks)? {
                Step::Data(data) => return Ok(Some(Frame::data(data))),
                Step::Trailers(fields) => {
                    // The empty line that ends them is behind us.
                    self.ended = true;
                    return Ok(Some(Frame::trailers(fields)));
                }
                Step::End => self.ended = true,
                Step::More => return Ok(None),
            }
        }
    }
}
