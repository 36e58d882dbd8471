//! The scalars of a configuration.

use std::{borrow::Cow, time::Duration};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::{
    config::{AddressSpec, QueueLength},
    name::Name,
    units::{self, Percent, UnitError},
};

/// Any text.
#[derive(Clone, Debug)]
pub(crate) struct Words(pub(crate) String);

/// A whole number from 1 on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count(pub(crate) u32);

/// `on` or `off`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switch(pub(crate) bool);

/// A duration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wait(pub(crate) Duration);

/// A number of bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size(pub(crate) u64);

/// A number of bytes a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate(pub(crate) u64);

/// So many requests in a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frequency(pub(crate) u32, pub(crate) Duration);

/// A number, or times the pool's capacity.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Length(pub(crate) QueueLength);

/// The path of a file or directory.
#[derive(Clone, Debug)]
pub(crate) struct FilePath {
    pub(crate) text: String,
}

/// A percentage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PercentLeaf(pub(crate) Percent);

/// The name of an audience, a pool or an objective.
#[derive(Clone, Debug)]
pub(crate) struct NameLeaf {
    pub(crate) name: Name,
    pub(crate) shown: String,
}

/// An endpoint's address.
#[derive(Clone, Debug)]
pub(crate) struct Address(pub(crate) AddressSpec);

macro_rules! leaves {
    ($($type:ty),+ $(,)?) => {
        $(impl Read for $type {
            fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
                leaf(node, reader)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                <$type as Leaf>::schema()
            }
        })+
    };
}

pub(super) use leaves;

leaves!(
    Words,
    Count,
    Switch,
    Wait,
    Size,
    Rate,
    Frequency,
    Length,
    FilePath,
    PercentLeaf,
    NameLeaf,
    Address,
);

// === impl Leaf ===

impl Leaf for Words {
    const WHAT: &'static str = "a text";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        Ok(Self(scalar.text.clone()))
    }

    fn schema() -> Schema {
        any_scalar()
    }
}

impl Leaf for Count {
    const WHAT: &'static str = "a whole number from 1 on";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let digits = !scalar.text.is_empty() && scalar.text.bytes().all(|b| b.is_ascii_digit());
        if !digits {
            return Err(Complaint::new("write digits only"));
        }
        match scalar.text.parse::<u32>() {
            Ok(0) => Err(Complaint::new("it is zero")),
            Ok(number) => Ok(Self(number)),
            Err(_) => Err(Complaint::new("it is more than 4294967295")),
        }
    }

    fn schema() -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 1 },
                { "type": "string", "pattern": "\\$\\{" },
            ],
        })
    }
}

impl Leaf for Switch {
    const WHAT: &'static str = "a switch";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match scalar.text.as_str() {
            "on" | "true" | "yes" => Ok(Self(true)),
            "off" | "false" | "no" => Ok(Self(false)),
            _ => Err(Complaint::new("write `on` or `off`")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "boolean" },
            { "enum": ["on", "off", "true", "false", "yes", "no"] },
            { "type": "string", "pattern": "\\$\\{" },
        ] })
    }
}

impl Leaf for Wait {
    const WHAT: &'static str = "a duration";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        units::parse_duration(&scalar.text).map(Self).map_err(quantity)
    }

    fn schema() -> Schema {
        string(r"[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d)")
    }
}

impl Leaf for Size {
    const WHAT: &'static str = "a size";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        units::parse_size(&scalar.text).map(Self).map_err(quantity)
    }

    fn schema() -> Schema {
        string(r"[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|TiB)")
    }
}

impl Leaf for Rate {
    const WHAT: &'static str = "a rate";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        units::parse_rate(&scalar.text).map(Self).map_err(quantity)
    }

    fn schema() -> Schema {
        string(r"[0-9]+(\.[0-9]+)?(B|KiB|MiB|GiB|TiB)/s")
    }
}

impl Leaf for Frequency {
    const WHAT: &'static str = "a number of requests in a time";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match units::parse_frequency(&scalar.text).map_err(quantity)? {
            (0, _) => Err(Complaint::new("it is zero")),
            (count, per) => Ok(Self(count, per)),
        }
    }

    fn schema() -> Schema {
        string(r"[0-9]+/(s|min|h)")
    }
}

impl Leaf for PercentLeaf {
    const WHAT: &'static str = "a percentage";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        Percent::parse(&scalar.text).map(Self).map_err(quantity)
    }

    fn schema() -> Schema {
        string(r"[0-9]+(\.[0-9]+)?%")
    }
}

impl Leaf for Length {
    const WHAT: &'static str = "a length";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let hint = "write a number of requests, or for example `4x` for four times the capacity";
        let refused = |reason: &str| Complaint::new(reason).with_hint(hint);
        let text = scalar.text.as_str();
        let number = text.strip_suffix('x').unwrap_or(text);
        if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            return Err(refused("it does not begin with a number"));
        }
        if text.ends_with('x') {
            let times = number.parse().ok().filter(|times| (0.0..=1000.0).contains(times));
            let times = times.ok_or_else(|| refused("it is more than `1000x`"))?;
            return Ok(Self(QueueLength::TimesCapacity(times)));
        }
        let length = number.parse().map_err(|_| refused("it is not a whole number"))?;
        Ok(Self(QueueLength::Fixed(length)))
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?x$|\\$\\{" },
        ] })
    }
}

impl Leaf for FilePath {
    const WHAT: &'static str = "a path";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        if scalar.text.is_empty() || scalar.text.contains('\0') {
            return Err(Complaint::new("no file can be called so"));
        }
        Ok(Self { text: scalar.text.clone() })
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "boolean"] })
    }
}

impl Leaf for NameLeaf {
    const WHAT: &'static str = "a name";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let name = Name::parse(&scalar.text).map_err(|error| Complaint::of(&error))?;
        Ok(Self { name, shown: scalar.shown().to_owned() })
    }

    fn schema() -> Schema {
        string("[a-z][a-z0-9_-]{0,62}")
    }
}

impl Leaf for Address {
    const WHAT: &'static str = "the address of an endpoint";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        AddressSpec::parse(&scalar.text).map(Self).map_err(|error| {
            let hint = "write for example `127.0.0.1:3000`, `[::1]:3000`, `web-3:3000` or \
                        `unix:/run/puma.sock`";
            Complaint::of(&error).with_hint(hint)
        })
    }

    fn schema() -> Schema {
        string(r"unix:.+|.+:[0-9]{1,5}")
    }
}

/// Matches any scalar in an editor that may have typed it.
pub(super) fn any_scalar() -> Schema {
    json_schema!({ "type": ["string", "number", "boolean"] })
}

/// A string that fits `pattern`, or has a variable in it.
pub(super) fn string(pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^({pattern})$|\\$\\{{") })
}

fn quantity(error: UnitError) -> Complaint {
    Complaint::of(&error).with_hint(format!("write for example `{}`", error.quantity().example()))
}
