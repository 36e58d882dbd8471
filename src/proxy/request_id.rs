//! A request's name in all logs.

use http::HeaderValue;

/// Hexadecimal digits of an id that usher draws.
const DRAWN_DIGITS: usize = 32;

/// Holds letters, digits, `-` and `_` alone.
#[derive(Clone, Debug)]
pub enum RequestId {
    /// Drawn here, and written in place: most requests bring none, and each needs one.
    Drawn([u8; DRAWN_DIGITS]),
    /// The one that it came with, or that stands for one.
    Given(HeaderValue),
}

// === impl RequestId ===

impl RequestId {
    /// One made of 128 random bits.
    pub fn drawn(bits: u128) -> Self {
        let mut digits = [0; DRAWN_DIGITS];
        for (part, eight) in digits.chunks_exact_mut(EIGHT).enumerate() {
            eight.copy_from_slice(&eight_digits((bits >> (32 * part)) as u32).to_le_bytes());
        }
        Self::Drawn(digits)
    }

    /// As it is written.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            RequestId::Drawn(digits) => digits,
            RequestId::Given(given) => given.as_bytes(),
        }
    }

    /// The same as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The same as the value of a field.
    pub fn to_value(&self) -> HeaderValue {
        match self {
            RequestId::Drawn(digits) => {
                HeaderValue::from_bytes(digits).expect("digits are header characters")
            }
            RequestId::Given(given) => given.clone(),
        }
    }
}

/// So many digits are made at once.
const EIGHT: usize = 8;

/// Once in each byte of a word.
const EACH: u64 = 0x0101_0101_0101_0101;

/// The digits of `bits`, those of the lowest ones first.
fn eight_digits(bits: u32) -> u64 {
    let pairs = u64::from(bits);
    let pairs = (pairs | pairs << 16) & 0x0000_ffff_0000_ffff;
    let pairs = (pairs | pairs << 8) & 0x00ff_00ff_00ff_00ff;
    let values = (pairs | pairs << 4) & (EACH * 0x0f);
    let letters = ((values + EACH * 6) >> 4) & EACH;
    values + EACH * u64::from(b'0') + letters * u64::from(b'a' - b'0' - 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_drawn_has_all_digits_of_what_it_was_made_of() {
        let id = RequestId::drawn(0x0123_4567_89ab_cdef_fedc_ba98_7654_3210);
        assert_eq!(id.as_str(), "0123456789abcdeffedcba9876543210");
        assert_eq!(id.to_value(), id.as_str());
        assert_eq!(RequestId::drawn(0xab).as_bytes(), b"ba000000000000000000000000000000");
    }
}
