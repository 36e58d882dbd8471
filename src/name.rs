//! Names of audiences and pools.
//!
//! A `Name` is valid by construction, cheap to clone, and bounded, because it ends up as a label
//! of metrics and as the value of a header that Rails reads.

use std::{fmt, sync::Arc};

/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 63;

/// The reserved audience and pool of requests that were refused before either was known.
pub const NONE: &str = "none";

/// A lower-case name: `[a-z][a-z0-9_-]{0,62}`, and not the reserved `none`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// Why a text is no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It holds nothing.
    #[error("a name cannot be empty")]
    Empty,
    /// It is longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} characters")]
    Long,
    /// It has a character outside the alphabet, or starts with none of `a` to `z`.
    #[error("a name starts with a letter and holds only a-z, 0-9, `_` and `-`")]
    Alphabet,
    /// It is `none`.
    #[error("`none` is reserved for requests that were refused before they had an audience")]
    Reserved,
}

// === impl Name ===

impl Name {
    /// Takes `text` as a name when it is one.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let Some(first) = text.bytes().next() else { return Err(NameError::Empty) };
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::Long);
        }
        let allowed = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
        if !first.is_ascii_lowercase() || !text.bytes().all(allowed) {
            return Err(NameError::Alphabet);
        }
        if text == NONE {
            return Err(NameError::Reserved);
        }
        Ok(Self(text.into()))
    }

    /// The reserved name of what was never decided.
    pub fn none() -> Self {
        Self(NONE.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl std::borrow::Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_short_lower_case_word() {
        for good in ["customer", "a", "web-2", "x_y"] {
            assert_eq!(Name::parse(good).map(|n| n.to_string()), Ok(good.to_owned()));
        }
        assert_eq!(Name::parse(""), Err(NameError::Empty));
        assert_eq!(Name::parse("Admin"), Err(NameError::Alphabet));
        assert_eq!(Name::parse("2nd"), Err(NameError::Alphabet));
        assert_eq!(Name::parse("a\nb"), Err(NameError::Alphabet));
        assert_eq!(Name::parse("none"), Err(NameError::Reserved));
        assert_eq!(Name::parse(&"a".repeat(64)), Err(NameError::Long));
        assert!(Name::parse(&"a".repeat(63)).is_ok());
    }
}
