//! The chunks of an answer, watched on their way to hyper.
//!
//! hyper finds the end of a chunked body, and refuses what would move it. What it reads over is
//! gone from what it hands out: blanks behind a chunk's size, a bare line feed at the end of a
//! trailer's line, anything in an extension but a line feed. Servers that say such things have been
//! read otherwise by others. Sizes, and the ends of chunks, are left to hyper.
//!
//! ```text
//! size ─"\r\n"→ data ──> size        a size of 0: → trailers ─ empty line ─> over
//!  └─";"→ extension ─"\r\n"┘
//! ```

use super::heads::Flaw;

/// Watches one chunked body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Chunks {
    /// There is none, or it has ended, or hyper will refuse it.
    #[default]
    Over,
    Size(u64),
    Extension(u64, Quoted),
    /// Behind the carriage return of a size.
    SizeEnd(u64),
    /// So many bytes are still to come, the chunk's own line end included.
    Data(u64),
    /// Bytes of the current line, and the last of them.
    Trailers(usize, u8),
}

/// Where an extension's quoted text stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoted {
    No,
    Yes,
    Escaped,
}

// === impl Chunks ===

impl Chunks {
    /// A body whose first chunk comes next.
    pub(super) const BEGUN: Self = Self::Size(0);

    /// Looks at `bytes`, which follow those seen last.
    pub(super) fn see(&mut self, mut bytes: &[u8]) -> Result<(), Flaw> {
        while let Some(&first) = bytes.first() {
            let taken = match *self {
                Chunks::Over => return Ok(()),
                Chunks::Data(left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - here as u64;
                    *self = if left == 0 { Self::BEGUN } else { Self::Data(left) };
                    here
                }
                Chunks::Trailers(columns, last) => self.line(columns, last, bytes)?,
                Chunks::Size(_) | Chunks::Extension(..) | Chunks::SizeEnd(_) => {
                    *self = self.past(first)?;
                    1
                }
            };
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// What comes behind `byte`, before the data of a chunk has begun.
    fn past(self, byte: u8) -> Result<Self, Flaw> {
        Ok(match (self, byte) {
            (Chunks::Size(size), b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => {
                let digit = (byte as char).to_digit(16).unwrap_or_default();
                let size = size.checked_mul(16).and_then(|size| size.checked_add(digit.into()));
                size.map_or(Chunks::Over, Chunks::Size)
            }
            (Chunks::Size(_), b' ' | b'\t') => return Err(Flaw::Blank),
            (Chunks::Size(size), b';') => Chunks::Extension(size, Quoted::No),
            (Chunks::Size(size), b'\r') => Chunks::SizeEnd(size),
            (Chunks::Extension(size, Quoted::No), b'\r') => Chunks::SizeEnd(size),
            (Chunks::Extension(..), b'\0'..=b'\x08' | b'\n'..=b'\x1f' | b'\x7f') => {
                return Err(Flaw::Extension);
            }
            (Chunks::Extension(size, quoted), _) => Chunks::Extension(size, quoted.past(byte)),
            (Chunks::SizeEnd(0), b'\n') => Chunks::Trailers(0, 0),
            // With the CRLF behind it; a size that leaves no room for one never ends.
            (Chunks::SizeEnd(size), b'\n') => Chunks::Data(size.saturating_add(2)),
            // hyper refuses it.
            _ => Chunks::Over,
        })
    }

    /// Goes on with a line of the trailers, and says how many bytes that were.
    fn line(&mut self, columns: usize, last: u8, bytes: &[u8]) -> Result<usize, Flaw> {
        let Some(feed) = memchr::memchr(b'\n', bytes) else {
            *self = Chunks::Trailers(columns + bytes.len(), bytes[bytes.len() - 1]);
            return Ok(bytes.len());
        };
        let last = if feed > 0 { bytes[feed - 1] } else { last };
        let columns = columns + feed;
        if columns == 0 || last != b'\r' {
            return Err(Flaw::BareLineFeed);
        }
        *self = if columns == 1 { Chunks::Over } else { Chunks::Trailers(0, 0) };
        Ok(feed + 1)
    }
}

// === impl Quoted ===

impl Quoted {
    fn past(self, byte: u8) -> Self {
        match (self, byte) {
            (Quoted::No, b'"') | (Quoted::Escaped, _) => Quoted::Yes,
            (Quoted::Yes, b'"') => Quoted::No,
            (Quoted::Yes, b'\\') => Quoted::Escaped,
            (same, _) => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of `body`, however it is cut, and whether it is over then.
    #[track_caller]
    fn check(body: &str, expected: Result<bool, Flaw>) {
        for cut in 0..=body.len() {
            let (first, second) = body.as_bytes().split_at(cut);
            let mut chunks = Chunks::BEGUN;
            let seen = chunks.see(first).and_then(|()| chunks.see(second));
            assert_eq!(seen.map(|()| chunks == Chunks::Over), expected, "{body:?} cut at {cut}");
        }
    }

    #[test]
    fn a_body_is_watched_to_its_end_and_its_data_is_not() {
        check("5\r\nhello\r\n0\r\n\r\n", Ok(true));
        check("5\r\n\n\r\n \0\r\n0\r\n\r\nand\nmore", Ok(true));
        check("00a;a=b;c=\"d \\\" \\\\\"\r\n0123456789\r\n0;e\r\nX: y\r\nZ:\r\n\r\n", Ok(true));
        check("5\r\nhel", Ok(false));
        check("0\r\nX: y\r\n", Ok(false));
    }

    #[test]
    fn what_hyper_reads_over_is_a_flaw() {
        for size in ["5 ", "5\t", "5 ;a", "0 "] {
            check(&format!("{size}\r\nhello\r\n0\r\n\r\n"), Err(Flaw::Blank));
        }
        for trailers in ["X: y\n\r\n", "X: y\nZ: a\r\n\r\n", "\n", "X: y\r\n\n"] {
            check(&format!("5\r\nhello\r\n0\r\n{trailers}"), Err(Flaw::BareLineFeed));
        }
        for extension in ["a\0", "a\nb", "a=\"b\r\n", "a=\"\\\r\n", "\x7f", "a=\"b\n"] {
            check(&format!("5;{extension}\r\nhello\r\n"), Err(Flaw::Extension));
        }
    }

    #[test]
    fn what_hyper_refuses_is_left_to_it() {
        for body in ["x", "5x\r\n", "5\n", "fffffffffffffffff\r\n"] {
            check(body, Ok(true));
        }
        let mut endless = Chunks::BEGUN;
        assert_eq!(endless.see(b"ffffffffffffffff\r\nhello"), Ok(()));
        assert_eq!(endless, Chunks::Data(u64::MAX - 5));
    }
}
