//! Lines of fields (RFC 9112 §5) cut into names and values, strictly.
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

/// Cuts fields off, one after the other. After the first that is none, nothing comes any more.
#[derive(Clone, Debug)]
pub struct Cuts<'b> {
    bytes: &'b [u8],
    at: usize,
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

// === impl Cuts ===

impl<'b> Cuts<'b> {
    /// Of `bytes` from `at` on; the last line is empty, and nothing stands behind it.
    pub fn of(bytes: &'b [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    fn cut(&self) -> Result<Option<(Cut<'b>, usize)>, BadFields> {
        let start = self.at;
        let rest = self.bytes.get(start..).ok_or(BadFields)?;
        let feed = memchr::memchr(b'\n', rest).ok_or(BadFields)?;
        let [line @ .., b'\r'] = &rest[..feed] else { return Err(BadFields) };
        if line.is_empty() {
            return if feed + 1 == rest.len() { Ok(None) } else { Err(BadFields) };
        }
        let (mut colon, mut seen) = (0, 0);
        while let Some(&byte) = line.get(colon)
            && NAME[usize::from(byte)] != OTHER
        {
            seen |= NAME[usize::from(byte)];
            colon += 1;
        }
        let (name, behind) = line.split_at(colon);
        let [b':', behind @ ..] = behind else { return Err(BadFields) };
        if !(1..=NAME_BYTES_MAX).contains(&name.len()) || has_control(behind) {
            return Err(BadFields);
        }
        let (blanks, value) = trimmed(behind);
        let plain = matches!(behind, [b' ', ..]) && blanks == 1 && value.len() + 1 == behind.len();
        let value_start = start + colon + 1 + blanks;
        let underscored = seen & UNDERSCORE != 0;
        let cut = Cut { start, name, underscored, value, value_start, plain };
        Ok(Some((cut, start + feed + 1)))
    }
}

impl<'b> Iterator for Cuts<'b> {
    type Item = Result<Cut<'b>, BadFields>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == usize::MAX {
            return None;
        }
        let cut = self.cut();
        self.at = usize::MAX;
        match cut {
            Ok(None) => None,
            Ok(Some((cut, next))) => {
                self.at = next;
                Some(Ok(cut))
            }
            Err(bad) => Some(Err(bad)),
        }
    }
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

/// Looks at all bytes without stopping early, which compilers turn into wide instructions.
pub fn has_control(text: &[u8]) -> bool {
    text.iter().fold(false, |found, &byte| found | is_control(byte))
}

/// Whether no text may hold `byte`.
pub fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}
