//! The heads of answers, watched line by line on their way to hyper.
//!
//! hyper and httparse read more than RFC 9112 allows, and what they read over cannot be seen in the
//! answer that they hand out: bare line feeds, empty lines ahead of the status line, any number of
//! 1xx answers, a head of any size that comes in one piece. Here each of these ends the connection
//! before hyper has a whole head. Everything else about a head is judged by hyper, or from outside
//! by `proxy/headers`. Behind a head that announces chunks, `chunks` watches on.
//!
//! ```text
//!   resting ── a request is dispatched ──> heads ── a final head's empty line ──> resting
//!                                          │  ^                            └────> chunks
//!                                          └──┘ a 1xx head's empty line
//! ```

use std::{error::Error, io};

use super::chunks::Chunks;

/// The most 1xx answers that one request may have. Far fewer are passed on.
const INTERIM_MAX: usize = 100;

/// The most bytes that all heads of one answer may have.
const HEADS_BYTES_MAX: usize = 64 * 1024;

/// `HTTP/1.1 200`: all that is kept of a status line.
const STATUS_BYTES: usize = 12;

/// Which field says that chunks follow.
const CODING: &[u8] = b"transfer-encoding:";

/// What is wrong with the heads of an answer, though hyper would read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// RFC 9112 §2.2 lets a reader take it for the end of a line; not all do.
    #[error("a line ends with a bare line feed")]
    BareLineFeed,
    /// Only servers may be sent one (RFC 9112 §2.2): something is left of what came before.
    #[error("an empty line stands before the status line")]
    EmptyLine,
    /// The 1xx answers do not end.
    #[error("more than {INTERIM_MAX} interim answers")]
    Flood,
    /// Memory is bounded.
    #[error("more than {HEADS_BYTES_MAX} bytes of head")]
    TooLarge,
    /// RFC 9112 §7.1 has no place for it but before an extension.
    #[error("a blank stands beside a chunk's size")]
    Blank,
    /// Readers differ on where its line ends.
    #[error("a chunk's extension holds a control byte, or a quote that stays open")]
    Extension,
}

/// Watches what one connection reads.
#[derive(Debug, Default)]
pub struct Heads {
    watch: Watch,
    /// Whether no body follows, whatever the head says: the request was a HEAD.
    bodiless: bool,
    /// Whether this head has a transfer coding.
    coded: bool,
    /// Lines of this head that are complete.
    lines: usize,
    /// Bytes of the current line.
    columns: usize,
    /// Bytes of all heads so far.
    bytes: usize,
    /// The last byte seen.
    last: u8,
    status: [u8; STATUS_BYTES],
    /// The name in the current line, where it may be [`CODING`].
    name: [u8; CODING.len()],
    /// 1xx answers so far.
    interims: usize,
}

/// What an answer's request wants of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A head, and a body where there is one.
    All,
    /// No body: it was a HEAD.
    HeadOnly,
}

/// What is watched for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Watch {
    /// Nothing: the bytes of a body pass unseen.
    #[default]
    Resting,
    Heads,
    Chunks(Chunks),
}

// === impl Flaw ===

impl Flaw {
    /// The flaw that `error` grew out of, if it was one.
    pub fn behind(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut cause = Some(error);
        while let Some(error) = cause {
            if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                return inner.downcast_ref().copied();
            }
            cause = error.source();
        }
        None
    }
}

impl From<Flaw> for io::Error {
    fn from(flaw: Flaw) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, flaw)
    }
}

// === impl Heads ===

impl Heads {
    /// A request has been dispatched: the next bytes are the head of its answer.
    pub fn expect(&mut self, asked: Asked) {
        let bodiless = asked == Asked::HeadOnly;
        *self = Self { watch: Watch::Heads, bodiless, ..Self::default() };
    }

    /// Looks at `bytes`, which follow those seen last.
    pub fn see(&mut self, bytes: &[u8]) -> Result<(), Flaw> {
        match &mut self.watch {
            Watch::Resting => return Ok(()),
            Watch::Chunks(chunks) => return chunks.see(bytes),
            Watch::Heads => {}
        }
        let mut from = 0;
        for feed in memchr::memchr_iter(b'\n', bytes) {
            self.take(&bytes[from..feed])?;
            from = feed + 1;
            self.end_line()?;
            if self.watch != Watch::Heads {
                return self.see(&bytes[from..]);
            }
        }
        self.take(&bytes[from..])
    }

    /// Goes on with the current line.
    fn take(&mut self, part: &[u8]) -> Result<(), Flaw> {
        let Some(&last) = part.last() else { return Ok(()) };
        if self.lines == 0 {
            keep(&mut self.status, self.columns, part);
        } else if self.name[0] != 0 || (self.columns == 0 && part[0] | 0x20 == b't') {
            keep(&mut self.name, self.columns, part);
        }
        self.columns += part.len();
        self.bytes += part.len();
        self.last = last;
        if self.bytes > HEADS_BYTES_MAX { Err(Flaw::TooLarge) } else { Ok(()) }
    }

    /// The current line has ended with a line feed.
    fn end_line(&mut self) -> Result<(), Flaw> {
        if self.columns == 0 || self.last != b'\r' {
            return Err(Flaw::BareLineFeed);
        }
        let empty = self.columns == 1;
        let columns = std::mem::take(&mut self.columns);
        match (empty, self.lines) {
            (true, 0) => Err(Flaw::EmptyLine),
            (true, _) => self.end_head(),
            (false, _) => {
                self.lines += 1;
                if self.name[0] != 0 {
                    self.coded |= columns > CODING.len() && self.name.eq_ignore_ascii_case(CODING);
                    self.name[0] = 0;
                }
                Ok(())
            }
        }
    }

    fn end_head(&mut self) -> Result<(), Flaw> {
        self.lines = 0;
        let status = &self.status[9..];
        let interim = status[0] == b'1' && status != b"101";
        let empty = self.bodiless || status == b"204" || status == b"304" || status[0] == b'1';
        self.watch = match (interim, self.coded && !empty) {
            (true, _) => Watch::Heads,
            // A coding other than `chunked` is refused by who sees the head.
            (false, true) => Watch::Chunks(Chunks::BEGUN),
            (false, false) => Watch::Resting,
        };
        self.coded = false;
        self.interims += usize::from(interim);
        if self.interims > INTERIM_MAX { Err(Flaw::Flood) } else { Ok(()) }
    }
}

/// Keeps of a line what fits into `kept`; `part` comes behind its first `columns` bytes.
fn keep(kept: &mut [u8], columns: usize, part: &[u8]) {
    if columns < kept.len() {
        let here = part.len().min(kept.len() - columns);
        kept[columns..][..here].copy_from_slice(&part[..here]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `text`, however it is cut, and whether another head is due after it.
    #[track_caller]
    fn check(text: &str, expected: Result<bool, Flaw>) {
        for cut in 0..=text.len() {
            let mut heads = Heads::default();
            heads.expect(Asked::All);
            let seen = heads.see(&text.as_bytes()[..cut]);
            let seen = seen.and_then(|()| heads.see(&text.as_bytes()[cut..]));
            assert_eq!(
                seen.map(|()| heads.watch == Watch::Heads),
                expected,
                "{text:?} cut at {cut}"
            );
        }
    }

    #[test]
    fn a_head_is_watched_to_its_end_and_a_body_is_not() {
        check("HTTP/1.1 200 OK\r\nA: b\r\n\r\nbody\nwith\n\nfeeds", Ok(false));
        check("HTTP/1.1 101 Switching Protocols\r\n\r\n\n\n", Ok(false));
        check("HTTP/1.1 200 OK\r\nA: b\r\n", Ok(true));
        check("HTTP/1.1 103 Early Hints\r\n\r\n", Ok(true));
        check("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", Ok(false));
    }

    #[test]
    fn what_hyper_reads_over_is_a_flaw() {
        for text in [
            "HTTP/1.1 200 OK\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n\n",
            "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\n\n",
            "\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            check(text, Err(Flaw::BareLineFeed));
        }
        check("\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Flaw::EmptyLine));
        check("HTTP/1.1 103 x\r\n\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Err(Flaw::EmptyLine));
    }

    #[test]
    fn interim_answers_are_counted_for_each_request() {
        let interim = b"HTTP/1.1 102 Processing\r\n\r\n";
        let mut heads = Heads::default();
        heads.expect(Asked::All);
        for _ in 0..INTERIM_MAX {
            heads.see(interim).unwrap();
        }
        let mut next = Heads { watch: Watch::Heads, ..heads };
        assert_eq!(next.see(interim), Err(Flaw::Flood));
        next.expect(Asked::All);
        assert_eq!(next.see(interim), Ok(()));
    }

    #[test]
    fn chunks_are_watched_where_a_final_head_announces_them() {
        let body = "1 \r\na\r\n0\r\n\r\n";
        for field in [
            "Transfer-Encoding: chunked",
            "TRANSFER-ENCODING:chunked",
            "A: b\r\ntransfer-encoding: chunked\r\nTail: a",
        ] {
            check(&format!("HTTP/1.1 200 OK\r\n{field}\r\n\r\n{body}"), Err(Flaw::Blank));
        }
        for head in [
            "HTTP/1.1 200 OK\r\nX-Transfer-Encoding: chunked",
            "HTTP/1.1 200 OK\r\nTransfer-Encodings: chunked\r\ntransfer-encodinG",
            "HTTP/1.1 101 Switching Protocols\r\nTransfer-Encoding: chunked",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked",
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked",
            "HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK",
        ] {
            check(&format!("{head}\r\n\r\n{body}"), Ok(false));
        }
        let mut heads = Heads::default();
        heads.expect(Asked::HeadOnly);
        assert_eq!(heads.see(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1 "), Ok(()));
        heads.expect(Asked::All);
        let whole = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
        assert_eq!(heads.see(whole), Ok(()));
        assert_eq!(heads.watch, Watch::Chunks(Chunks::Over));
    }

    #[test]
    fn nothing_is_looked_at_before_a_request_was_dispatched() {
        assert_eq!(Heads::default().see(b"\n\n\n"), Ok(()));
    }

    #[test]
    fn a_flaw_is_found_behind_the_errors_that_carry_it() {
        let error = io::Error::from(Flaw::Flood);
        assert_eq!(Flaw::behind(&error), Some(Flaw::Flood));
        let other = io::Error::from(io::ErrorKind::UnexpectedEof);
        assert_eq!(Flaw::behind(&other), None);
    }
}
