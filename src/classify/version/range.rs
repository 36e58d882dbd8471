//! Ranges of versions: `>=5.2, <6`.

use std::fmt;

use super::{PARTS_MAX, Version, number};

/// Versions between two others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    shown: Box<str>,
    /// The least and the greatest rank that is within.
    least: u128,
    greatest: u128,
}

/// Why a text is no range of versions.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A condition that is none.
    #[error("`{condition}` is no condition on versions")]
    Condition {
        /// What was written.
        condition: String,
    },
    /// Conditions that no version meets together.
    #[error("no version is all of that")]
    Empty,
}

// === impl VersionRange ===

impl VersionRange {
    /// Reads conditions with commas between them, all of which must hold: `>=5.2`, `>5.2`, `<6`,
    /// `<=5.9`, `5.2` for that one alone, `5.2.*` for all that begin so.
    pub fn parse(text: &str) -> Result<Self, RangeError> {
        let (mut least, mut greatest) = (0, u128::MAX);
        for condition in text.split(',').map(str::trim) {
            let wrong = || RangeError::Condition { condition: condition.to_owned() };
            let bounds = bounds(condition).ok_or_else(wrong)?;
            let (from, to) = bounds.ok_or(RangeError::Empty)?;
            (least, greatest) = (from.max(least), to.min(greatest));
        }
        if least > greatest {
            return Err(RangeError::Empty);
        }
        Ok(Self { shown: text.into(), least, greatest })
    }

    /// Whether `version` is within.
    pub fn takes(&self, version: Version) -> bool {
        (self.least..=self.greatest).contains(&version.rank())
    }

    /// Whether every version that `other` takes is taken by this one.
    pub(in crate::classify) fn covers(&self, other: &Self) -> bool {
        self.least <= other.least && other.greatest <= self.greatest
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// The least and the greatest rank that meets `condition`; within, nothing when none does.
fn bounds(condition: &str) -> Option<Option<(u128, u128)>> {
    let signs = condition.find(|c: char| !matches!(c, '<' | '>' | '=')).unwrap_or(condition.len());
    let (sign, text) = (&condition[..signs], condition[signs..].trim_start());
    let rank = || Version::parse_exact(text).map(Version::rank);
    let bounds = match sign {
        ">=" => Some((rank()?, u128::MAX)),
        ">" => rank()?.checked_add(1).map(|least| (least, u128::MAX)),
        "<=" => Some((0, rank()?)),
        "<" => rank()?.checked_sub(1).map(|greatest| (0, greatest)),
        "" | "=" => match text.strip_suffix(".*") {
            Some(beginning) => Some(beginning_with(beginning)?),
            None => rank().map(|rank| (rank, rank)).map(Some)?,
        },
        _ => return None,
    };
    Some(bounds)
}

/// All that begin with these numbers.
fn beginning_with(text: &str) -> Option<(u128, u128)> {
    let mut parts = [0; PARTS_MAX];
    let mut count = 0;
    for part in text.split('.') {
        let (value, rest) = number(part.as_bytes())?;
        // The last number is the one that may be any.
        if !rest.is_empty() || count + 1 == PARTS_MAX {
            return None;
        }
        parts[count] = value;
        count += 1;
    }
    let least = Version(parts).rank();
    parts[count..].fill(u32::MAX);
    Some((least, Version(parts).rank()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> VersionRange {
        VersionRange::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn takes(text: &str, version: &str) -> bool {
        range(text).takes(Version::parse_exact(version).expect("a version"))
    }

    #[test]
    fn a_range_takes_what_meets_all_of_its_conditions() {
        for (text, within, without) in [
            (">=5.2, <6", &["5.2", "5.2.0.1", "5.10", "5.999"][..], &["5.1.9", "6", "6.0.0.1"][..]),
            (">5.2", &["5.2.0.1", "6"], &["5.2", "5.2.0", "5"]),
            ("<=5.2", &["0", "5.2.0"], &["5.2.0.1"]),
            ("5.2", &["5.2", "5.2.0.0"], &["5.2.1", "5"]),
            ("=5.2.1", &["5.2.1"], &["5.2"]),
            ("5.2.*", &["5.2", "5.2.9.9"], &["5.3", "5.1.9"]),
            ("5.*, >= 5.4", &["5.4", "5.99"], &["5.3.9", "6"]),
        ] {
            within.iter().for_each(|version| assert!(takes(text, version), "{text} {version}"));
            without.iter().for_each(|version| assert!(!takes(text, version), "{text} {version}"));
        }
        assert_eq!(range(">=5.2, <6").to_string(), ">=5.2, <6");
    }

    #[test]
    fn what_no_version_meets_is_an_error() {
        for text in ["<5, >=6", "<0", ">=5.2, <5.2", "5.1, 5.2"] {
            assert_eq!(VersionRange::parse(text), Err(RangeError::Empty), "{text}");
        }
        for text in ["", ">=", "5.2 - 6", "~5", "^5.2", "=>5", "5.2-beta", "*", "1.2.3.4.*", ">=5,"]
        {
            let error = VersionRange::parse(text);
            assert!(matches!(error, Err(RangeError::Condition { .. })), "{text}: {error:?}");
        }
    }

    #[test]
    fn a_wider_range_covers_a_narrower_one() {
        assert!(range(">=5").covers(&range(">=5.2, <6")));
        assert!(range("5.*").covers(&range("5.2")));
        assert!(!range(">=5.2, <6").covers(&range(">=5.2")));
    }
}
