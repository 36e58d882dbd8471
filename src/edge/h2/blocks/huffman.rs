//! The code by which HPACK shortens strings (RFC 7541 §5.2 and Appendix B), as far as it has to be
//! understood to tell what a string holds.
//!
//! The code is canonical: its lengths say all. Most strings need not be unpacked: what must not
//! stand in them has codes that no other text brings forth.

/// How many bits the code of each byte has, and at last that of the end, which nobody may send.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, //
    28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, //
    10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, //
    15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, //
    6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, //
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, //
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, //
    23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, //
    26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, //
    28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

const LENGTH_MAX: usize = 30;

/// The end of a string as a symbol.
const END: u16 = 256;

/// Ten bits: enough for every printable byte but sixteen.
const SHORT: usize = 10;

static CODE: Code = Code::new();

/// The string is no string of this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Garbled;

/// What the lengths say.
struct Code {
    /// By the next ten bits: a symbol and the length of its code, which is 0 where it is longer.
    short: [(u16, u8); 1 << SHORT],
    /// The symbols in the order of their codes.
    symbols: [u16; 257],
    /// For each length the first code, how many there are, and where their symbols begin.
    first: [u32; LENGTH_MAX + 1],
    count: [u32; LENGTH_MAX + 1],
    begin: [u16; LENGTH_MAX + 1],
}

// === impl Code ===

impl Code {
    const fn new() -> Self {
        let mut it = Self {
            short: [(0, 0); 1 << SHORT],
            symbols: [0; 257],
            first: [0; LENGTH_MAX + 1],
            count: [0; LENGTH_MAX + 1],
            begin: [0; LENGTH_MAX + 1],
        };
        let (mut code, mut placed, mut length) = (0, 0, 1);
        while length <= LENGTH_MAX {
            code <<= 1;
            (it.first[length], it.begin[length]) = (code, placed);
            let mut symbol = 0;
            while symbol < LENGTHS.len() {
                if LENGTHS[symbol] as usize == length {
                    it.symbols[placed as usize] = symbol as u16;
                    it.place(symbol as u16, length, code);
                    code += 1;
                    placed += 1;
                }
                symbol += 1;
            }
            it.count[length] = code - it.first[length];
            length += 1;
        }
        it
    }

    const fn place(&mut self, symbol: u16, length: usize, code: u32) {
        if length > SHORT {
            return;
        }
        let spare = SHORT - length;
        let mut behind = 0;
        while behind < 1 << spare {
            self.short[((code as usize) << spare) + behind] = (symbol, length as u8);
            behind += 1;
        }
    }

    /// The symbol that `bits` begin with at the top, and the length of its code.
    fn symbol(&self, bits: u64) -> (u16, u32) {
        let (symbol, length) = self.short[(bits >> (64 - SHORT)) as usize];
        if length > 0 {
            return (symbol, u32::from(length));
        }
        for length in SHORT + 1..LENGTH_MAX {
            let behind = ((bits >> (64 - length)) as u32).wrapping_sub(self.first[length]);
            if behind < self.count[length] {
                let symbol = self.symbols[usize::from(self.begin[length]) + behind as usize];
                return (symbol, length as u32);
            }
        }
        // Of the longest there are four, and they are what is left.
        let behind = ((bits >> (64 - LENGTH_MAX)) & 3) as usize;
        (self.symbols[usize::from(self.begin[LENGTH_MAX]) + behind], LENGTH_MAX as u32)
    }
}

/// Gives each byte of the string that `packed` is to `take`.
pub(super) fn unpack(packed: &[u8], mut take: impl FnMut(u8)) -> Result<(), Garbled> {
    let mut rest = packed.iter();
    let (mut bits, mut count) = (0_u64, 0_u32);
    loop {
        while count <= 56
            && let Some(&byte) = rest.next()
        {
            bits |= u64::from(byte) << (56 - count);
            count += 8;
        }
        let (symbol, length) = CODE.symbol(bits);
        if length > count {
            break;
        }
        if symbol == END {
            return Err(Garbled);
        }
        take(symbol as u8);
        bits <<= length;
        count -= length;
    }
    // What fills the last byte is the beginning of the end: ones, and fewer than eight.
    let filler = u64::MAX.checked_shl(64 - count).unwrap_or(0);
    if count < 8 && bits == filler { Ok(()) } else { Err(Garbled) }
}

/// Whether the string may hold a byte that is not ASCII. All such codes begin with fifteen ones, as
/// those of few others do.
pub(super) fn may_exceed_ascii(packed: &[u8]) -> bool {
    any_window(packed, |bits| fifteen(eight(bits)) != 0)
}

/// Whether the string may hold a control character other than a tab: their codes begin with fifteen
/// ones as well, but for NUL, whose code is ten ones and three zeros. Hardly any text does.
pub(super) fn may_hold_control(packed: &[u8]) -> bool {
    any_window(packed, |bits| {
        let eight = eight(bits);
        if eight == 0 {
            return false;
        }
        let (ten, zeros) = (eight & (eight >> 2), !bits);
        (fifteen(eight) | ten & (zeros << 1) & (zeros << 2) & (zeros << 3)) != 0
    })
}

/// Whether any eight bytes of the string look so, or all of them where it is shorter. What takes no
/// more than seventeen bits stands whole in one of these windows.
#[inline]
fn any_window(packed: &[u8], looks_so: impl Fn(u64) -> bool) -> bool {
    /// From one window to the next: what begins in the first of so many bytes ends in it.
    const STEP: usize = 6;
    let Some(&last) = packed.last_chunk() else {
        // What fills the window in front has neither many ones nor many zeros, and ends in none.
        let bits =
            packed.iter().fold(0xaaaa_aaaa_aaaa_aaaa, |bits, &byte| bits << 8 | u64::from(byte));
        return looks_so(bits);
    };
    let mut rest = packed;
    while rest.len() > last.len()
        && let Some(&window) = rest.first_chunk()
    {
        if looks_so(u64::from_be_bytes(window)) {
            return true;
        }
        rest = &rest[STEP..];
    }
    looks_so(u64::from_be_bytes(last))
}

/// For each bit, whether it and the seven before it are ones.
fn eight(bits: u64) -> u64 {
    let two = bits & (bits >> 1);
    let four = two & (two >> 2);
    four & (four >> 4)
}

/// For each bit, whether it and the fourteen before it are ones, by [`eight`].
fn fifteen(eight: u64) -> u64 {
    eight & (eight >> 7)
}

/// Appends the string of `length` times the digit 1; no string of that length is shorter.
pub(super) fn pack_ones(length: usize, out: &mut Vec<u8>) {
    /// Eight of them.
    const EIGHT: [u8; 5] = [0b0000_1000, 0b0100_0010, 0b0001_0000, 0b1000_0100, 0b0010_0001];
    let (bytes, bits) = ((length * 5).div_ceil(8), length * 5);
    out.extend(EIGHT.iter().cycle().take(bytes));
    if !bits.is_multiple_of(8)
        && let Some(last) = out.last_mut()
    {
        *last |= 0xff >> (bits % 8);
    }
}

#[cfg(test)]
pub(super) mod tests;
