//! Lines that differ with every request, written without `fmt`.
//!
//! Formatting the same few bytes by `format!` costs ten times the instructions, and code that
//! nothing else on a request's way needs (`benches/instructions`).

use std::net::IpAddr;

use http::HeaderValue;

/// What usher says beside a request's own fields; nearly always it fits in so many bytes.
const BYTES_USUAL: usize = 384;

/// Lines that are being written. What is pushed are bytes that may stand in a field: they come from
/// a field, or are usher's own.
pub(super) struct Text<'t>(&'t mut Vec<u8>);

// === impl Text ===

impl<'t> Text<'t> {
    /// In the place of what `room` holds.
    pub(super) fn of(room: &'t mut Vec<u8>) -> Self {
        room.clear();
        room.reserve(BYTES_USUAL);
        Self(room)
    }

    #[inline(always)]
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    #[inline(always)]
    pub(super) fn push_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn push_value(&mut self, value: &HeaderValue) -> &mut Self {
        self.push_bytes(value.as_bytes())
    }

    pub(super) fn push_number(&mut self, number: u64) -> &mut Self {
        self.push(itoa::Buffer::new().format(number))
    }

    /// As `Display` writes it.
    pub(super) fn push_address(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => {
                let (mut text, mut length) = ([b'.'; 16], 0);
                for octet in address.octets() {
                    length += write_octet(&mut text[length..], octet) + 1;
                }
                // There is no dot behind the last.
                self.push_bytes(&text[..length - 1])
            }
            // Shortened by rules that are not worth having twice (RFC 5952).
            IpAddr::V6(address) => self.push(&address.to_string()),
        }
    }
}

/// Writes the digits of `octet`; how many they are. There is room for them.
#[inline(always)]
fn write_octet(text: &mut [u8], octet: u8) -> usize {
    let digit = |of: u8| b'0' + of;
    if octet < 10 {
        text[0] = digit(octet);
        return 1;
    }
    if octet < 100 {
        (text[0], text[1]) = (digit(octet / 10), digit(octet % 10));
        return 2;
    }
    (text[0], text[1], text[2]) = (digit(octet / 100), digit(octet / 10 % 10), digit(octet % 10));
    3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Text<'_>)) -> String {
        let mut room = b"what was there before".to_vec();
        write(&mut Text::of(&mut room));
        String::from_utf8(room).expect("text")
    }

    #[test]
    fn addresses_and_numbers_read_as_they_are_displayed() {
        for text in ["0.0.0.0", "10.20.0.255", "255.255.255.255", "::1", "2001:db8::ff00:42:8329"] {
            let address: IpAddr = text.parse().unwrap();
            let written = written(|it| {
                it.push_address(address);
            });
            assert_eq!(written, text);
        }
        for number in [0, 7, 1_764_000_000_000, u64::MAX] {
            let written = written(|it| {
                it.push("t=").push_number(number);
            });
            assert_eq!(written, format!("t={number}"));
        }
    }
}
