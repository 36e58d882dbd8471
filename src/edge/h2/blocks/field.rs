//! One field after another as a block has them (RFC 7541 §6), and what may stand in them.
//!
//! What may is exactly what the `h2` crate unpacks without an error, but for names, which are
//! tokens here: it takes a `"` in them, too.

use super::{
    Broken,
    huffman::{self, Garbled},
};

/// The longest name that the crate takes, in bytes.
const NAME_BYTES_MAX: usize = u16::MAX as usize;

/// An integer goes on for so many bytes at most, as the crate has it.
const MORE_BYTES_MAX: u32 = 4;

/// Walks through a block.
pub(super) struct Reader<'b> {
    block: &'b [u8],
    pub(super) at: usize,
}

/// One representation.
pub(super) enum Field<'b> {
    /// A field from the tables.
    Indexed(usize),
    /// A field that is spelt out, in part at least.
    Literal(Literal<'b>),
    /// Another size of the table.
    Resize,
}

pub(super) struct Literal<'b> {
    /// Whether it becomes an entry of the table.
    pub(super) enters: bool,
    pub(super) name: Naming<'b>,
    pub(super) value: Text<'b>,
    /// Where in the block its value begins.
    pub(super) value_at: usize,
}

pub(super) enum Naming<'b> {
    /// By an entry of the tables.
    Indexed(usize),
    Spelt(Text<'b>),
}

/// A string.
#[derive(Clone, Copy)]
pub(super) struct Text<'b> {
    packed: bool,
    bytes: &'b [u8],
}

/// What a field's name is to who judges the value beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// That of a regular field.
    Field,
    /// `:method`
    Method,
    /// `:status`
    Status,
    /// Another pseudo-field that is known; all of them are text.
    Pseudo,
    /// None that there may be. The crate has another of the same length in its place.
    None,
    /// The empty one. The crate has one of a byte in its place, and a value that is one shorter.
    Empty,
}

// === impl Reader ===

impl<'b> Reader<'b> {
    pub(super) fn new(block: &'b [u8], at: usize) -> Self {
        Self { block, at }
    }

    /// Goes on to the next field that is more than a byte, which most of them are not.
    #[inline]
    pub(super) fn skip_indexed(&mut self) {
        while self.block.get(self.at).is_some_and(|&first| first >= 0x80 && first != 0xff) {
            self.at += 1;
        }
    }

    /// The next field; `None` at the end.
    #[inline(always)]
    pub(super) fn next(&mut self) -> Result<Option<Field<'b>>, Broken> {
        let Some(&first) = self.block.get(self.at) else { return Ok(None) };
        let field = match first {
            0x80.. => Field::Indexed(self.integer(0x7f)?),
            0x40.. => Field::Literal(self.literal(0x3f, true)?),
            0x20.. => {
                self.integer(0x1f)?;
                Field::Resize
            }
            _ => Field::Literal(self.literal(0x0f, false)?),
        };
        Ok(Some(field))
    }

    #[inline(always)]
    fn literal(&mut self, mask: u8, enters: bool) -> Result<Literal<'b>, Broken> {
        let name = match self.integer(mask)? {
            0 => Naming::Spelt(self.text()?),
            index => Naming::Indexed(index),
        };
        let value_at = self.at;
        Ok(Literal { enters, name, value: self.text()?, value_at })
    }

    #[inline(always)]
    fn text(&mut self) -> Result<Text<'b>, Broken> {
        let packed = self.block.get(self.at).is_some_and(|first| first & 0x80 != 0);
        let length = self.integer(0x7f)?;
        let bytes = self.block[self.at..].get(..length).ok_or(Broken)?;
        self.at += length;
        Ok(Text { packed, bytes })
    }

    /// RFC 7541 §5.1
    #[inline(always)]
    fn integer(&mut self, mask: u8) -> Result<usize, Broken> {
        let first = self.block.get(self.at).ok_or(Broken)? & mask;
        self.at += 1;
        if first < mask { Ok(usize::from(first)) } else { self.more_of_integer(mask) }
    }

    #[cold]
    fn more_of_integer(&mut self, begun: u8) -> Result<usize, Broken> {
        let mut integer = usize::from(begun);
        for n in 0..MORE_BYTES_MAX {
            let byte = *self.block.get(self.at).ok_or(Broken)?;
            self.at += 1;
            integer += usize::from(byte & 0x7f) << (7 * n);
            if byte & 0x80 == 0 {
                return Ok(integer);
            }
        }
        Err(Broken)
    }
}

// === impl Text ===

impl Text<'_> {
    /// How many bytes it is.
    pub(super) fn length(self) -> Result<usize, Broken> {
        let mut length = 0;
        self.read(|_| length += 1)?;
        Ok(length)
    }

    fn read(self, mut take: impl FnMut(u8)) -> Result<(), Broken> {
        if self.packed {
            return huffman::unpack(self.bytes, take).map_err(|Garbled| Broken);
        }
        self.bytes.iter().for_each(|&byte| take(byte));
        Ok(())
    }

    fn all(self, mut fits: impl FnMut(u8) -> bool) -> Result<bool, Broken> {
        let mut all = true;
        self.read(|byte| all &= fits(byte))?;
        Ok(all)
    }

    #[inline]
    fn is_value(self) -> Result<bool, Broken> {
        if !self.packed {
            // Without a branch, so that many bytes are looked at together.
            return Ok(!self.bytes.iter().fold(false, |bad, &byte| bad | !is_of_value(byte)));
        }
        Ok(!huffman::may_hold_control(self.bytes) || self.all(is_of_value)?)
    }

    #[inline]
    fn is_utf8(self) -> Result<bool, Broken> {
        if !self.packed {
            return Ok(str::from_utf8(self.bytes).is_ok());
        }
        if !huffman::may_exceed_ascii(self.bytes) {
            return Ok(true);
        }
        let mut text = Vec::new();
        self.read(|byte| text.push(byte))?;
        Ok(str::from_utf8(&text).is_ok())
    }

    fn is_status(self) -> Result<bool, Broken> {
        let (mut digits, mut first) = (0, 0);
        let all = self.all(|byte| {
            first = if digits == 0 { byte } else { first };
            digits += 1;
            byte.is_ascii_digit()
        })?;
        Ok(all && digits == 3 && first != b'0')
    }

    fn is_method(self) -> Result<bool, Broken> {
        Ok(!self.bytes.is_empty() && self.all(is_of_token)?)
    }
}

// === impl Name ===

impl Name {
    /// What a name that is spelt out is.
    pub(super) fn of(text: Text<'_>) -> Result<Self, Broken> {
        // Longer than any pseudo-field's name.
        let (mut begin, mut length) = ([0; 12], 0);
        let is_name = text.all(|byte| {
            if let Some(place) = begin.get_mut(length) {
                *place = byte;
            }
            length += 1;
            is_of_token(byte) && !byte.is_ascii_uppercase()
        })?;
        Ok(match begin.get(..length).unwrap_or_default() {
            b":method" => Self::Method,
            b":status" => Self::Status,
            b":authority" | b":path" | b":protocol" | b":scheme" => Self::Pseudo,
            _ if length == 0 => Self::Empty,
            _ if is_name && length <= NAME_BYTES_MAX => Self::Field,
            _ => Self::None,
        })
    }

    /// What the name of an entry of the static table is (RFC 7541, Appendix A).
    #[inline]
    pub(super) fn of_static(index: usize) -> Self {
        match index {
            1 | 4..=7 => Self::Pseudo,
            2 | 3 => Self::Method,
            8..=14 => Self::Status,
            _ => Self::Field,
        }
    }

    /// Whether this may stand beside it.
    #[inline]
    pub(super) fn takes(self, value: Text<'_>) -> Result<bool, Broken> {
        match self {
            Self::Field => value.is_value(),
            Self::Pseudo => value.is_utf8(),
            Self::Method => value.is_method(),
            Self::Status => value.is_status(),
            // A string that cannot be unpacked is worse than the name.
            Self::None | Self::Empty => value.length().map(|_| false),
        }
    }

    /// Whether it must not stand among trailers.
    pub(super) fn is_pseudo(self) -> bool {
        matches!(self, Self::Method | Self::Status | Self::Pseudo)
    }
}

/// RFC 9110 §5.5
fn is_of_value(byte: u8) -> bool {
    (byte >= b' ') & (byte != 0x7f) | (byte == b'\t')
}

/// RFC 9110 §5.6.2
fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests;
