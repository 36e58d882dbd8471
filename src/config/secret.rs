//! The texts that somebody shows to be let in, as they stand in a file or in a variable.

/// The shortest token, in bytes: what a machine drew does not get shorter than this.
pub const TOKEN_BYTES_MIN: usize = 16;

/// The longest.
pub const TOKEN_BYTES_MAX: usize = 512;

/// The most tokens of one name: an old one and a new one, and some to spare.
pub const TOKENS_MAX: usize = 8;

/// Why a text holds no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// One can be guessed.
    #[error("a token has at least {TOKEN_BYTES_MIN} characters")]
    Short,
    /// One is longer than any head should carry.
    #[error("a token has at most {TOKEN_BYTES_MAX} characters")]
    Long,
    /// There are too many lines.
    #[error("it has more than {TOKENS_MAX} lines")]
    Many,
    /// A token could not be sent.
    #[error("a token holds visible ASCII characters and no spaces")]
    Alphabet,
}

/// The tokens in `text`, one a line; empty lines count for nothing.
///
/// # Errors
///
/// None can be used: not even those that are fine alone, so that a typing error is noticed.
pub fn tokens(text: &str) -> Result<Vec<&str>, SecretError> {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    if lines.is_empty() {
        return Err(SecretError::Empty);
    }
    if lines.len() > TOKENS_MAX {
        return Err(SecretError::Many);
    }
    for line in &lines {
        if !line.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(SecretError::Alphabet);
        }
        if line.len() < TOKEN_BYTES_MIN {
            return Err(SecretError::Short);
        }
        if line.len() > TOKEN_BYTES_MAX {
            return Err(SecretError::Long);
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_token_and_a_wrong_one_spoils_all() {
        let (one, other) = ("0123456789abcdef", "fedcba9876543210");
        assert_eq!(tokens(&format!("{one}\n")), Ok(vec![one]));
        assert_eq!(tokens(&format!("{one}\r\n\n {other} ")), Ok(vec![one, other]));
        for (text, error) in [
            ("", SecretError::Empty),
            (" \n\n", SecretError::Empty),
            ("0123456789abcde", SecretError::Short),
            ("0123456789abcdef\nshort", SecretError::Short),
            ("0123456789 abcdef", SecretError::Alphabet),
            ("0123456789äbcdef", SecretError::Alphabet),
        ] {
            assert_eq!(tokens(text), Err(error), "{text:?}");
        }
        assert_eq!(tokens(&"x".repeat(513)), Err(SecretError::Long));
        assert_eq!(tokens(&format!("{one}\n").repeat(9)), Err(SecretError::Many));
    }
}
