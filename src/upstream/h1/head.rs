//! The heads of an answer: any number of interim ones up to a bound, and a final one.

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version};

use super::Flaw;
use crate::http1::{lines::Lines, names::Known};

/// The most 1xx answers that one request may have. Far fewer are passed on.
pub(in crate::upstream) const INTERIM_MAX: usize = 100;

/// The most bytes that all heads of one answer may have.
pub(super) const HEADS_BYTES_MAX: usize = 64 * 1024;

/// The most fields of one head.
pub(super) const FIELDS_MAX: usize = 100;

/// Ahead of the digit of a version that is read.
const HTTP: &[u8] = b"HTTP/1.";

/// The most digits of a length: what 64 bits hold.
const LENGTH_DIGITS_MAX: usize = 20;

/// Finds one head after the other in what has come.
#[derive(Debug, Default)]
pub(super) struct Heads {
    /// Where the current line begins.
    line: usize,
    /// Up to where line feeds have been looked for.
    seen: usize,
    /// Bytes of the heads before this one.
    bytes: usize,
    /// 1xx answers so far.
    interims: usize,
}

/// One head.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) version: Version,
    pub(super) status: StatusCode,
    /// Fields that somebody on the way has to do with.
    pub(super) fields: HeaderMap,
    /// All others.
    pub(super) lines: Lines,
    notes: Notes,
}

/// A whole head, cut into pieces: places in its bytes.
struct Pieces {
    version: Version,
    status: StatusCode,
    lines: Lines,
    end: usize,
}

/// What of the fields concerns the connection.
#[derive(Debug, Default)]
struct Notes {
    lengths: usize,
    length: Option<u64>,
    codings: usize,
    chunked: bool,
    close: bool,
    keep_alive: bool,
}

/// Where the body behind a head ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

// === impl Heads ===

impl Heads {
    /// Takes a head off the front of `buffer`; `None` when it has not come whole.
    pub(super) fn step(&mut self, buffer: &mut BytesMut) -> Result<Option<Head>, Flaw> {
        if buffer.is_empty() {
            return Ok(None);
        }
        if self.line == 0 {
            begins_well(buffer)?;
        }
        // Mostly it has come whole, and is good. If not, what follows finds out why.
        if self.seen == 0
            && let Ok(pieces) = Pieces::of(buffer)
        {
            return self.end(buffer, pieces).map(Some);
        }
        while let Some(offset) = memchr::memchr(b'\n', &buffer[self.seen..]) {
            let feed = self.seen + offset;
            let empty = match buffer[self.line..feed] {
                [b'\r'] => true,
                [.., b'\r'] => false,
                _ => return Err(Flaw::BareLineFeed),
            };
            self.line = feed + 1;
            self.seen = feed + 1;
            if empty {
                let pieces = Pieces::of(&buffer[..self.line])?;
                return self.end(buffer, pieces).map(Some);
            }
        }
        self.seen = buffer.len();
        if self.bytes + buffer.len() > HEADS_BYTES_MAX { Err(Flaw::TooLarge) } else { Ok(None) }
    }

    #[inline(always)]
    fn end(&mut self, buffer: &mut BytesMut, pieces: Pieces) -> Result<Head, Flaw> {
        (self.line, self.seen) = (0, 0);
        self.bytes += pieces.end;
        if self.bytes > HEADS_BYTES_MAX {
            return Err(Flaw::TooLarge);
        }
        let bytes = buffer.split_to(pieces.end).freeze();
        let head = Head::read(&bytes, pieces)?;
        self.interims += usize::from(head.is_interim());
        if self.interims > INTERIM_MAX { Err(Flaw::Flood) } else { Ok(head) }
    }
}

// === impl Head ===

impl Head {
    /// Whether another head follows it.
    pub(super) fn is_interim(&self) -> bool {
        self.status.is_informational() && self.status != StatusCode::SWITCHING_PROTOCOLS
    }

    /// Whether the endpoint keeps the connection, as far as it says.
    pub(super) fn persists(&self) -> bool {
        !self.notes.close && (self.version == Version::HTTP_11 || self.notes.keep_alive)
    }

    /// Where its body ends, if it has one. That must be clear even if it has none.
    pub(super) fn framing(&self) -> Result<Framing, Flaw> {
        let Notes { lengths, length, codings, chunked, .. } = self.notes;
        match (lengths, length, codings) {
            (0, _, 0) => Ok(Framing::UntilClose),
            (1, Some(length), 0) => Ok(Framing::Length(length)),
            (0, _, 1) if chunked && self.version == Version::HTTP_11 => Ok(Framing::Chunked),
            _ => Err(Flaw::Framing),
        }
    }

    /// All of its fields, for those who can read nothing but a map.
    pub(super) fn into_fields(mut self) -> HeaderMap {
        self.lines.pour(&mut self.fields);
        self.fields
    }

    #[inline(always)]
    pub(super) fn into_response(self) -> (Response<()>, Lines) {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        *response.version_mut() = self.version;
        *response.headers_mut() = self.fields;
        (response, self.lines)
    }

    /// Reads a head that has been cut into `pieces`.
    #[inline(always)]
    fn read(bytes: &Bytes, pieces: Pieces) -> Result<Self, Flaw> {
        let Pieces { version, status, mut lines, .. } = pieces;
        let (mut notes, mut fields) = (Notes::default(), HeaderMap::new());
        lines.seen(bytes).for_each(|(known, value)| notes.see(known, value));
        lines.settle(bytes, |_, name, value| {
            let name = HeaderName::from_bytes(name).map_err(|_| Flaw::Fields)?;
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| Flaw::Fields)?;
            fields.append(name, value);
            Ok::<(), Flaw>(())
        })?;
        Ok(Self { version, status, fields, lines, notes })
    }
}

// === impl Pieces ===

impl Pieces {
    /// Those of the head that `bytes` begin with.
    fn of(bytes: &[u8]) -> Result<Self, Flaw> {
        let end = memchr::memchr(b'\n', bytes).ok_or(Flaw::StatusLine)? + 1;
        let line = bytes[..end].strip_suffix(b"\r\n").ok_or(Flaw::StatusLine)?;
        let (version, status) = status_line(line)?;
        let cut = Lines::cut(bytes, end, FIELDS_MAX, |cut| Known::of_answer(cut.name));
        let (lines, end) = cut.map_err(|_| Flaw::Fields)?;
        Ok(Self { version, status, lines, end })
    }
}

// === impl Notes ===

impl Notes {
    fn see(&mut self, known: Known, value: &[u8]) {
        match known {
            Known::ContentLength => {
                self.lengths += 1;
                self.length = length(value);
            }
            Known::TransferEncoding => {
                self.codings += 1;
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            Known::Connection => {
                for option in value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
                    self.close |= option.eq_ignore_ascii_case(b"close");
                    self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
            Known::Other
            | Known::Host
            | Known::Accept
            | Known::TraceParent
            | Known::ContentType
            | Known::Date
            | Known::Expect
            | Known::Upgrade
            | Known::Http2Settings
            | Known::Kept
            | Known::Underscored => {}
        }
    }
}

/// Refuses as soon as it can be seen what is no answer: who speaks another protocol may wait.
fn begins_well(bytes: &[u8]) -> Result<(), Flaw> {
    let here = bytes.len().min(HTTP.len());
    match bytes.first() {
        _ if bytes[..here] == HTTP[..here] => Ok(()),
        Some(b'\n') => Err(Flaw::BareLineFeed),
        Some(b'\r') => Err(Flaw::EmptyLine),
        _ => Err(Flaw::NotHttp),
    }
}

fn status_line(line: &[u8]) -> Result<(Version, StatusCode), Flaw> {
    let (version, rest) = match line.strip_prefix(HTTP) {
        Some([b'1', b' ', rest @ ..]) => (Version::HTTP_11, rest),
        Some([b'0', b' ', rest @ ..]) => (Version::HTTP_10, rest),
        Some(_) | None => return Err(Flaw::NotHttp),
    };
    let (digits, reason) = rest.split_at_checked(3).ok_or(Flaw::StatusLine)?;
    let status = StatusCode::from_bytes(digits).map_err(|_| Flaw::StatusLine)?;
    let control = |&byte: &u8| (byte < b' ' && byte != b'\t') || byte == 0x7f;
    match reason {
        [] => Ok((version, status)),
        [b' ', reason @ ..] if !reason.iter().any(control) => Ok((version, status)),
        _ => Err(Flaw::StatusLine),
    }
}

/// Digits, of which the first is 0 only where it is the last: `010` is 8 to some.
pub(in crate::upstream) fn length(text: &[u8]) -> Option<u64> {
    if !(1..=LENGTH_DIGITS_MAX).contains(&text.len()) || (text[0] == b'0' && text.len() > 1) {
        return None;
    }
    text.iter().try_fold(0_u64, |length, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        length.checked_mul(10)?.checked_add(digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The statuses that `text` holds, however it is cut.
    #[track_caller]
    fn check(text: &[u8], expected: Result<&[u16], Flaw>) {
        for step in [1, 2, 7, text.len()] {
            let (mut heads, mut buffer) = (Heads::default(), BytesMut::new());
            let mut read = Ok(Vec::new());
            for piece in text.chunks(step.max(1)) {
                buffer.extend_from_slice(piece);
                while let Ok(statuses) = &mut read {
                    match heads.step(&mut buffer) {
                        Ok(Some(head)) => statuses.push(head.status.as_u16()),
                        Ok(None) => break,
                        Err(flaw) => read = Err(flaw),
                    }
                    if buffer.is_empty() {
                        break;
                    }
                }
            }
            let expected = expected.map(<[u16]>::to_vec);
            assert_eq!(read, expected, "{:?} in steps of {step}", text.escape_ascii());
        }
    }

    fn head(lines: &str) -> Head {
        let mut buffer = BytesMut::from(format!("{lines}\r\n\r\n").as_bytes());
        Heads::default().step(&mut buffer).expect("a good head").expect("a whole one")
    }

    #[test]
    fn heads_are_read_one_after_the_other_however_they_were_cut() {
        check(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n", Ok(&[200]));
        check(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204\r\n\r\n", Ok(&[103, 204]));
        check(b"HTTP/1.0 299 \r\n\r\n", Ok(&[299]));
        check(b"HTTP/1.1 500 M\xc3\xa4\t.\r\nA: b\r\n", Ok(&[]));
    }

    #[test]
    fn what_is_no_head_of_an_answer_is_a_flaw() {
        for text in
            ["HTTP/1.1 200 OK\n\r\n", "HTTP/1.1 200 OK\r\nA: b\n\r\n", "\nHTTP/1.1 200\r\n\r\n"]
        {
            check(text.as_bytes(), Err(Flaw::BareLineFeed));
        }
        check(b"HTTP/1.1 200 OK\r\nA: b\r\n\n", Err(Flaw::BareLineFeed));
        check(b"\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Flaw::EmptyLine));
        check(b"HTTP/1.1 103 x\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Flaw::EmptyLine));
        for text in ["<html>", "\x15\x03\x01", "SSH-2.0-OpenSSH\r\n", "http/1.1 200 OK\r\n"] {
            check(text.as_bytes(), Err(Flaw::NotHttp));
        }
        for line in ["HTTP/1.2 200 OK", "HTTP/1.1\t200 OK", "HTTP/1.1", "HTTP/1.12 200 OK"] {
            check(format!("{line}\r\n\r\n").as_bytes(), Err(Flaw::NotHttp));
        }
        for line in ["HTTP/1.1  200 OK", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 OK"] {
            check(format!("{line}\r\n\r\n").as_bytes(), Err(Flaw::StatusLine));
        }
        for line in ["HTTP/1.1 200 O\0K", "HTTP/1.1 200 O\rK", "HTTP/1.1 200\tOK", "HTTP/1.1 OK"] {
            check(format!("{line}\r\n\r\n").as_bytes(), Err(Flaw::StatusLine));
        }
        for line in ["A", "A : b", " A: b", "A: b\r\n c", "A: b\0"] {
            check(format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n").as_bytes(), Err(Flaw::Fields));
        }
    }

    #[test]
    fn heads_are_bounded_in_size_in_fields_and_in_number() {
        let of_fields = |fields| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(fields));
        check(of_fields(FIELDS_MAX).as_bytes(), Ok(&[200]));
        check(of_fields(FIELDS_MAX + 1).as_bytes(), Err(Flaw::Fields));
        let long = format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "a".repeat(HEADS_BYTES_MAX));
        check(long.as_bytes(), Err(Flaw::TooLarge));
        let interims = "HTTP/1.1 102 x\r\n\r\n".repeat(INTERIM_MAX);
        check(interims.as_bytes(), Ok(&[102; INTERIM_MAX]));
        check(format!("{interims}HTTP/1.1 102 x\r\n\r\n").as_bytes(), Err(Flaw::Flood));
    }

    #[test]
    fn the_end_of_a_body_is_clear_or_a_flaw() {
        let check = |lines: &str, expected| assert_eq!(head(lines).framing(), expected, "{lines}");
        check("HTTP/1.1 200 OK", Ok(Framing::UntilClose));
        check("HTTP/1.1 200 OK\r\nContent-Length: 5", Ok(Framing::Length(5)));
        check("HTTP/1.1 200 OK\r\ncontent-length:0", Ok(Framing::Length(0)));
        let most = format!("HTTP/1.0 200 OK\r\nContent-Length: {}", u64::MAX);
        check(&most, Ok(Framing::Length(u64::MAX)));
        check("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", Ok(Framing::Chunked));
        check("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", Err(Flaw::Framing));
        for lines in [
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            "Content-Length: 5\r\nContent-Length: 5",
            "Content-Length: 5, 5",
            "Content-Length: 05",
            "Content-Length: +5",
            "Content-Length: 5 5",
            "Content-Length:",
            "Content-Length: 18446744073709551616",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "Transfer-Encoding: identity",
            "Transfer-Encoding:",
        ] {
            check(&format!("HTTP/1.1 200 OK\r\n{lines}"), Err(Flaw::Framing));
        }
    }

    #[test]
    fn a_connection_persists_as_far_as_its_endpoint_says() {
        let check = |lines: &str, expected| assert_eq!(head(lines).persists(), expected, "{lines}");
        check("HTTP/1.1 200 OK", true);
        check("HTTP/1.1 200 OK\r\nConnection: a , CLOSE", false);
        check("HTTP/1.0 200 OK", false);
        check("HTTP/1.0 200 OK\r\nConnection: Keep-Alive", true);
        check("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nConnection: close", false);
    }
}
