//! Values of fields that differ with every request, written without `fmt`.
//!
//! Formatting the same few bytes by `format!` costs ten times the instructions, and code that
//! nothing else on a request's way needs (`benches/instructions`).

use std::net::IpAddr;

use http::HeaderValue;
use smallvec::SmallVec;

/// A value that is being written. Nearly all fit in here.
#[derive(Default)]
pub(super) struct Text(SmallVec<[u8; 64]>);

// === impl Text ===

impl Text {
    pub(super) fn push(&mut self, text: &str) -> &mut Self {
        self.0.extend_from_slice(text.as_bytes());
        self
    }

    pub(super) fn push_number(&mut self, number: u64) -> &mut Self {
        self.push(itoa::Buffer::new().format(number))
    }

    /// As `Display` writes it.
    pub(super) fn push_address(&mut self, address: IpAddr) -> &mut Self {
        match address {
            IpAddr::V4(address) => {
                let [first, rest @ ..] = address.octets();
                self.push_number(first.into());
                for octet in rest {
                    self.push(".").push_number(octet.into());
                }
                self
            }
            // Shortened by rules that are not worth having twice (RFC 5952).
            IpAddr::V6(address) => self.push(&address.to_string()),
        }
    }

    /// What was written; `None` where a byte of it may not stand in a field.
    pub(super) fn value(&self) -> Option<HeaderValue> {
        HeaderValue::from_bytes(&self.0).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_read_as_they_are_displayed() {
        for text in ["0.0.0.0", "10.20.0.255", "255.255.255.255", "::1", "2001:db8::ff00:42:8329"] {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Text::default().push_address(address).value().unwrap(), text);
        }
        for number in [0, 7, 1_764_000_000_000, u64::MAX] {
            let written = Text::default().push("t=").push_number(number).value().unwrap();
            assert_eq!(written, format!("t={number}").as_str());
        }
    }

    #[test]
    fn what_may_not_stand_in_a_field_is_no_value() {
        assert_eq!(Text::default().push("a\nb").value(), None);
    }
}
