//! The scalars of a promise.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    leaf::leaves,
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::slo::{On, StatusSet};

/// One status, or all of a class.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statuses(pub(crate) StatusSet);

/// What is to come in time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment(pub(crate) On);

leaves!(Statuses, Moment);

// === impl Leaf ===

impl Leaf for Statuses {
    const WHAT: &'static str = "a status";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let hint = "write for example `404`, or `4xx` for all of them";
        let refused = |reason: &str| Complaint::new(reason).with_hint(hint);
        let digits = match scalar.text.as_bytes() {
            [class @ b'1'..=b'5', b'x', b'x'] => {
                return Ok(Self(StatusSet::class(u16::from(class - b'0'))));
            }
            digits @ [_, _, _] if digits.iter().all(u8::is_ascii_digit) => &scalar.text,
            _ => return Err(refused("it has not three digits")),
        };
        let status = digits.parse().map_err(|_| refused("it is no number"))?;
        StatusSet::one(status).map(Self).ok_or_else(|| refused("statuses lie between 100 and 599"))
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^([1-5]xx|[1-5][0-9]{2})$|\\$\\{" },
        ] })
    }
}

impl Leaf for Moment {
    const WHAT: &'static str = "a moment";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match scalar.text.as_str() {
            "first_byte" => Ok(Self(On::FirstByte)),
            "completion" => Ok(Self(On::Completion)),
            _ => Err(Complaint::new("write `first_byte` or `completion`")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["first_byte", "completion"] },
            { "type": "string", "pattern": "\\$\\{" },
        ] })
    }
}
