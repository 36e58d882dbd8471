//! Lines that are laid one by one, for a head that came in another form than lines.

use super::{CRLF, Line, Lines, length_bit};
use crate::http1::names::Known;

/// Lines on their way to be [`Lines`].
#[derive(Debug)]
pub struct Laying {
    /// Bytes and no `BytesMut`, since it costs less to append to them.
    text: Vec<u8>,
    lines: Lines,
}

// === impl Laying ===

impl Laying {
    /// Room for so many `fields`, whose lines are `bytes` long. More fit in, at a price.
    pub fn new(fields: usize, bytes: usize) -> Self {
        let lines = Lines { list: Vec::with_capacity(fields), ..Lines::default() };
        Self { text: Vec::with_capacity(bytes), lines }
    }

    /// Lays a field which is `known`. Both its name and its value are such as may stand in a head,
    /// which is far shorter than what the places of lines can count.
    pub fn lay(&mut self, name: &[u8], value: &[u8], known: Known) {
        let start = self.text.len();
        self.text.extend_from_slice(name);
        self.text.extend_from_slice(b": ");
        self.text.extend_from_slice(value);
        let end = self.text.len();
        self.text.extend_from_slice(CRLF);
        self.lines.list.push(Line {
            start: start as u32,
            name_end: (start + name.len()) as u32,
            value: (end - value.len()) as u32,
            end: end as u32,
            known,
            plain: true,
        });
        self.lines.lengths |= length_bit(name.len());
        self.lines.kinds |= known.bit();
    }

    /// Lays more of the value of the field that was laid last, behind `between`.
    pub fn extend(&mut self, between: &[u8], more: &[u8]) {
        let Some(line) = self.lines.list.last_mut() else { return };
        self.text.truncate(line.end as usize);
        self.text.extend_from_slice(between);
        self.text.extend_from_slice(more);
        line.end = self.text.len() as u32;
        self.text.extend_from_slice(CRLF);
    }

    /// All of them.
    pub fn done(self) -> Lines {
        let Self { text, mut lines } = self;
        lines.bytes = text.into();
        lines
    }
}
