//! Fields of a head that go on as they came.
//!
//! usher reads few fields of a head, and changes fewer. Those lie in a map; all others lie here, in
//! the memory in which they came: found once, not copied, not hashed, and written out with one copy
//! for as many as stand behind each other. Which they are is said by [`Known`]; a name that a
//! configuration asks for is brought into the map before anybody looks there ([`Lines::bring`]).
//!
//! Invariants: a name lies here or in the map, never in both, so that repeated fields keep their
//! order; what is written is `Name: value` and CRLF, however it came.

mod lay;
#[cfg(test)]
mod tests;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    cut::{Cut, Cuts},
    names::Known,
    spelling,
    text::append_line,
};

pub use lay::Laying;

/// How many a list has room for at first.
const LINES_USUAL: usize = 24;

/// So many names are looked for one after the other.
const NAMES_FEW: usize = 8;

/// Fields of a head that go on as they came, and those that usher adds.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// What they were cut out of.
    bytes: Bytes,
    list: Vec<Line>,
    /// A bit for each length that a name here has, modulo 64: most look-ups end with it.
    lengths: u64,
    /// A bit for each kind that is here.
    kinds: u16,
    /// Whole lines that are written behind the others.
    added: Vec<u8>,
}

/// Why a head cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncut {
    /// Something in it is no field, or it is not there whole.
    Malformed,
    /// It has more fields than it may.
    TooMany,
}

/// Where one of them lies.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: u32,
    name_end: u32,
    value: u32,
    end: u32,
    known: Known,
    /// Whether it came exactly as it is written.
    plain: bool,
}

// === impl Lines ===

impl Lines {
    /// Cuts the fields of a head off `bytes`, from `at` on, each of which is what `of` says; and
    /// where the head ends. What they were cut out of is handed in by [`Lines::settle`].
    ///
    /// # Errors
    /// When one is no field, more than `fields_max` come, or the head is not there whole.
    pub fn cut(
        bytes: &[u8],
        at: usize,
        fields_max: usize,
        of: impl Fn(&Cut<'_>) -> Known,
    ) -> Result<(Self, usize), Uncut> {
        let mut lines = Self::default();
        let mut cuts = Cuts::of(bytes, at);
        for cut in cuts.by_ref() {
            if lines.list.len() == fields_max {
                return Err(Uncut::TooMany);
            }
            let cut = cut.map_err(|_| Uncut::Malformed)?;
            lines.push(&cut, of(&cut));
        }
        // So that no place lies beyond what its number can hold.
        let whole = u32::try_from(cuts.end()).map_err(|_| Uncut::Malformed)?;
        Ok((lines, whole as usize))
    }

    #[inline]
    fn push(&mut self, cut: &Cut<'_>, known: Known) {
        if self.list.is_empty() {
            self.list.reserve(LINES_USUAL);
        }
        let (name_end, value) = (cut.start + cut.name.len(), cut.value_start);
        self.list.push(Line {
            start: cut.start as u32,
            name_end: name_end as u32,
            value: value as u32,
            end: (value + cut.value.len()) as u32,
            known,
            plain: cut.plain,
        });
        self.lengths |= length_bit(cut.name.len());
        self.kinds |= known.bit();
    }

    /// What each of them is, and its value, in the bytes that they were cut out of.
    pub fn seen<'b>(&self, bytes: &'b [u8]) -> impl Iterator<Item = (Known, &'b [u8])> {
        let meant = self.list.iter().filter(|line| line.known != Known::Other);
        meant.map(|line| (line.known, &bytes[line.value as usize..line.end as usize]))
    }

    /// They lie in `bytes` from now on. Those that do not pass are taken out, and handed to `keep`.
    pub fn settle<E>(
        &mut self,
        bytes: &Bytes,
        mut keep: impl FnMut(Known, &[u8], Bytes) -> Result<(), E>,
    ) -> Result<(), E> {
        self.bytes = bytes.clone();
        if self.kinds & !Known::PASSING == 0 {
            return Ok(());
        }
        for line in self.list.iter().filter(|line| !line.known.passes()) {
            let value = bytes.slice(line.value as usize..line.end as usize);
            keep(line.known, line.name(bytes), value)?;
        }
        self.list.retain(|line| line.known.passes());
        self.count_kinds();
        Ok(())
    }

    /// How many there are, without those that were added.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there is none, and none was added.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && self.added.is_empty()
    }

    /// Whether a field of this kind is here.
    pub fn has(&self, known: Known) -> bool {
        self.kinds & known.bit() != 0
    }

    /// The values of the fields of this kind, in their order.
    pub fn all(&self, known: Known) -> impl Iterator<Item = &[u8]> {
        let list = if self.has(known) { &self.list[..] } else { &[] };
        list.iter().filter(move |line| line.known == known).map(|line| self.value_of(line))
    }

    /// The value of the first field of this kind.
    pub fn get(&self, known: Known) -> Option<&[u8]> {
        self.all(known).next()
    }

    /// The same, sharing the memory of the head.
    pub fn share(&self, known: Known) -> Option<HeaderValue> {
        let value = self.bytes.slice_ref(self.get(known)?);
        HeaderValue::from_maybe_shared(value).ok()
    }

    /// Whole lines, to be written behind the others.
    pub fn add(&mut self) -> &mut Vec<u8> {
        &mut self.added
    }

    /// Moves the fields called `name` into `map`.
    pub fn bring(&mut self, name: &HeaderName, map: &mut HeaderMap) {
        if !self.may_hold(name) {
            return;
        }
        let bytes = &self.bytes;
        self.list.retain(|line| {
            let meant = line.is_called(name, bytes);
            if meant && let Some(value) = line.shared(bytes) {
                map.append(name, value);
            }
            !meant
        });
        self.count_kinds();
    }

    /// Removes the fields called by any of `names`, of which a client may send thousands.
    pub fn remove(&mut self, names: &[HeaderName]) {
        if !names.iter().any(|name| self.may_hold(name)) {
            return;
        }
        let bytes = &self.bytes;
        if names.len() <= NAMES_FEW {
            self.list.retain(|line| !names.iter().any(|name| line.is_called(name, bytes)));
        } else {
            let names: std::collections::HashSet<_> = names.iter().collect();
            let name_of = |line: &Line| HeaderName::from_bytes(line.name(bytes));
            self.list.retain(|line| !name_of(line).is_ok_and(|name| names.contains(&name)));
        }
        self.count_kinds();
    }

    /// Removes the fields of this kind.
    pub fn remove_known(&mut self, known: Known) {
        if self.has(known) {
            self.list.retain(|line| line.known != known);
            self.count_kinds();
        }
    }

    /// Puts all into `map`, for those who can read nothing else.
    pub fn pour(self, map: &mut HeaderMap) {
        // At once, since a map that grows lays all anew that it has. A quarter of its room is not
        // used; and one more is often added.
        map.reserve((self.list.len() + 1) * 4 / 3 + 1);
        for line in &self.list {
            let name = spelling::name_of(line.name(&self.bytes));
            if let (Some(name), Some(value)) = (name, line.shared(&self.bytes)) {
                map.append(name, value);
            }
        }
        let added = Bytes::from(self.added);
        for cut in Cuts::of(&added, 0).flatten() {
            let value = HeaderValue::from_maybe_shared(added.slice_ref(cut.value));
            if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(cut.name), value) {
                map.append(name, value);
            }
        }
    }

    /// Writes all of them, but none of the kind `but`.
    pub fn append_to(&self, text: &mut BytesMut, but: Option<Known>) {
        let but = but.filter(|but| self.has(*but));
        // What stands behind each other as it is written goes with one copy.
        let (mut from, mut to) = (0, 0);
        for line in &self.list {
            let (start, end) = (line.start as usize, line.end as usize);
            let written = but.is_none_or(|but| line.known != but);
            if written && line.plain && start == to {
                to = end + CRLF.len();
                continue;
            }
            text.extend_from_slice(&self.bytes[from..to]);
            (from, to) = (start, start);
            if written && line.plain {
                to = end + CRLF.len();
            } else if written {
                append_line(text, line.name(&self.bytes), self.value_of(line));
            }
        }
        text.extend_from_slice(&self.bytes[from..to]);
        text.extend_from_slice(&self.added);
    }

    fn value_of(&self, line: &Line) -> &[u8] {
        &self.bytes[line.value as usize..line.end as usize]
    }

    fn may_hold(&self, name: &HeaderName) -> bool {
        self.lengths & length_bit(name.as_str().len()) != 0
    }

    fn count_kinds(&mut self) {
        self.kinds = self.list.iter().fold(0, |kinds, line| kinds | line.known.bit());
    }
}

// === impl Line ===

impl Line {
    fn name<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[self.start as usize..self.name_end as usize]
    }

    fn is_called(&self, name: &HeaderName, bytes: &[u8]) -> bool {
        let name = name.as_str();
        (self.name_end - self.start) as usize == name.len()
            && self.name(bytes).eq_ignore_ascii_case(name.as_bytes())
    }

    fn shared(&self, bytes: &Bytes) -> Option<HeaderValue> {
        let value = bytes.slice(self.value as usize..self.end as usize);
        // Whoever cut it has looked at its bytes.
        HeaderValue::from_maybe_shared(value).ok()
    }
}

const CRLF: &[u8] = b"\r\n";

fn length_bit(bytes: usize) -> u64 {
    1 << (bytes % 64)
}
