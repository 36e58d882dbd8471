//! A length that everybody reads the same way: digits and nothing else.

/// The most digits of a length, so that no sum with it overflows.
const DIGITS_MAX: usize = 19;

/// The length that `text` says, if it says one.
pub(in crate::edge) fn read(text: &[u8]) -> Option<u64> {
    let digits = (1..=DIGITS_MAX).contains(&text.len()) && text.iter().all(u8::is_ascii_digit);
    if digits { std::str::from_utf8(text).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_made_of_digits_only() {
        assert_eq!(read(b"0"), Some(0));
        assert_eq!(read(b"005"), Some(5));
        assert_eq!(read(b"9999999999999999999"), Some(9_999_999_999_999_999_999));
        for bad in [
            "",
            "+5",
            "-1",
            "-0",
            "0x5",
            "0o5",
            "1_0",
            "1 0",
            "5, 5",
            "1Z",
            "5\x0c",
            "5;",
            "18446744073709551616",
            "00000000000000000005",
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }
}
