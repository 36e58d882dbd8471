//! Frames as they come in, by their headers alone.
//!
//! The `h2` crate sees every frame whole, or not at all; what it does not count and what has not
//! come whole yet can only be seen beneath it. Nothing here looks into a frame.

/// What stands before the first frame of a client (RFC 9113 §3.4).
pub(in crate::edge) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const HEADER_BYTES: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

const END_HEADERS: u8 = 0x4;

/// What a frame is to who counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// Bytes of a body, so many with their padding.
    Data(u32),
    /// The head of a request that had not begun before.
    Opens,
    /// More of a head, or fields after a body.
    Fields,
    /// The client takes a request back.
    Reset,
    /// Room for more of an answer.
    Room,
    /// Any other: it speaks about the connection, or nobody knows what it says.
    Control,
}

/// Cuts what comes in into frames.
#[derive(Debug)]
pub(super) struct Frames {
    /// Of the preface or a payload: what is still to come.
    left: u32,
    header: [u8; HEADER_BYTES],
    header_has: usize,
    kind: Option<u8>,
    /// Whether a head has begun whose last frame has not come.
    head_open: bool,
    newest: u32,
    /// How many things have begun that should come at once.
    begun: u64,
}

// === impl Frames ===

impl Frames {
    /// Nothing has come yet, not even the preface.
    pub(super) fn new() -> Self {
        Self {
            left: PREFACE.len() as u32,
            header: [0; HEADER_BYTES],
            header_has: 0,
            kind: None,
            head_open: false,
            newest: 0,
            begun: 0,
        }
    }

    /// Which of all that should come at once is being waited for: a number that only grows.
    pub(super) fn begun(&self) -> u64 {
        self.begun
    }

    /// Whether something has begun that should come at once: the preface, a head, or any frame
    /// but one of a body.
    pub(super) fn is_within(&self) -> bool {
        let payload = self.left > 0 && self.kind != Some(DATA);
        self.head_open || self.header_has > 0 || payload
    }

    /// The next frame whose header is whole within `bytes`, which lose what was looked at; `None`
    /// when all of them have been.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        let passed = (self.left as usize).min(bytes.len());
        self.left -= passed as u32;
        *bytes = &bytes[passed..];
        let here = (HEADER_BYTES - self.header_has).min(bytes.len());
        self.begun += u64::from(here > 0 && self.header_has == 0 && !self.head_open);
        self.header[self.header_has..self.header_has + here].copy_from_slice(&bytes[..here]);
        self.header_has += here;
        *bytes = &bytes[here..];
        if self.header_has < HEADER_BYTES {
            return None;
        }
        self.header_has = 0;
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = self.header;
        self.left = u32::from_be_bytes([0, l0, l1, l2]);
        self.kind = Some(kind);
        let stream = u32::from_be_bytes([s0, s1, s2, s3]) & !(1 << 31);
        Some(self.judge(kind, flags, stream))
    }

    /// Bytes of bodies among those that come next.
    pub(super) fn of_body(&self, bytes: &[u8]) -> usize {
        if self.kind == Some(DATA) { (self.left as usize).min(bytes.len()) } else { 0 }
    }

    fn judge(&mut self, kind: u8, flags: u8, stream: u32) -> Frame {
        match kind {
            DATA => Frame::Data(self.left),
            HEADERS => {
                self.head_open = flags & END_HEADERS == 0;
                if stream > self.newest {
                    self.newest = stream;
                    return Frame::Opens;
                }
                Frame::Fields
            }
            CONTINUATION => {
                self.head_open &= flags & END_HEADERS == 0;
                Frame::Fields
            }
            RST_STREAM => Frame::Reset,
            WINDOW_UPDATE => Frame::Room,
            _ => Frame::Control,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u32, payload: usize) -> Vec<u8> {
        let length = (payload as u32).to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.resize(bytes.len() + payload, 0);
        bytes
    }

    fn see(frames: &mut Frames, piece: &[u8]) -> Vec<Frame> {
        let mut rest = piece;
        std::iter::from_fn(|| frames.next(&mut rest)).collect()
    }

    #[test]
    fn frames_are_the_same_however_the_bytes_arrive() {
        let bytes = [
            PREFACE.to_vec(),
            frame(4, 0, 0, 18),
            frame(1, 0, 1, 40),
            frame(9, 4, 1, 10),
            frame(0, 1, 1, 3000),
            frame(1, 5, 1, 4),
            frame(8, 0, 0, 4),
            frame(1, 5, 3, 4),
            frame(3, 0, 3, 4),
            frame(0x77, 0, 0, 0),
        ]
        .concat();
        let expected = [
            Frame::Control,
            Frame::Opens,
            Frame::Fields,
            Frame::Data(3000),
            Frame::Fields,
            Frame::Room,
            Frame::Opens,
            Frame::Reset,
            Frame::Control,
        ];
        for step in [1, 2, 7, 100, bytes.len()] {
            let mut frames = Frames::new();
            let seen: Vec<_> =
                bytes.chunks(step).flat_map(|piece| see(&mut frames, piece)).collect();
            assert_eq!(seen, expected, "in steps of {step}");
            assert!(!frames.is_within());
        }
    }

    #[test]
    fn what_has_begun_and_is_no_body_is_waited_for() {
        let mut frames = Frames::new();
        assert!(frames.is_within(), "the preface has to come");
        see(&mut frames, PREFACE);
        assert!(!frames.is_within());
        see(&mut frames, &frame(0, 0, 1, 10)[..12]);
        assert!(!frames.is_within(), "a body has a pace of its own");
        see(&mut frames, &[0; 7]);
        see(&mut frames, &frame(1, 0, 3, 10)[..4]);
        assert!(frames.is_within(), "half of a frame's header");
        see(&mut frames, &frame(1, 0, 3, 10)[4..]);
        assert!(frames.is_within(), "a head that goes on");
        see(&mut frames, &frame(9, 4, 3, 10)[..15]);
        assert!(frames.is_within(), "its last frame is not whole");
        see(&mut frames, &[0; 4]);
        assert!(!frames.is_within());
    }
}
