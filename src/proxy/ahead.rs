//! What has been read of an answer before its client took it.
//!
//! It exists only where a client does not take at once what the monolith says. It holds nothing
//! back: what is here goes first as soon as the client takes more.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::Frame;

use super::buffers::Share;
use crate::fault::Fault;

/// Pieces below this are copied behind each other: each costs more than it holds otherwise.
const COPIED_BYTES_MAX: usize = 2 * 1024;

/// So much of what is copied becomes one piece.
const GATHERED_BYTES: usize = 16 * 1024;

/// A part of an answer that its client is still to have, and how the answer ended.
#[derive(Debug)]
pub struct Ahead {
    pieces: VecDeque<Bytes>,
    /// Small pieces, behind all others.
    small: BytesMut,
    trailers: Option<HeaderMap>,
    /// Why there is no more.
    broke: Option<Fault>,
    share: Share,
    /// The most that is kept of one answer.
    bytes_max: u64,
}

// === impl Ahead ===

impl Ahead {
    /// Nothing yet, and at most `bytes_max`.
    pub fn new(share: Share, bytes_max: u64) -> Self {
        let pieces = VecDeque::new();
        Self { pieces, small: BytesMut::new(), trailers: None, broke: None, share, bytes_max }
    }

    /// Whether more may be read.
    pub fn has_room(&mut self) -> bool {
        self.share.bytes() < self.bytes_max && self.share.may_grow()
    }

    /// How much of a body is here, in bytes.
    pub fn bytes(&self) -> u64 {
        self.share.bytes()
    }

    /// Whether there is nothing here to be taken.
    pub fn is_empty(&self) -> bool {
        self.share.bytes() == 0 && self.trailers.is_none() && self.broke.is_none()
    }

    /// Keeps what was read last.
    pub fn keep(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                self.share.set(self.share.bytes() + data.len() as u64);
                if data.len() <= COPIED_BYTES_MAX {
                    self.small.extend_from_slice(&data);
                }
                if self.small.len() >= GATHERED_BYTES || data.len() > COPIED_BYTES_MAX {
                    self.end_small();
                }
                if data.len() > COPIED_BYTES_MAX {
                    self.pieces.push_back(data);
                }
            }
            Err(frame) => self.trailers = frame.into_trailers().ok(),
        }
    }

    /// Nothing more will come, because of `fault`.
    pub fn break_off(&mut self, fault: Fault) {
        self.broke = Some(fault);
    }

    /// What comes next, if it is here.
    pub fn take(&mut self) -> Option<Result<Frame<Bytes>, Fault>> {
        if self.pieces.is_empty() {
            self.end_small();
        }
        if let Some(piece) = self.pieces.pop_front() {
            self.share.set(self.share.bytes() - piece.len() as u64);
            return Some(Ok(Frame::data(piece)));
        }
        if let Some(trailers) = self.trailers.take() {
            return Some(Ok(Frame::trailers(trailers)));
        }
        self.broke.take().map(Err)
    }

    fn end_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(self.small.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::proxy::buffers::{Buffers, Kind};

    fn ahead(bytes_max: u64) -> (Arc<Buffers>, Ahead) {
        let buffers = Arc::new(Buffers::default());
        let share = buffers.share(Kind::Answer, 1 << 20);
        (buffers, Ahead::new(share, bytes_max))
    }

    fn data(length: usize, fill: u8) -> Frame<Bytes> {
        Frame::data(vec![fill; length].into())
    }

    #[test]
    fn all_comes_out_again_in_order_whatever_the_size_of_its_pieces() {
        let (buffers, mut ahead) = ahead(1 << 20);
        let lengths = [1, 5000, 2, 3, 9000, 2048, 2049, 7, 0, 100];
        let mut sent = Vec::new();
        for (fill, length) in (0..).zip(lengths) {
            ahead.keep(data(length, fill));
            sent.extend(std::iter::repeat_n(fill, length));
        }
        assert_eq!(buffers.bytes(), sent.len() as u64);
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", "7".parse().unwrap());
        ahead.keep(Frame::trailers(trailers.clone()));
        ahead.break_off(Fault::UpstreamBroke);
        let mut taken = Vec::new();
        while let Some(frame) = ahead.take() {
            match frame.map(Frame::into_data) {
                Ok(Ok(data)) => taken.extend_from_slice(&data),
                Ok(Err(frame)) => assert_eq!(frame.into_trailers().unwrap(), trailers),
                Err(fault) => assert_eq!(fault, Fault::UpstreamBroke),
            }
        }
        assert_eq!(taken, sent);
        assert!(ahead.is_empty());
        assert_eq!(buffers.bytes(), 0);
    }

    #[test]
    fn many_small_pieces_become_few() {
        let (_, mut ahead) = ahead(1 << 20);
        (0..100_000).for_each(|_| ahead.keep(data(1, b'x')));
        assert_eq!(ahead.pieces.len(), 100_000 / GATHERED_BYTES);
    }

    #[test]
    fn there_is_room_up_to_the_bound_of_one_and_of_all() {
        let (buffers, mut ahead) = ahead(10_000);
        assert!(ahead.has_room());
        ahead.keep(data(10_000, 1));
        assert!(!ahead.has_room());
        ahead.take();
        assert!(ahead.has_room());
        let mut others = buffers.share(Kind::Request, 1 << 20);
        others.set(1 << 20);
        assert!(!ahead.has_room());
        assert_eq!(buffers.shortages(), [("request", 0), ("answer", 1)]);
        drop(ahead);
        assert_eq!(buffers.bytes(), 1 << 20);
    }
}
