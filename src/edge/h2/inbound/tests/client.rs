//! A client that packs fields in every way there is, makes mistakes if it is told to, and knows
//! what its requests are worth.

use std::collections::{BTreeMap, VecDeque};

use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{CONTINUATION, END_HEADERS, END_STREAM, GET, HEADERS, frame};
use crate::edge::h2::{blocks::huffman_of, frames::PREFACE};

/// The size of the table that it begins with, and what an entry takes beside its name and value.
const TABLE_BYTES: usize = 4096;
const ENTRY_BYTES: usize = 32;

/// Entries of the static table whose names it uses.
const STATIC: [(usize, &[u8]); 6] = [
    (15, b"accept-charset"),
    (19, b"accept"),
    (31, b"content-type"),
    (35, b"expect"),
    (58, b"user-agent"),
    (60, b"via"),
];

const NAMES: [&[u8]; 6] =
    [b"x-a", b"x-bb", b"cookie", b"~", b"x_c", b"x-a-name-that-is-as-long-as-some-are-and-longer"];

const WRONG_NAMES: [&[u8]; 10] =
    [b"X-A", b"x b", b"", b":audience", b"x\"", b"x-\xff", b":method", b":status", b":path", b":"];

const WRONG_VALUES: [&[u8]; 8] =
    [b"\0", b"a\r\nb: c", b"\x7f\x7f", b"?\0", b"G T", b"20", b"/\xff\n", b"oo\0oo"];

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// Its fields, unless it is malformed.
    pub(super) head: Option<HeaderMap>,
    /// Those after its body, if it has any: the same.
    pub(super) trailers: Option<Option<HeaderMap>>,
}

/// Name and value.
type Field = (Vec<u8>, Vec<u8>);

pub(super) struct Client {
    rng: Rng,
    errs: bool,
    cuts: bool,
    table: VecDeque<Field>,
    table_bytes_max: usize,
    stream: u32,
    pub(super) sent: Vec<u8>,
    pub(super) expected: BTreeMap<u32, Expected>,
}

// === impl Client ===

impl Client {
    pub(super) fn new(seed: u64, errs: bool, cuts: bool) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            errs,
            cuts,
            table: VecDeque::new(),
            table_bytes_max: TABLE_BYTES,
            stream: 1,
            sent: PREFACE.to_vec(),
            expected: BTreeMap::new(),
        }
    }

    /// Sends one request.
    pub(super) fn ask(&mut self) {
        if self.rng.u8(..8) == 0 {
            self.sent.extend(frame(0x6, 0, 0, &[0; 8]));
        }
        let has_trailers = self.rng.u8(..4) == 0;
        let mut block = self.resized();
        block.extend_from_slice(GET);
        // The authority enters the table.
        self.enter(b":authority", b"a");
        let head = self.fields(&mut block);
        self.send(&block, if has_trailers { 0 } else { END_STREAM });
        let trailers = has_trailers.then(|| {
            let mut block = self.resized();
            let fields = self.fields(&mut block);
            self.send(&block, END_STREAM);
            fields
        });
        self.expected.insert(self.stream, Expected { head, trailers });
        self.stream += 2;
    }

    /// All that was sent, in pieces, and how much room there is for each look at them.
    pub(super) fn pieces(&mut self) -> (VecDeque<Vec<u8>>, Vec<usize>) {
        let longest = [2, 20, 200, 20_000][self.rng.usize(..4)];
        let (mut pieces, mut rest) = (VecDeque::new(), &*self.sent);
        while !rest.is_empty() {
            let piece;
            (piece, rest) = rest.split_at(self.rng.usize(1..=longest).min(rest.len()));
            pieces.push_back(piece.to_vec());
        }
        let rooms = std::iter::repeat_with(|| self.rng.usize(1..=longest)).take(50).collect();
        (pieces, rooms)
    }

    fn send(&mut self, block: &[u8], flags: u8) {
        let (mut rest, mut kind, mut flags) = (block, HEADERS, flags);
        for n in 0.. {
            let cuts = self.cuts && n < 5 && self.rng.bool();
            let bytes = if cuts { self.rng.usize(..=rest.len()) } else { rest.len() };
            let (piece, more) = rest.split_at(bytes.min(16 << 10));
            let ends = more.is_empty() && !cuts;
            flags |= if ends { END_HEADERS } else { 0 };
            self.sent.extend(frame(kind, flags, self.stream, piece));
            if ends {
                return;
            }
            (rest, kind, flags) = (more, CONTINUATION, 0);
        }
    }

    /// The beginning of a block: now and then, the table gets another size.
    fn resized(&mut self) -> Vec<u8> {
        let mut block = Vec::new();
        if self.rng.u8(..8) == 0 {
            for _ in 0..self.rng.u8(1..3) {
                let bytes = [0, 40, 300, TABLE_BYTES][self.rng.usize(..4)];
                integer(0x20, 0x1f, bytes, &mut block);
                self.table_bytes_max = bytes;
                self.evict(0);
            }
        }
        block
    }

    /// Some fields; `None` when one of them is malformed.
    fn fields(&mut self, block: &mut Vec<u8>) -> Option<HeaderMap> {
        let mut fields = Some(HeaderMap::new());
        for _ in 0..self.rng.usize(..10) {
            let (name, value) = self.field(block);
            let field = HeaderName::from_lowercase(&name).ok().filter(|_| !name.contains(&b'"'));
            let field = field.zip(HeaderValue::from_bytes(&value).ok());
            fields = fields.zip(field).map(|(mut fields, (name, value))| {
                fields.append(name, value);
                fields
            });
        }
        fields
    }

    fn field(&mut self, block: &mut Vec<u8>) -> Field {
        let chosen = self.chosen();
        match (self.rng.u8(..10), chosen) {
            // What is there may be a pseudo-field, whose place is not here.
            (0..4, Some((index, field))) if self.errs || field.0[0] != b':' => {
                integer(0x80, 0x7f, index, block);
                field
            }
            (4, _) => {
                block.push(0x90);
                (b"accept-encoding".to_vec(), b"gzip, deflate".to_vec())
            }
            (_, chosen) => self.literal(chosen, block),
        }
    }

    fn literal(&mut self, chosen: Option<(usize, Field)>, block: &mut Vec<u8>) -> Field {
        let (first, mask) = [(0x40, 0x3f), (0x00, 0x0f), (0x10, 0x0f)][self.rng.usize(..3)];
        let errs = self.errs;
        // A block stays below what one frame carries.
        let mut value = self.value(block.len() < 4000);
        let by_entry = chosen.filter(|(_, (name, _))| errs || name[0] != b':');
        let name = match (self.rng.u8(..4), by_entry) {
            (0, Some((index, (name, _)))) => {
                self.no_nothing(&name, &mut value);
                integer(first, mask, index, block);
                name
            }
            (1, _) => {
                let (index, name) = STATIC[self.rng.usize(..STATIC.len())];
                integer(first, mask, index, block);
                name.to_vec()
            }
            _ => {
                let name = match errs && self.rng.u8(..6) == 0 {
                    true => WRONG_NAMES[self.rng.usize(..WRONG_NAMES.len())],
                    false => NAMES[self.rng.usize(..NAMES.len())],
                };
                self.no_nothing(name, &mut value);
                block.push(first);
                self.string(name, block);
                name.to_vec()
            }
        };
        self.string(&value, block);
        if first == 0x40 {
            self.enter(&name, &value);
        }
        (name, value)
    }

    /// An empty name beside an empty value is what cannot be mended.
    fn no_nothing(&mut self, name: &[u8], value: &mut Vec<u8>) {
        if name.is_empty() && value.is_empty() {
            value.push(b'x');
        }
    }

    fn value(&mut self, may_be_large: bool) -> Vec<u8> {
        if self.errs && self.rng.u8(..8) == 0 {
            return WRONG_VALUES[self.rng.usize(..WRONG_VALUES.len())].to_vec();
        }
        let bytes = match self.rng.u8(..30) {
            0 if may_be_large => self.rng.usize(1000..5000),
            1..10 => 0,
            _ => self.rng.usize(1..60),
        };
        let alphabet: &[u8] = b"abco?|~<+0129 \t\\\xe9";
        std::iter::repeat_with(|| alphabet[self.rng.usize(..alphabet.len())]).take(bytes).collect()
    }

    /// An entry of the table, if it has any.
    fn chosen(&mut self) -> Option<(usize, Field)> {
        if self.table.is_empty() {
            return None;
        }
        let age = self.rng.usize(..self.table.len());
        Some((62 + age, self.table[age].clone()))
    }

    fn enter(&mut self, name: &[u8], value: &[u8]) {
        let bytes = name.len() + value.len() + ENTRY_BYTES;
        self.evict(bytes);
        if bytes <= self.table_bytes_max {
            self.table.push_front((name.to_vec(), value.to_vec()));
        }
    }

    /// Makes room for so many bytes.
    fn evict(&mut self, bytes: usize) {
        let size = |(name, value): &Field| name.len() + value.len() + ENTRY_BYTES;
        while self.table.iter().map(size).sum::<usize>() + bytes > self.table_bytes_max
            && self.table.pop_back().is_some()
        {}
    }

    fn string(&mut self, text: &[u8], block: &mut Vec<u8>) {
        if self.rng.bool() {
            let packed = huffman_of(text);
            integer(0x80, 0x7f, packed.len(), block);
            block.extend(packed);
        } else {
            integer(0, 0x7f, text.len(), block);
            block.extend(text);
        }
    }
}

/// RFC 7541 §5.1
fn integer(first: u8, mask: u8, value: usize, out: &mut Vec<u8>) {
    let Some(mut more) = value.checked_sub(usize::from(mask)) else {
        return out.push(first | value as u8);
    };
    out.push(first | mask);
    while more >= 0x80 {
        out.push(0x80 | (more & 0x7f) as u8);
        more >>= 7;
    }
    out.push(more as u8);
}
