//! Lines of fields (RFC 9112 §5) cut into names and values, strictly, with one look at each byte.
//!
//! Every line ends with CRLF. A folded line, a blank ahead of a field or of its colon, a name that
//! is no token and a control byte in a value are no fields.

use super::fields::BadFields;

/// One field, as it stands in the bytes that it is cut out of.
#[derive(Clone, Copy, Debug)]
pub struct Cut<'b> {
    /// Where its line begins.
    pub start: usize,
    /// A token, as it came.
    pub name: &'b [u8],
    /// Whether the name holds a `_`.
    pub underscored: bool,
    /// Without blanks around it.
    pub value: &'b [u8],
    /// Where that begins.
    pub value_start: usize,
    /// Whether the line is the name, a colon, a blank and the value, and nothing else.
    pub plain: bool,
}

/// Cuts fields off, one after the other, up to the empty line that ends them. After the first that
/// is none, or that is not there whole, nothing comes any more.
#[derive(Clone, Debug)]
pub struct Cuts<'b> {
    bytes: &'b [u8],
    at: usize,
    done: bool,
}

/// The longest name that a map can hold.
const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// What a byte is in a name.
const NAME: [u8; 256] = {
    let mut kinds = [OTHER; 256];
    let mut byte = 0;
    while byte < 128 {
        if (byte as u8).is_ascii_alphanumeric() {
            kinds[byte] = TOKEN;
        }
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^`|~";
    let mut mark = 0;
    while mark < marks.len() {
        kinds[marks[mark] as usize] = TOKEN;
        mark += 1;
    }
    kinds[b'_' as usize] = TOKEN | UNDERSCORE;
    kinds
};

const OTHER: u8 = 0;
const TOKEN: u8 = 1;
const UNDERSCORE: u8 = 2;

/// So many bytes of a long value are looked at at once.
const BLOCK_BYTES: usize = 32;

const WORD_BYTES: usize = 8;

// === impl Cuts ===

impl<'b> Cuts<'b> {
    /// Of `bytes` from `at` on.
    pub fn of(bytes: &'b [u8], at: usize) -> Self {
        Self { bytes, at, done: false }
    }

    /// Behind the empty line, once it has been reached.
    pub fn end(&self) -> usize {
        self.at
    }

    /// The next field; `None` is the empty line.
    #[inline]
    fn cut(&mut self) -> Result<Option<Cut<'b>>, BadFields> {
        let start = self.at;
        let line = &self.bytes[start..];
        let (length, underscored) = name_end(line);
        let (name, behind) = line.split_at(length);
        let behind = match behind {
            [b':', behind @ ..] if (1..=NAME_BYTES_MAX).contains(&length) => behind,
            [b'\r', b'\n', ..] if length == 0 => {
                self.at += CRLF.len();
                return Ok(None);
            }
            _ => return Err(BadFields),
        };
        let end = text_end(behind);
        let (text, rest) = behind.split_at(end);
        let [b'\r', b'\n', ..] = rest else { return Err(BadFields) };
        self.at = start + length + 1 + end + CRLF.len();
        let plain = is_plain(text);
        let (blanks, value) = if plain { (1, &text[1..]) } else { trimmed(text) };
        let value_start = start + length + 1 + blanks;
        Ok(Some(Cut { start, name, underscored, value, value_start, plain }))
    }
}

impl<'b> Iterator for Cuts<'b> {
    type Item = Result<Cut<'b>, BadFields>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let cut = self.cut();
        self.done = !matches!(cut, Ok(Some(_)));
        cut.transpose()
    }
}

const CRLF: &[u8] = b"\r\n";

/// How long the name is that `line` begins with, and whether there is a `_` in it.
fn name_end(line: &[u8]) -> (usize, bool) {
    let mut length = 0;
    // Hardly a name has anything but letters, digits and `-`.
    for word in line.chunks_exact(WORD_BYTES).take(BLOCK_BYTES / WORD_BYTES) {
        let others = unusual(word_of(word));
        if others != 0 {
            length += first_marked(others);
            break;
        }
        length += WORD_BYTES;
    }
    if line.get(length) == Some(&b':') {
        return (length, false);
    }
    let mut seen = 0;
    while let Some(&byte) = line.get(length)
        && NAME[usize::from(byte)] != OTHER
    {
        seen |= NAME[usize::from(byte)];
        length += 1;
    }
    (length, seen & UNDERSCORE != 0)
}

/// Whether it is a blank and a value without any around it.
#[inline]
fn is_plain(text: &[u8]) -> bool {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    matches!(text, [b' ', first, ..] if !is_blank(first)) && !text.last().is_some_and(is_blank)
}

/// How many blanks stand ahead of a value, and the value without those around it; no other byte is
/// one (RFC 9110 §5.6.3).
fn trimmed(mut value: &[u8]) -> (usize, &[u8]) {
    let mut blanks = 0;
    while let [b' ' | b'\t', rest @ ..] = value {
        (value, blanks) = (rest, blanks + 1);
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    (blanks, value)
}

/// Where the first byte stands that no text may hold; the length where there is none.
pub fn text_end(bytes: &[u8]) -> usize {
    let mut at = 0;
    'text: loop {
        // Most texts end within a few words.
        for word in bytes[at..].chunks_exact(WORD_BYTES).take(BLOCK_BYTES / WORD_BYTES) {
            let marks = controls(word_of(word));
            if marks != 0 {
                at += first_marked(marks);
                if bytes.get(at) != Some(&b'\t') {
                    return at;
                }
                at += 1;
                continue 'text;
            }
            at += WORD_BYTES;
        }
        // Looks at all bytes of a block, which compilers turn into wide instructions.
        let clean =
            |block: &&[u8]| !block.iter().fold(false, |found, &byte| found | is_below(byte));
        at += BLOCK_BYTES * bytes[at..].chunks_exact(BLOCK_BYTES).take_while(clean).count();
        if bytes.len() - at < WORD_BYTES {
            let end = bytes[at..].iter().position(|&byte| is_control(byte));
            return end.map_or(bytes.len(), |end| at + end);
        }
    }
}

fn word_of(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |word| u64::from_le_bytes(*word))
}

/// Which byte of a word has the lowest mark.
fn first_marked(marks: u64) -> usize {
    marks.trailing_zeros() as usize / WORD_BYTES
}

/// Once in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// Marks the highest bit of each byte of `word` that is a control byte or a tab; one that stands
/// above such a byte may be marked as well.
fn controls(word: u64) -> u64 {
    let below = word.wrapping_sub(EACH * 0x20) & !word;
    let delete = word ^ (EACH * 0x7f);
    let delete = delete.wrapping_sub(EACH) & !delete;
    (below | delete) & (EACH * 0x80)
}

/// Marks the highest bit of each byte of `word` that is neither a letter nor a digit nor `-`.
fn unusual(word: u64) -> u64 {
    // Bytes up to 0x7f do not carry into the next.
    let from = |word: u64, least: u8| word.wrapping_add(EACH * u64::from(0x80 - least));
    let low = word & (EACH * 0x7f);
    let lower = low | (EACH * 0x20);
    let letters = from(lower, b'a') & !from(lower, b'z' + 1);
    let digits = from(low, b'0') & !from(low, b'9' + 1);
    let dashes = from(low, b'-') & !from(low, b'-' + 1);
    (!(letters | digits | dashes) | word) & (EACH * 0x80)
}

fn is_below(byte: u8) -> bool {
    byte < b' ' || byte == 0x7f
}

/// Whether no text may hold `byte`.
fn is_control(byte: u8) -> bool {
    is_below(byte) && byte != b'\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_ends_with_the_first_byte_that_is_no_token_wherever_it_is() {
        for length in 0..50 {
            for byte in 0..=255_u8 {
                for front in [&b"aZ09-mB"[..], b"aZ_-!z"] {
                    let mut line: Vec<u8> = front.iter().cycle().take(length).copied().collect();
                    let underscored = line.contains(&b'_');
                    line.extend_from_slice(&[byte, b':', b' ', b'a', b'_']);
                    let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
                    let expected = match token {
                        true => (length + 1, underscored || byte == b'_'),
                        false => (length, underscored),
                    };
                    assert_eq!(name_end(&line), expected, "{}", line.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_text_is_found_wherever_it_is() {
        for length in 0..100 {
            for end in 0..256_u16 {
                let byte = end as u8;
                let mut text = b"aB~ \t\x80\xff-".iter().cycle().take(length).copied().collect();
                let control = byte != b'\t' && (byte < b' ' || byte == 0x7f);
                Vec::push(&mut text, byte);
                text.extend_from_slice(b"\xa0\r\0 more of it, which is not looked at any further");
                let expected = if control { length } else { length + 2 };
                assert_eq!(text_end(&text), expected, "{length} {byte}");
                assert_eq!(text_end(&text[..length]), length);
            }
        }
    }
}
