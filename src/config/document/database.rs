//! The database behind all pools, as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    Count, document,
    leaf::leaves,
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::{config::database, units::Percent};

document! {
    /// The database behind all pools.
    Database {
        /// The most connections that it takes, less those of jobs and consoles.
        required connections_max: Count,
    }
}

/// How many more endpoints there are during a deploy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surge(pub(crate) database::Surge);

leaves!(Surge);

// === impl Leaf ===

impl Leaf for Surge {
    const WHAT: &'static str = "a number of endpoints or a percentage";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let text = scalar.text.as_str();
        let surge = match text.ends_with('%') {
            true => Percent::parse(text).ok().map(database::Surge::Share),
            false => text.parse().ok().map(database::Surge::Count),
        };
        let hint = "write for example `1` or `25%`; a Deployment's `maxSurge` is 25% by default";
        surge.map(Self).ok_or_else(|| Complaint::new("it is neither").with_hint(hint))
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?%?$|\\$\\{" },
        ] })
    }
}
