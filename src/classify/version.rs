//! Versions of apps: what they are, where a request says its own, and ranges of them.
//!
//! A version is one to four numbers with dots between them, compared number by number; a number
//! that is missing is 0, so `5.2` is `5.2.0`, and `5.20` comes after `5.6`. What stands behind the
//! numbers after `-`, `+` or a blank (`5.2.0-beta.1`, `5.2+431`, `5.2 (431)`) is not compared: a
//! beta of 5.2 speaks what 5.2 speaks.

mod range;
mod source;

use std::fmt;

pub use range::{RangeError, VersionRange};
pub use source::{Product, VersionSource, read_version};

/// The most numbers of a version.
const PARTS_MAX: usize = 4;

/// The longest text that is read as a version, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// A version of an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version([u32; PARTS_MAX]);

/// What a request says of its app's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppVersion {
    /// Nothing.
    None,
    /// Something that is no version.
    Other,
    /// This.
    Known(Version),
}

// === impl Version ===

impl Version {
    /// Reads what an app says of itself.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii();
        if text.len() > TEXT_BYTES_MAX {
            return None;
        }
        let (version, rest) = Self::begin(text.strip_prefix(b"v").unwrap_or(text))?;
        matches!(rest.first(), None | Some(b'-' | b'+' | b' ')).then_some(version)
    }

    /// Reads what people write: numbers and dots and nothing else.
    pub fn parse_exact(text: &str) -> Option<Self> {
        let (version, rest) = Self::begin(text.as_bytes())?;
        rest.is_empty().then_some(version)
    }

    /// The version that `text` begins with, and what stands behind it.
    fn begin(text: &[u8]) -> Option<(Self, &[u8])> {
        let (mut parts, mut rest) = ([0; PARTS_MAX], text);
        for part in &mut parts {
            (*part, rest) = number(rest)?;
            match rest.strip_prefix(b".") {
                Some(more) => rest = more,
                None => return Some((Self(parts), rest)),
            }
        }
        // A fifth number, or a dot with nothing behind it.
        None
    }

    /// As a number that is ordered as versions are.
    fn rank(self) -> u128 {
        self.0.iter().fold(0, |rank, part| rank << 32 | u128::from(*part))
    }
}

impl fmt::Display for Version {
    /// Two numbers at least, and no zeros behind them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [first, second, ..] = self.0;
        write!(f, "{first}.{second}")?;
        let last = self.0.iter().rposition(|part| *part != 0).unwrap_or(0);
        self.0.iter().take(last + 1).skip(2).try_for_each(|part| write!(f, ".{part}"))
    }
}

/// The number that `text` begins with, and what stands behind it.
fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (number, rest) = text.split_at(digits);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(text: &str) -> Option<String> {
        Version::parse(text.as_bytes()).map(|version| version.to_string())
    }

    #[test]
    fn a_version_is_numbers_with_dots_and_what_stands_behind_is_not_compared() {
        for (text, expected) in [
            ("5", "5.0"),
            ("5.2", "5.2"),
            ("5.20", "5.20"),
            ("5.2.0", "5.2"),
            ("5.2.1", "5.2.1"),
            ("5.0.0.7", "5.0.0.7"),
            ("v5.2", "5.2"),
            (" 5.2 ", "5.2"),
            ("05.02", "5.2"),
            ("5.2.0-beta.1", "5.2"),
            ("5.2+431", "5.2"),
            ("5.2.1 (431)", "5.2.1"),
            ("2026112601", "2026112601.0"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn anything_else_is_no_version() {
        let long = format!("5.2-{}", "x".repeat(61));
        for text in [
            "",
            "v",
            "vv5",
            "5.",
            ".5",
            "5..2",
            "5.2.",
            "5.2.0.1.7",
            "5.2.0.1.",
            "5.2b3",
            "five",
            "-5",
            "5.-2",
            "5,2",
            "5.2, 5.3",
            "4294967296",
            "99999999999999999999999999999999",
            "5\u{660}",
            &long,
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
        assert_eq!(Version::parse(b"5.\xff"), None);
        assert_eq!(Version::parse_exact("5.2-beta"), None, "people write numbers");
    }

    proptest! {
        #[test]
        fn versions_are_ordered_number_by_number(one: [u32; 4], other: [u32; 4]) {
            let (a, b) = (Version(one), Version(other));
            prop_assert_eq!(a.cmp(&b), one.cmp(&other));
            prop_assert_eq!(a.cmp(&b), a.rank().cmp(&b.rank()));
            prop_assert_eq!(Version::parse(a.to_string().as_bytes()), Some(a));
        }

        #[test]
        fn no_text_is_too_odd(text: Vec<u8>) {
            let _ = Version::parse(&text);
        }
    }
}
