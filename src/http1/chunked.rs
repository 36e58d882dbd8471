//! The chunked coding (RFC 9112 §7.1), read strictly.
//!
//! ```text
//! Size ─"\r\n"→ Data → DataEnd ─"\r\n"→ Size      a size of 0: → Trailers ─empty line→ End
//!   └─";"→ Extension ─"\r\n"┘
//! ```
//!
//! Extensions are read for their end and dropped; a quoted one must close on its own line, because
//! readers differ on where the line ends otherwise.

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

use super::fields;

const SIZE_DIGITS_MAX: u8 = 16;
const EXTENSION_BYTES_MAX: usize = 256;
const EXTENSIONS_BYTES_MAX: usize = 16 * 1024;

/// How much may come behind the last chunk.
#[derive(Clone, Copy, Debug)]
pub struct Trailers {
    /// In bytes.
    pub bytes_max: usize,
    /// In fields.
    pub fields_max: usize,
}

/// This is not the chunked coding, or more of it than is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunks")]
pub struct BadChunk;

/// Reads chunks off the front of a buffer.
#[derive(Debug)]
pub struct Decoder {
    state: State,
    extension_bytes: usize,
    extensions_bytes: usize,
    trailers: BytesMut,
    bounds: Trailers,
}

/// What came off the front.
#[derive(Debug)]
pub enum Step {
    /// A part of a chunk, never empty.
    Data(Bytes),
    /// Fields after the last chunk, at least one; the end comes next.
    Trailers(HeaderMap),
    /// The body is whole.
    End,
    /// More bytes must come.
    More,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Size { digits: u8, value: u64 },
    Extension { value: u64, quoted: Quoted },
    SizeEnd { value: u64 },
    Data { left: u64 },
    DataEnd,
    DataEndLf,
    Trailers,
    End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoted {
    No,
    Yes,
    Escaped,
}

const SIZE: State = State::Size { digits: 0, value: 0 };

// === impl Decoder ===

impl Decoder {
    /// A decoder at the start of a body.
    pub fn new(bounds: Trailers) -> Self {
        let trailers = BytesMut::new();
        Self { state: SIZE, extension_bytes: 0, extensions_bytes: 0, trailers, bounds }
    }

    /// How much the chunk at hand still owes: a size that is too large need not be waited for.
    pub fn owed(&self) -> u64 {
        match self.state {
            State::Data { left } => left,
            _ => 0,
        }
    }

    /// Takes the next piece off the front of `buffer`.
    pub fn step(&mut self, buffer: &mut BytesMut) -> Result<Step, BadChunk> {
        loop {
            match self.state {
                State::End => return Ok(Step::End),
                State::Trailers => return self.trailer_lines(buffer),
                State::Data { .. } if buffer.is_empty() => return Ok(Step::More),
                State::Data { left } => {
                    let here = left.min(buffer.len() as u64);
                    let left = left - here;
                    self.state = if left == 0 { State::DataEnd } else { State::Data { left } };
                    return Ok(Step::Data(buffer.split_to(here as usize).freeze()));
                }
                _ => {
                    let Some(&byte) = buffer.first() else { return Ok(Step::More) };
                    buffer.advance(1);
                    self.state = self.mark(byte).ok_or(BadChunk)?;
                }
            }
        }
    }

    /// The state after a byte outside of data; `None` when it may not stand there.
    fn mark(&mut self, byte: u8) -> Option<State> {
        match (self.state, byte) {
            (State::Size { digits, value }, _) if byte.is_ascii_hexdigit() => {
                let digit = u64::from((byte as char).to_digit(16)?);
                (digits < SIZE_DIGITS_MAX)
                    .then(|| State::Size { digits: digits + 1, value: value << 4 | digit })
            }
            (State::Size { digits: 0, .. }, _) => None,
            (State::Size { value, .. }, b'\r') => Some(State::SizeEnd { value }),
            (State::Size { value, .. }, b';') => {
                self.extension_bytes = 0;
                Some(State::Extension { value, quoted: Quoted::No })
            }
            (State::Extension { value, quoted }, _) => self.extension(value, quoted, byte),
            (State::SizeEnd { value: 0 }, b'\n') => Some(State::Trailers),
            (State::SizeEnd { value }, b'\n') => Some(State::Data { left: value }),
            (State::DataEnd, b'\r') => Some(State::DataEndLf),
            (State::DataEndLf, b'\n') => Some(SIZE),
            _ => None,
        }
    }

    fn extension(&mut self, value: u64, quoted: Quoted, byte: u8) -> Option<State> {
        self.extension_bytes += 1;
        self.extensions_bytes += 1;
        let bounded = self.extension_bytes <= EXTENSION_BYTES_MAX
            && self.extensions_bytes <= EXTENSIONS_BYTES_MAX;
        if !bounded {
            return None;
        }
        let quoted = match (quoted, byte) {
            (Quoted::No, b'\r') => return Some(State::SizeEnd { value }),
            (_, 0..=8 | 10..=31 | 127) => return None,
            (Quoted::No, b'"') | (Quoted::Escaped, _) => Quoted::Yes,
            (Quoted::Yes, b'\\') => Quoted::Escaped,
            (Quoted::Yes, b'"') => Quoted::No,
            (unchanged, _) => unchanged,
        };
        Some(State::Extension { value, quoted })
    }

    /// Gathers the lines after the last chunk up to the empty one.
    fn trailer_lines(&mut self, buffer: &mut BytesMut) -> Result<Step, BadChunk> {
        while let Some(end) = memchr::memchr(b'\n', buffer) {
            let line = buffer.split_to(end + 1);
            self.gather(&line)?;
            if line.len() == 2 {
                self.state = State::End;
                let lines = self.trailers.split().freeze();
                let fields = fields::read(&lines, self.bounds.fields_max);
                let fields = fields.map_err(|_| BadChunk)?;
                return Ok(if fields.is_empty() { Step::End } else { Step::Trailers(fields) });
            }
        }
        let gathered = self.trailers.len() + buffer.len();
        if gathered > self.bounds.bytes_max { Err(BadChunk) } else { Ok(Step::More) }
    }

    fn gather(&mut self, line: &[u8]) -> Result<(), BadChunk> {
        let control = |&b: &u8| (b < b' ' && b != b'\t') || b == 0x7f;
        let clean = match line {
            [b' ' | b'\t', ..] => false,
            [text @ .., b'\r', b'\n'] => !text.iter().any(control),
            _ => false,
        };
        if !clean || self.trailers.len() + line.len() > self.bounds.bytes_max {
            return Err(BadChunk);
        }
        self.trailers.extend_from_slice(line);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRAILERS: Trailers = Trailers { bytes_max: 8 * 1024, fields_max: 64 };

    type Read = Result<(Vec<u8>, usize), ()>;

    /// What a decoder makes of `input` in pieces of `step` bytes: data and what is left over.
    fn decode(input: &[u8], step: usize) -> Option<Read> {
        let mut decoder = Decoder::new(TRAILERS);
        let mut buffer = BytesMut::new();
        let mut data = Vec::new();
        let mut fed = 0;
        loop {
            match decoder.step(&mut buffer) {
                Ok(Step::Data(bytes)) => data.extend_from_slice(&bytes),
                Ok(Step::Trailers(_)) => {}
                Ok(Step::End) => return Some(Ok((data, buffer.len() + input.len() - fed))),
                Ok(Step::More) if fed == input.len() => return None,
                Ok(Step::More) => {
                    let end = (fed + step).min(input.len());
                    buffer.extend_from_slice(&input[fed..end]);
                    fed = end;
                }
                Err(fault) => {
                    assert_eq!(fault, BadChunk);
                    return Some(Err(()));
                }
            }
        }
    }

    /// The same as `decode`, written as plainly as it can be, for bodies without trailers.
    fn oracle(input: &[u8]) -> Option<Read> {
        let mut data = Vec::new();
        let mut rest = input;
        loop {
            let end = rest.windows(2).position(|w| w == b"\r\n")?;
            let digits = rest[..end].split(|&b| b == b';').next().unwrap_or_default();
            let text = std::str::from_utf8(digits).ok()?;
            let size = usize::from_str_radix(text, 16).ok()?;
            rest = &rest[end + 2..];
            if size == 0 {
                return rest.starts_with(b"\r\n").then(|| Ok((data, rest.len() - 2)));
            }
            data.extend_from_slice(rest.get(..size)?);
            rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
        }
    }

    #[test]
    fn a_chunked_body_reads_the_same_however_it_was_cut() {
        let input = b"5\r\nhello\r\n0006;a=\"b;\\\"c\"\r\n world\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        for step in 1..input.len() {
            assert_eq!(decode(input, step), Some(Ok((b"hello world".to_vec(), 5))), "{step}");
        }
    }

    #[test]
    fn whatever_breaks_the_grammar_is_refused() {
        for bad in [
            "1_0\r\n",
            "0x5\r\n",
            "+5\r\n",
            "-1\r\n",
            " 5\r\n",
            "5 \r\n",
            "5 ;a\r\n",
            "\r\n",
            ";foo\r\n",
            "5\n",
            "11111111111111111\r\n",
            "3\r\rabc",
            "5;a\rX\r\n",
            "5\r\nhello\n",
            "5\r\nhello0\r\n\r\n",
            "5\r\nhello!!\r\n",
            "5;a=\"x\r\ny\"\r\nhello\r\n",
            "0\r\nA: b\n\r\n",
            "0\r\nX:POST / HTTP/1.1\n",
            "0\r\n A: b\r\n\r\n",
            "0\r\nA: b\r\n c\r\n\r\n",
            "0\r\nA : b\r\n\r\n",
            "0\r\nA\r\n\r\n",
            "0\r\n\n",
            "5;a\nb\r\n",
            "5;\0\r\n",
            "5\t\r\n",
        ] {
            for step in [1, 2, 1000] {
                assert_eq!(decode(bad.as_bytes(), step), Some(Err(())), "{bad:?} by {step}");
            }
        }
        let long = format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(257));
        assert_eq!(decode(long.as_bytes(), 1000), Some(Err(())));
        let many = format!("1;{}\r\na\r\n", "a".repeat(250)).repeat(70);
        assert_eq!(decode(many.as_bytes(), 1000), Some(Err(())));
        let trailers = format!("0\r\nA: {}", "a".repeat(9000));
        assert_eq!(decode(trailers.as_bytes(), 1000), Some(Err(())));
    }

    proptest! {
        #[test]
        fn valid_bodies_read_as_a_naive_reader_reads_them(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            step in 1_usize..50,
            rest in prop::collection::vec(any::<u8>(), 0..10),
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend_from_slice(format!("{:x};x\r\n", chunk.len()).as_bytes());
                input.extend_from_slice(chunk);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\n\r\n");
            input.extend_from_slice(&rest);
            prop_assert_eq!(decode(&input, step), Some(Ok((chunks.concat(), rest.len()))));
            prop_assert_eq!(oracle(&input), Some(Ok((chunks.concat(), rest.len()))));
        }

        #[test]
        fn what_is_accepted_of_any_bytes_is_what_a_naive_reader_takes(
            input in prop::collection::vec(
                prop::sample::select(b"0123aA;\"\r\n x".to_vec()),
                0..40,
            ),
            step in 1_usize..5,
        ) {
            let read = decode(&input, step);
            prop_assert_eq!(&read, &decode(&input, 1000));
            if let Some(Ok(read)) = read
                && let Some(naive) = oracle(&input)
            {
                prop_assert_eq!(Ok(read), naive);
            }
        }
    }
}
