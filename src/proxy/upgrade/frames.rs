//! Where frames begin and end in one direction of a WebSocket (RFC 6455 §5.2).
//!
//! Only heads are looked at; payloads are skipped by their length, so that following a tunnel costs
//! a few instructions for each frame and nothing for each byte. What is no frame at all is followed
//! as if it were one: then no end is ever found where one was, and nothing worse happens.

/// The opcode of a close frame.
const CLOSE: u8 = 0x8;

/// Follows the frames of one direction.
#[derive(Debug, Default)]
pub(super) struct Frames {
    /// Bytes of the payload that are still to come.
    payload: u64,
    /// Bytes of a head that has begun.
    head: Head,
    /// Whether a close frame has begun.
    closing: bool,
}

/// What passed in one piece, in offsets from its beginning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passage {
    /// Behind the last frame that ended.
    pub(super) boundary: Option<usize>,
    /// Where the first close frame began.
    pub(super) close: Option<usize>,
}

/// A head that has not come whole.
#[derive(Debug, Default)]
struct Head {
    /// How many bytes have come.
    seen: u8,
    /// How many it has: known from its second byte on.
    size: u8,
    /// How many of them are the length behind the second byte.
    length_size: u8,
    length: u64,
}

// === impl Frames ===

impl Frames {
    /// Follows `bytes`, which come next.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Passage {
        let mut passage = Passage::default();
        let mut at = 0;
        while at < bytes.len() {
            if self.payload > 0 {
                let left = (bytes.len() - at) as u64;
                let skipped = self.payload.min(left);
                self.payload -= skipped;
                at += skipped as usize;
            } else {
                if self.head.seen == 0 && bytes[at] & 0x0f == CLOSE && !self.closing {
                    self.closing = true;
                    passage.close = Some(at);
                }
                let Some(payload) = self.head.take(bytes[at]) else {
                    at += 1;
                    continue;
                };
                self.payload = payload;
                at += 1;
            }
            if self.payload == 0 {
                passage.boundary = Some(at);
            }
        }
        passage
    }

    /// Whether the last frame has ended and the next has not begun.
    pub(super) fn is_between(&self) -> bool {
        self.payload == 0 && self.head.seen == 0
    }

    /// Whether a close frame has begun: this side says nothing more.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }
}

// === impl Head ===

impl Head {
    /// Takes the next byte of the head; the length of the payload when it was the last one.
    fn take(&mut self, byte: u8) -> Option<u64> {
        match self.seen {
            0 => {}
            1 => {
                self.length_size = match byte & 0x7f {
                    126 => 2,
                    127 => 8,
                    short => {
                        self.length = u64::from(short);
                        0
                    }
                };
                let mask_size = if byte & 0x80 == 0 { 0 } else { 4 };
                self.size = 2 + self.length_size + mask_size;
            }
            seen if seen < 2 + self.length_size => self.length = self.length << 8 | u64::from(byte),
            _mask => {}
        }
        self.seen += 1;
        if self.seen < 2 || self.seen < self.size {
            return None;
        }
        Some(std::mem::take(self).length)
    }
}

/// A close frame without a mask, as a server sends it.
pub(super) fn close_from_server(code: u16) -> [u8; 4] {
    let [high, low] = code.to_be_bytes();
    [0x80 | CLOSE, 2, high, low]
}

/// A close frame with a mask, as a client sends it.
pub(super) fn close_from_client(code: u16, mask: u32) -> [u8; 8] {
    let ([high, low], [a, b, c, d]) = (code.to_be_bytes(), mask.to_be_bytes());
    [0x80 | CLOSE, 0x80 | 2, a, b, c, d, high ^ a, low ^ b]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TEXT: u8 = 0x1;

    fn frame(opcode: u8, payload: usize, masked: bool) -> Vec<u8> {
        let bit = if masked { 0x80 } else { 0 };
        let mut frame = vec![0x80 | opcode];
        match payload {
            0..126 => frame.push(bit | payload as u8),
            126..65536 => {
                frame.push(bit | 126);
                frame.extend((payload as u16).to_be_bytes());
            }
            _ => {
                frame.push(bit | 127);
                frame.extend((payload as u64).to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(0x88, payload + if masked { 4 } else { 0 }));
        frame
    }

    #[test]
    fn whole_frames_end_where_they_end() {
        for payload in [0, 1, 125, 126, 127, 65535, 65536, 70000] {
            for masked in [false, true] {
                let frame = frame(TEXT, payload, masked);
                let mut frames = Frames::default();
                let passage = frames.pass(&frame);
                assert_eq!(passage, Passage { boundary: Some(frame.len()), close: None });
                assert!(frames.is_between() && !frames.is_closing());
                let mut frames = Frames::default();
                assert_eq!(frames.pass(&frame[..frame.len() - 1]), Passage::default());
                assert!(!frames.is_between());
            }
        }
    }

    #[test]
    fn a_close_is_seen_by_its_first_byte_and_only_where_a_frame_begins() {
        let mut frames = Frames::default();
        let text = frame(TEXT, 3, true);
        let passage = frames.pass(&[&text[..], &[0x88]].concat());
        assert_eq!(passage, Passage { boundary: Some(text.len()), close: Some(text.len()) });
        assert!(frames.is_closing() && !frames.is_between());
    }

    #[test]
    fn a_close_of_ours_is_a_whole_frame() {
        assert_eq!(close_from_server(1012), [0x88, 2, 0x03, 0xf4]);
        let [first, second, a, b, c, d, high, low] = close_from_client(1001, 0x01fe_0304);
        assert_eq!([first, second, a, b, c, d], [0x88, 0x82, 1, 0xfe, 3, 4]);
        assert_eq!([high ^ a, low ^ b], 1001_u16.to_be_bytes());
    }

    #[test]
    fn a_length_beyond_all_bounds_is_only_a_frame_that_does_not_end() {
        let mut frames = Frames::default();
        let head = [0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
        assert_eq!(frames.pass(&head), Passage::default());
        assert_eq!(frames.pass(&[0; 4096]), Passage::default());
    }

    proptest! {
        /// However the bytes are cut into pieces, the frames end at the same places.
        #[test]
        fn pieces_do_not_matter(
            sizes in prop::collection::vec((0_usize..70_000, any::<bool>()), 1..6),
            cuts in prop::collection::vec(1_usize..5000, 1..40),
        ) {
            let mut bytes = Vec::new();
            let mut ends = Vec::new();
            for (size, masked) in sizes {
                bytes.extend(frame(TEXT, size, masked));
                ends.push(bytes.len());
            }
            let mut frames = Frames::default();
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while at < bytes.len() {
                let end = bytes.len().min(at + cuts.next().expect("a cycle"));
                let last = ends.iter().rfind(|last| (at + 1..=end).contains(*last));
                prop_assert_eq!(frames.pass(&bytes[at..end]).boundary, last.map(|last| last - at));
                prop_assert_eq!(frames.is_between(), ends.contains(&end));
                at = end;
            }
        }

        #[test]
        fn nothing_panics(pieces in prop::collection::vec(any::<Vec<u8>>(), 0..20)) {
            let mut frames = Frames::default();
            for piece in pieces {
                let Passage { boundary, close } = frames.pass(&piece);
                prop_assert!(boundary.is_none_or(|at| at <= piece.len()));
                prop_assert!(close.is_none_or(|at| at < piece.len()));
            }
        }
    }
}
