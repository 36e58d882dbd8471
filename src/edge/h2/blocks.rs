//! The fields of heads and trailers as they come (RFC 7541), before the `h2` crate unpacks them.
//!
//! What it cannot unpack ends the connection, since nobody knows what its table of fields holds
//! from then on. But a name in upper case or a control character in a value only make a *message*
//! malformed, which is its stream's error (RFC 9113 §8.1.1). So such a block is mended: what must
//! not be is left out or, where it enters the table, written anew as a harmless field of the same
//! size; and it gets a mark by which its message is refused. The crate's table stays in step with
//! the client's, entry by entry and byte by byte, and what refers later to such an entry is mended
//! likewise.
//!
//! Nothing is unpacked here that does not look as if it had to be, and of the table only that is
//! known what its names are to the values beside them. Sizes are not: what has fallen out of the
//! table is the oldest, so that the newer ones keep their places, and the crate itself ends a
//! connection that refers to one. The same holds of a field larger than the whole table, which
//! empties it, and of a table that is made smaller.

mod field;
mod huffman;

use super::HEADER_TABLE_BYTES;
use field::{Field, Literal, Name, Naming, Reader};

/// The most entries that the table can have: RFC 7541 §4.1 adds 32 bytes to each.
const ENTRIES_MAX: usize = HEADER_TABLE_BYTES as usize / 32;

/// The first of the dynamic table, behind the static one.
const FIRST_ENTRY: usize = 62;

/// A field that the crate takes and nobody may send, as its name is no token.
pub(super) const MARK: &str = "\"";
const MARK_OF_HEAD: &[u8] = b"\x00\x01\"\x00";

/// `te` with a value that the crate itself refuses, with a reset of the stream.
const MARK_OF_TRAILERS: &[u8] = b"\x00\x02te\x010";

/// What a block belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Of {
    /// A request's head.
    Head,
    /// The fields after a body, or what comes too late to be anything.
    Trailers,
}

/// What was found in a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing that must not be.
    Clean,
    /// A field that must not be, there.
    Malformed(usize),
}

/// The block cannot be unpacked, or not be mended, and nothing behind it can be told: the crate
/// will end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// What is known of the table that a client's blocks refer to.
#[derive(Debug)]
pub(super) struct Blocks {
    /// What the names of the latest entries are; the latest stands before `next`, and it is a ring.
    names: [Name; ENTRIES_MAX],
    next: usize,
    /// A bit for each of them, set where the field must not be.
    spoilt: u128,
}

// === impl Blocks ===

impl Blocks {
    pub(super) fn new() -> Self {
        const { assert!(ENTRIES_MAX == u128::BITS as usize, "a bit for each entry") };
        Self { names: [Name::Field; ENTRIES_MAX], next: 0, spoilt: 0 }
    }

    /// Looks at a whole block. Where something malformed is found nothing behind it has been looked
    /// at, and [`mend`](Self::mend) has to go on from there.
    pub(super) fn look(&mut self, block: &[u8], of: Of) -> Result<Found, Broken> {
        let mut reader = Reader::new(block, 0);
        let any_may_be_meant = self.spoilt == 0 && of == Of::Head;
        loop {
            if any_may_be_meant {
                reader.skip_indexed();
            }
            let at = reader.at;
            match reader.next()? {
                None => return Ok(Found::Clean),
                Some(Field::Resize) => {}
                Some(Field::Indexed(index)) => {
                    if !any_may_be_meant && !self.may_refer(index, of) {
                        return Ok(Found::Malformed(at));
                    }
                }
                Some(Field::Literal(literal)) => {
                    let name = self.name_of(&literal)?;
                    let strays = of == Of::Trailers && name.is_pseudo();
                    if strays || !name.takes(literal.value)? {
                        return Ok(Found::Malformed(at));
                    }
                    if literal.enters {
                        self.enter(name, false);
                    }
                }
            }
        }
    }

    /// The block as the crate can take it, with a mark by which its message will be refused. All
    /// before `from` is clean, and has been looked at.
    pub(super) fn mend(&mut self, block: &[u8], from: usize, of: Of) -> Result<Vec<u8>, Broken> {
        let mut out = Vec::with_capacity(block.len() + MARK_OF_TRAILERS.len());
        out.extend_from_slice(&block[..from]);
        let mut reader = Reader::new(block, from);
        let mut has_fields = from > 0;
        loop {
            let at = reader.at;
            let field = reader.next()?;
            let written = &block[at..reader.at];
            match field {
                None => break,
                // RFC 7541 §4.2: it stands at the beginning.
                Some(Field::Resize) if has_fields => return Err(Broken),
                Some(Field::Resize) => out.extend_from_slice(written),
                Some(Field::Indexed(index)) => {
                    if self.may_refer(index, Of::Head) {
                        out.extend_from_slice(written);
                    }
                }
                Some(Field::Literal(literal)) => {
                    let name = self.name_of(&literal)?;
                    let takes = name.takes(literal.value)?;
                    if takes {
                        out.extend_from_slice(written);
                    }
                    if literal.enters {
                        let front = &block[at..literal.value_at];
                        let name =
                            if takes { name } else { replace(&literal, name, front, &mut out)? };
                        self.enter(name, !takes);
                    }
                }
            }
            has_fields = true;
        }
        out.extend_from_slice(match of {
            Of::Head => MARK_OF_HEAD,
            Of::Trailers => MARK_OF_TRAILERS,
        });
        Ok(out)
    }

    #[inline]
    fn name_of(&self, literal: &Literal<'_>) -> Result<Name, Broken> {
        match literal.name {
            Naming::Spelt(text) => Name::of(text),
            Naming::Indexed(index) => Ok(self.name_at(index)),
        }
    }

    #[inline]
    fn name_at(&self, index: usize) -> Name {
        self.place(index).map_or_else(|| Name::of_static(index), |place| self.names[place])
    }

    /// Whether a field may be the one at `index`.
    fn may_refer(&self, index: usize, of: Of) -> bool {
        let is_spoilt = self.place(index).is_some_and(|place| self.spoilt >> place & 1 == 1);
        !(is_spoilt || of == Of::Trailers && self.name_at(index).is_pseudo())
    }

    /// Where the entry at `index` stands, if the index is one that the dynamic table can have.
    #[inline]
    fn place(&self, index: usize) -> Option<usize> {
        let age = index.checked_sub(FIRST_ENTRY).filter(|&age| age < ENTRIES_MAX)?;
        Some((self.next + ENTRIES_MAX - 1 - age) % ENTRIES_MAX)
    }

    fn enter(&mut self, name: Name, spoilt: bool) {
        self.names[self.next] = name;
        self.spoilt = self.spoilt & !(1 << self.next) | u128::from(spoilt) << self.next;
        self.next = (self.next + 1) % ENTRIES_MAX;
    }
}

/// Writes a harmless field of the same size in place of one that must not be; `front` is all of it
/// before its value. What the name of its entry is from now on.
fn replace(
    literal: &Literal<'_>,
    name: Name,
    front: &[u8],
    out: &mut Vec<u8>,
) -> Result<Name, Broken> {
    // What has the table's size already is not kept in it; so it need not be longer.
    let capped = |length: usize| length.min(HEADER_TABLE_BYTES as usize);
    let value = capped(literal.value.length()?);
    let spelt = match (&literal.name, name) {
        (Naming::Spelt(text), Name::None) => Some(capped(text.length()?)),
        (Naming::Spelt(_), Name::Empty) => Some(1),
        // No filler is a method of no bytes, or a status of any number of them.
        (_, Name::Method) if value == 0 => Some(":method".len()),
        (_, Name::Status) if value != 3 => Some(":status".len()),
        _ => None,
    };
    match spelt {
        Some(length) => {
            // A literal that enters the table, with a name of its own (RFC 7541 §6.2.1).
            out.push(0x40);
            write_filler(length, out);
        }
        None => out.extend_from_slice(front),
    }
    // The byte that its name has too much. Without any, nothing that the crate takes is as short.
    let value = if name == Name::Empty { value.checked_sub(1).ok_or(Broken)? } else { value };
    write_filler(value, out);
    Ok(if spelt.is_some() && name != Name::Empty { Name::None } else { name })
}

/// A string of so many ones, packed, so that it is never longer than what it stands for.
fn write_filler(length: usize, out: &mut Vec<u8>) {
    let bytes = (length * 5).div_ceil(8);
    match bytes.checked_sub(0x7f) {
        None => out.push(0x80 | bytes as u8),
        Some(mut more) => {
            out.push(0xff);
            while more >= 0x80 {
                out.push(0x80 | (more & 0x7f) as u8);
                more >>= 7;
            }
            out.push(more as u8);
        }
    }
    huffman::pack_ones(length, out);
}

#[cfg(test)]
pub(super) use huffman::tests::pack as huffman_of;

#[cfg(test)]
mod tests;
