//! Frames as they come in, by their headers, and what of them are fields.
//!
//! The `h2` crate sees every frame whole, or not at all; what it does not count and what has not
//! come whole yet can only be seen beneath it.

/// What stands before the first frame of a client (RFC 9113 §3.4).
pub(in crate::edge) const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What stands before the payload of a frame (RFC 9113 §4.1).
pub(super) const HEADER_BYTES: usize = 9;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const RST_STREAM: u8 = 0x3;
const PUSH_PROMISE: u8 = 0x5;
const WINDOW_UPDATE: u8 = 0x8;
const CONTINUATION: u8 = 0x9;

const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The bit of a stream's number that says nothing.
const RESERVED: u32 = 1 << 31;

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

/// What a frame says of itself before its payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    payload: u32,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// What a frame brings of a block of fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'p> {
    pub(super) bytes: &'p [u8],
    /// The stream behind which its own wants to be served.
    pub(super) depends_on: Option<u32>,
}

/// Follows what comes in from frame to frame.
#[derive(Debug)]
pub(super) struct Frames {
    /// Of the preface or a payload: what is still to come.
    left: u32,
    of_body: bool,
    newest: u32,
    /// How many things have begun that should come at once, and whether the last of them has not
    /// been passed yet.
    begun: u64,
    waiting: bool,
}

// === impl Header ===

impl Header {
    /// The header at the beginning of `bytes`, if it is whole.
    #[inline]
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = *bytes.first_chunk()?;
        let payload = u32::from_be_bytes([0, l0, l1, l2]);
        Some(Self {
            payload,
            kind,
            flags,
            stream: u32::from_be_bytes([s0, s1, s2, s3]) & !RESERVED,
        })
    }

    /// Whether fields stand in such a frame.
    pub(super) fn has_fields(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION | PUSH_PROMISE)
    }

    /// Whether a client may begin a block of fields with it, none of whose frames may be larger
    /// than `bytes_max`.
    pub(super) fn may_begin_block(&self, bytes_max: u32) -> bool {
        self.kind == HEADERS && self.stream != 0 && self.payload <= bytes_max
    }

    /// Whether it may go on with the block that `first` began.
    pub(super) fn may_continue(&self, first: &Self, bytes_max: u32) -> bool {
        self.kind == CONTINUATION && self.stream == first.stream && self.payload <= bytes_max
    }

    pub(super) fn ends_block(&self) -> bool {
        self.flags & END_HEADERS != 0
    }

    /// What follows the header in `bytes`, if it is whole.
    pub(super) fn payload<'b>(&self, bytes: &'b [u8]) -> Option<&'b [u8]> {
        bytes.get(HEADER_BYTES..self.bytes())
    }

    /// How many bytes the frame has.
    pub(super) fn bytes(&self) -> usize {
        HEADER_BYTES + self.payload as usize
    }

    /// What such a frame brings of a block in its `payload` (RFC 9113 §6.2, §6.10).
    #[inline]
    pub(super) fn fragment<'p>(&self, payload: &'p [u8]) -> Option<Fragment<'p>> {
        let has = |flag: u8| self.kind == HEADERS && self.flags & flag != 0;
        let (mut bytes, mut padding, mut depends_on) = (payload, 0, None);
        if has(PADDED) {
            let (&length, rest) = bytes.split_first()?;
            (padding, bytes) = (usize::from(length), rest);
        }
        if has(PRIORITY) {
            let (&[s0, s1, s2, s3, _weight], rest) = bytes.split_first_chunk()?;
            depends_on = Some(u32::from_be_bytes([s0, s1, s2, s3]) & !RESERVED);
            bytes = rest;
        }
        Some(Fragment { bytes: &bytes[..bytes.len().checked_sub(padding)?], depends_on })
    }

    /// Whether the stream wants to be served behind itself.
    pub(super) fn is_circular(&self, fragment: &Fragment<'_>) -> bool {
        fragment.depends_on == Some(self.stream)
    }

    /// Writes the block that begins with this frame, in as many frames of `bytes_max` as it takes.
    pub(super) fn write_block(&self, block: &[u8], bytes_max: u32, out: &mut Vec<u8>) {
        let (mut rest, mut kind, mut flags) = (block, HEADERS, self.flags & END_STREAM);
        loop {
            let (piece, more) = rest.split_at(rest.len().min(bytes_max as usize));
            flags |= if more.is_empty() { END_HEADERS } else { 0 };
            let [_, l0, l1, l2] = (piece.len() as u32).to_be_bytes();
            out.extend_from_slice(&[l0, l1, l2, kind, flags]);
            out.extend_from_slice(&self.stream.to_be_bytes());
            out.extend_from_slice(piece);
            if more.is_empty() {
                return;
            }
            (rest, kind, flags) = (more, CONTINUATION, 0);
        }
    }
}

// === impl Frames ===

impl Frames {
    /// Nothing has come yet, not even the preface.
    pub(super) fn new() -> Self {
        let left = PREFACE.len() as u32;
        Self { left, of_body: false, newest: 0, begun: 0, waiting: false }
    }

    /// Which of all that should come at once is being waited for, if any is: a number that only
    /// grows. It is the preface, a head, or any frame but one of a body.
    pub(super) fn awaited(&self) -> Option<u64> {
        (self.waiting || self.left > 0 && !self.of_body).then_some(self.begun)
    }

    /// Passes what of `bytes` belongs to the preface or a payload; how much that is.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let passed = (self.left as usize).min(bytes.len());
        self.left -= passed as u32;
        passed
    }

    /// Bytes of bodies among those that come next.
    pub(super) fn of_body(&self, bytes: &[u8]) -> usize {
        if self.of_body { (self.left as usize).min(bytes.len()) } else { 0 }
    }

    /// A frame begins here, and is waited for until it is passed.
    pub(super) fn begin(&mut self) {
        self.begun += u64::from(!self.waiting);
        self.waiting = true;
    }

    /// What a frame is to who counts it; each of them is judged once.
    #[inline]
    pub(super) fn judge(&mut self, header: &Header) -> Frame {
        match header.kind {
            DATA => Frame::Data(header.payload),
            HEADERS if header.stream > self.newest => {
                self.newest = header.stream;
                Frame::Opens
            }
            HEADERS | CONTINUATION => Frame::Fields,
            RST_STREAM => Frame::Reset,
            WINDOW_UPDATE => Frame::Room,
            _ => Frame::Control,
        }
    }

    /// The header of the frame is passed, and its payload comes next.
    pub(super) fn enter(&mut self, header: &Header) {
        self.left = header.payload;
        self.of_body = header.kind == DATA;
        self.waiting = false;
    }

    /// What has begun is passed.
    pub(super) fn leave(&mut self) {
        self.waiting = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(payload: u32, kind: u8, flags: u8, stream: u32) -> Header {
        Header { payload, kind, flags, stream }
    }

    #[test]
    fn what_has_begun_and_is_no_body_is_waited_for() {
        let mut frames = Frames::new();
        assert_eq!(frames.awaited(), Some(0), "the preface has to come");
        assert_eq!(frames.pass(&[0; 30]), PREFACE.len());
        assert_eq!(frames.awaited(), None);
        frames.begin();
        assert_eq!(frames.awaited(), Some(1), "a frame's header");
        frames.enter(&header(10, DATA, 0, 1));
        assert_eq!(frames.awaited(), None, "a body has a pace of its own");
        assert_eq!((frames.of_body(&[0; 7]), frames.pass(&[0; 7])), (7, 7));
        assert_eq!((frames.of_body(&[0; 7]), frames.pass(&[0; 7])), (3, 3));
        frames.begin();
        frames.begin();
        assert_eq!(frames.awaited(), Some(2), "a head that goes on");
        frames.leave();
        assert_eq!(frames.awaited(), None);
        frames.begin();
        frames.enter(&header(8, RST_STREAM, 0, 1));
        assert_eq!(frames.awaited(), Some(3), "what it says");
        assert_eq!((frames.of_body(&[0; 8]), frames.pass(&[0; 8])), (0, 8));
        assert_eq!(frames.awaited(), None);
    }

    #[test]
    fn a_head_opens_a_stream_once() {
        let mut frames = Frames::new();
        for (kind, stream, frame) in [
            (HEADERS, 1, Frame::Opens),
            (CONTINUATION, 1, Frame::Fields),
            (DATA, 1, Frame::Data(7)),
            (HEADERS, 5, Frame::Opens),
            (HEADERS, 5, Frame::Fields),
            (HEADERS, 3, Frame::Fields),
            (RST_STREAM, 5, Frame::Reset),
            (WINDOW_UPDATE, 0, Frame::Room),
            (0x4, 0, Frame::Control),
            (0x77, 0, Frame::Control),
        ] {
            assert_eq!(frames.judge(&header(7, kind, 0, stream)), frame);
        }
    }

    #[test]
    fn fragments_are_without_padding_and_priority() {
        let of = |flags, payload: &'static [u8]| {
            let fragment = header(0, HEADERS, flags, 3).fragment(payload)?;
            Some((fragment.bytes, fragment.depends_on))
        };
        assert_eq!(of(0, b"ab"), Some((&b"ab"[..], None)));
        assert_eq!(of(PADDED, b"\x02ab\0\0"), Some((&b"ab"[..], None)));
        assert_eq!(of(PADDED, b"\x02\0\0"), Some((&b""[..], None)));
        assert_eq!(of(PADDED, b"\x03\0\0"), None, "more padding than there is");
        assert_eq!(of(PADDED, b""), None);
        assert_eq!(of(PRIORITY, b"\x80\0\0\x01\x10ab"), Some((&b"ab"[..], Some(1))));
        assert_eq!(of(PRIORITY, b"\0\0\0\x01"), None);
        assert_eq!(of(PADDED | PRIORITY, b"\x01\0\0\0\x03\x10a\0"), Some((&b"a"[..], Some(3))));
        assert_eq!(of(PADDED | PRIORITY, b"\x01\0\0\0\x03\x10"), None);
        let continued = header(0, CONTINUATION, PADDED | PRIORITY, 3);
        assert_eq!(
            continued.fragment(b"ab").map(|it| it.bytes),
            Some(&b"ab"[..]),
            "it has neither"
        );
    }

    #[test]
    fn blocks_take_as_many_frames_as_they_need() {
        let written = |block: &[u8]| {
            let mut out = Vec::new();
            header(0, HEADERS, END_STREAM | PADDED | PRIORITY, 3).write_block(block, 4, &mut out);
            out
        };
        assert_eq!(written(b""), b"\0\0\0\x01\x05\0\0\0\x03");
        assert_eq!(written(b"abcd"), b"\0\0\x04\x01\x05\0\0\0\x03abcd");
        let two = b"\0\0\x04\x01\x01\0\0\0\x03abcd\0\0\x01\x09\x04\0\0\0\x03e";
        assert_eq!(written(b"abcde"), two);
    }
}
