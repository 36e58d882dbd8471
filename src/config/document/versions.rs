//! Versions of apps, as they are written.

use std::{borrow::Cow, time::Duration};

use jiff::{Timestamp, civil::Date, tz::Offset};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    FilePath, Named, OneOrMany, Pattern, PercentLeaf, Words, document,
    identity::FieldName,
    leaf::{any_scalar, leaves, string},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tls::{one_of, words},
    tree::{Node, Scalar},
};
use crate::classify::{PathPattern, Product, Text, Version, VersionRange};

document! {
    /// Where requests say which version of an app sends them.
    VersionPlaces {
        /// The first of these that says something counts.
        required from: OneOrMany<VersionPlace>,
    }
}

document! {
    /// Where a version stands: exactly one of these.
    VersionPlace {
        /// A field of the head, all of which is the version.
        optional header: FieldName,
        /// In `User-Agent`, right behind this: `Shop/`, or `~` and a regular expression.
        optional user_agent: ProductLeaf,
    }
}

document! {
    /// Which versions of its app an audience serves.
    Versions {
        /// Where the version stands; as at the top level when left out.
        optional from: OneOrMany<VersionPlace>,
        /// Versions below this one are refused.
        optional min: VersionLeaf,
        /// Versions below this one are told that they grow old.
        optional warn_below: VersionLeaf,
        /// Since when they do, as they are told.
        optional warn_since: Time,
        /// Requests without a version, or with something that is none, are served (`allow`), or
        /// refused as those below `min` are (`refuse`).
        optional unknown: UnknownLeaf,
        /// Which share of those below `min` is refused, and when; all of them when left out.
        optional brownout: OneOrMany<BrownoutStep>,
        /// Paths that all versions may ask for.
        optional exempt: OneOrMany<Pattern<PathPattern>>,
        /// What those that are refused are answered; 426 with problem details when left out.
        optional answer: VersionAnswer,
    }
}

document! {
    /// From a moment on a share of those below `min` is refused.
    BrownoutStep {
        /// When: a day, which begins at midnight UTC, or a moment with its offset.
        required at: Time,
        /// The share of clients that is refused from then on.
        required share: PercentLeaf,
        /// Until when the share grows evenly.
        optional until: Time,
        /// What it grows to; `100%` when left out.
        optional to: PercentLeaf,
    }
}

document! {
    /// What clients are answered whose app is too old.
    VersionAnswer {
        /// The status; 426 when left out.
        optional status: AnswerStatus,
        /// Fields of the answer.
        optional headers: Named<Words>,
        /// Its body.
        optional body: Words,
        /// A file with its body.
        optional file: FilePath,
    }
}

/// A version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionLeaf(pub(crate) Version);

/// What a version stands behind in `User-Agent`.
#[derive(Clone, Debug)]
pub(crate) struct ProductLeaf(pub(crate) Product);

/// A moment, counted from 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Time(pub(crate) Duration);

/// Whether requests without a version are refused.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownLeaf {
    pub(crate) refused: bool,
}

/// A status that an answer with a body may have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerStatus(pub(crate) http::StatusCode);

leaves!(VersionLeaf, ProductLeaf, Time, UnknownLeaf, AnswerStatus, Pattern<VersionRange>);

// === impl Leaf ===

impl Leaf for VersionLeaf {
    const WHAT: &'static str = "a version";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let hint = "write one to four numbers with dots between them, such as `5.2`";
        let refused = || Complaint::new("it is not numbers with dots").with_hint(hint);
        Version::parse_exact(&scalar.text).map(Self).ok_or_else(refused)
    }

    fn schema() -> Schema {
        any_scalar()
    }
}

impl Leaf for Pattern<VersionRange> {
    const WHAT: &'static str = "a range of versions";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let hint = "write for example `>=5.2, <6`, `5.2.*`, or `5.2` for that one alone";
        let range = VersionRange::parse(&scalar.text);
        let pattern = range.map_err(|error| Complaint::of(&error).with_hint(hint))?;
        Ok(Self { pattern, shown: scalar.shown().to_owned() })
    }

    fn schema() -> Schema {
        any_scalar()
    }
}

impl Leaf for ProductLeaf {
    const WHAT: &'static str = "what a version stands behind";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let hint = "write what stands before the version, such as `Shop/`, or `~` and a regular \
                    expression that ends where the version begins";
        if scalar.text.is_empty() {
            return Err(Complaint::new("it is empty").with_hint(hint));
        }
        if !scalar.text.starts_with('~') {
            return Ok(Self(Product::Named(scalar.text.as_str().into())));
        }
        match Text::parse(&scalar.text).map_err(|error| Complaint::of(&error))? {
            Text::Regex(regex) if regex.captures_len() > 1 => {
                Err(Complaint::new("it has a group: the version stands behind the match")
                    .with_hint(hint))
            }
            Text::Regex(regex) => Ok(Self(Product::Matched(regex))),
            Text::Exact(_) | Text::Glob(_) => Err(Complaint::new("it is no expression")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Leaf for Time {
    const WHAT: &'static str = "a moment";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let text = scalar.text.as_str();
        let midnight = |day: Date| Offset::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok();
        let moment = match text.parse::<Timestamp>() {
            Ok(moment) => Some(moment),
            // A moment without its offset is read as a day by some; it is several moments.
            Err(_) if text.len() > "2026-12-01".len() => None,
            Err(_) => text.parse().ok().and_then(midnight),
        };
        let seconds = moment.and_then(|moment| u64::try_from(moment.as_second()).ok());
        let hint = "write `2026-12-01` for midnight UTC, or `2026-12-01T08:00:00+01:00`";
        let refused = || Complaint::new("it is neither a day nor a moment").with_hint(hint);
        seconds.map(|seconds| Self(Duration::from_secs(seconds))).ok_or_else(refused)
    }

    fn schema() -> Schema {
        string(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt ].+)?")
    }
}

impl Leaf for UnknownLeaf {
    const WHAT: &'static str = "what becomes of requests without a version";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        Ok(Self { refused: one_of(scalar, [("allow", false), ("refuse", true)])? })
    }

    fn schema() -> Schema {
        words(["allow", "refuse"])
    }
}

impl Leaf for AnswerStatus {
    const WHAT: &'static str = "the status of an answer";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let hint = "write one from 200 to 599 that has a body: not 204, 205 or 304";
        let number = scalar.text.parse().ok().filter(|number| (200..=599).contains(number));
        let number = number.filter(|number| !matches!(number, 204 | 205 | 304));
        let status = number.and_then(|number| http::StatusCode::from_u16(number).ok());
        status.map(Self).ok_or_else(|| Complaint::new("no answer can have it").with_hint(hint))
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 200, "maximum": 599 },
            { "type": "string", "pattern": "\\$\\{" },
        ] })
    }
}
