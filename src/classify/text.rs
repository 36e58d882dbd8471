//! Patterns over a whole value: exact, a glob, or a regular expression.

use std::fmt;

use memchr::memmem;
use regex::bytes::{Regex, RegexBuilder};

/// The most memory that one compiled regular expression may take, in bytes.
const REGEX_BYTES_MAX: usize = 1 << 20;

/// A pattern over a whole value. Values are bytes: a header need not be UTF-8.
#[derive(Clone, Debug)]
pub enum Text {
    /// The value itself.
    Exact(String),
    /// `*` stands for any text, the empty one included.
    Glob(Glob),
    /// Found anywhere in the value unless anchored.
    Regex(Regex),
}

/// A pattern with `*`, held as the pieces between the stars: at least two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Box<[Box<str>]>);

/// Why a text is no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// The regular expression does not compile.
    #[error("not a regular expression: {reason}")]
    Regex {
        /// What the compiler says, on one line.
        reason: String,
    },
    /// There is nothing behind `~`.
    #[error("a regular expression must stand behind `~`")]
    NoRegex,
    /// A path that does not begin with `/`.
    #[error("a path begins with `/` (or with `~`, as a regular expression)")]
    PathStart,
    /// A path with `?` or `#` in it.
    #[error("a path ends before `?` and `#`; match parameters with `query`")]
    PathEnd,
    /// `**` before the end of a path.
    #[error("`**` only stands as the last segment")]
    RestNotLast,
    /// A wildcard that is part of a segment.
    #[error("`{segment}`: `*` and `:name` stand for one whole segment; use `~` for parts of one")]
    PartSegment {
        /// The segment.
        segment: String,
    },
    /// Rails' optional parts.
    #[error("`{segment}`: optional parts are not known here; `.format` is optional by itself")]
    Optional {
        /// The segment.
        segment: String,
    },
    /// A path that usher refuses with 400 before it is classified.
    #[error("can never match: {0}")]
    Refused(super::PathProblem),
    /// More segments or labels than anyone needs.
    #[error("a pattern has at most {max} parts")]
    Parts {
        /// The most there may be.
        max: usize,
    },
    /// A host that holds what no host holds.
    #[error("`{host}` is no host name; names beyond ASCII are written as `xn--…`")]
    Host {
        /// What was written.
        host: String,
    },
    /// A host with a port.
    #[error("hosts compare without the port; write `{without}`")]
    Port {
        /// What to write instead.
        without: String,
    },
    /// A host that is nothing but `*`, or has `*` as part of a label.
    #[error("`{host}`: `*` stands for one whole label, as in `*.example.com`; use `~` for more")]
    PartLabel {
        /// What was written.
        host: String,
    },
}

// === impl Text ===

impl Text {
    /// Reads a pattern: exact, a glob when it has `*`, a regular expression after `~`.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if let Some(expression) = text.strip_prefix('~') {
            return regex(expression).map(Self::Regex);
        }
        if text.contains('*') {
            return Ok(Self::Glob(Glob(text.split('*').map(Box::from).collect())));
        }
        Ok(Self::Exact(text.to_owned()))
    }

    /// Whether the pattern takes `value`.
    pub fn matches(&self, value: &[u8]) -> bool {
        match self {
            Text::Exact(text) => text.as_bytes() == value,
            Text::Glob(glob) => glob.matches(value),
            Text::Regex(regex) => regex.is_match(value),
        }
    }

    /// Whether every value that `other` takes is taken by this one; false when that is not certain.
    pub(super) fn covers(&self, other: &Text) -> bool {
        match (self, other) {
            (Text::Glob(glob), _) if glob.takes_all() => true,
            (_, Text::Exact(value)) => self.matches(value.as_bytes()),
            (Text::Glob(a), Text::Glob(b)) => a == b,
            (Text::Regex(a), Text::Regex(b)) => a.as_str() == b.as_str(),
            (Text::Exact(_) | Text::Glob(_), Text::Regex(_))
            | (Text::Exact(_) | Text::Regex(_), Text::Glob(_)) => false,
        }
    }
}

impl Text {
    /// Whether the pattern takes every value.
    pub(super) fn takes_all(&self) -> bool {
        matches!(self, Text::Glob(glob) if glob.takes_all())
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Text::Exact(text) => f.write_str(text),
            Text::Glob(glob) => f.write_str(&glob.0.join("*")),
            Text::Regex(regex) => write!(f, "~{regex}"),
        }
    }
}

// === impl Glob ===

impl Glob {
    fn matches(&self, value: &[u8]) -> bool {
        let [first, middle @ .., last] = &*self.0 else { return false };
        let Some(rest) = value.strip_prefix(first.as_bytes()) else { return false };
        let Some(mut rest) = rest.strip_suffix(last.as_bytes()) else { return false };
        for piece in middle {
            let Some(at) = memmem::find(rest, piece.as_bytes()) else { return false };
            rest = &rest[at + piece.len()..];
        }
        true
    }

    fn takes_all(&self) -> bool {
        self.0.iter().all(|piece| piece.is_empty())
    }
}

/// Compiles an expression within a bounded size.
pub(super) fn regex(expression: &str) -> Result<Regex, PatternError> {
    if expression.is_empty() {
        return Err(PatternError::NoRegex);
    }
    RegexBuilder::new(expression)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build()
        .map_err(|error| PatternError::Regex { reason: on_one_line(&error) })
}

/// The compiler draws its complaint over several lines; the last one says what is wrong.
fn on_one_line(error: &regex::Error) -> String {
    let drawn = error.to_string();
    let last = drawn.lines().last().unwrap_or(&drawn);
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, value: &str) -> bool {
        Text::parse(pattern).expect("a pattern").matches(value.as_bytes())
    }

    #[test]
    fn a_plain_text_is_taken_exactly() {
        assert!(takes("driver", "driver"));
        assert!(!takes("driver", "Driver"));
        assert!(!takes("driver", "driver2"));
        assert!(takes("", ""));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        for value in ["driver/", "driver/2.1", "driver/2.1 (x)"] {
            assert!(takes("driver/*", value), "{value}");
        }
        assert!(takes("*", ""));
        assert!(takes("a*b*c", "abc") && takes("a*b*c", "a--b--c"));
        assert!(!takes("a*b*c", "acb"));
        assert!(!takes("ab*ba", "aba"), "the ends may not overlap");
        assert!(!takes("driver/*", "x driver/2"));
    }

    #[test]
    fn a_tilde_begins_an_unanchored_regular_expression() {
        assert!(takes("~^v[0-9]+$", "v12"));
        assert!(takes("~(?i)bot", "GoogleBot/2"));
        assert!(!takes("~^bot", "GoogleBot/2"));
    }

    #[test]
    fn a_value_need_not_be_text() {
        assert!(Text::parse("*").is_ok_and(|t| t.matches(b"\xff\xfe")));
        assert!(Text::parse("~^a").is_ok_and(|t| t.matches(b"a\xff")));
    }

    #[test]
    fn a_broken_expression_is_an_error_on_one_line() {
        for broken in ["~", "~(", "~a{1000000}", "~[z-a]"] {
            let error = Text::parse(broken).expect_err("broken");
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn one_pattern_covers_another_only_when_that_is_certain() {
        let covers = |a: &str, b: &str| {
            let parse = |text| Text::parse(text).expect("a pattern");
            parse(a).covers(&parse(b))
        };
        assert!(
            covers("*", "~x") && covers("a*", "abc") && covers("a*", "a*") && covers("~b", "abc")
        );
        assert!(!covers("a*", "ab*") && !covers("abc", "a*") && !covers("~b", "~bb"));
    }
}
