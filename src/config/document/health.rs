//! How a pool finds out which endpoints are well, and when it asks again, as it is written.

use std::{borrow::Cow, ops::RangeInclusive};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    Count, Named, Off, OneOrMany, Or, Pattern, PercentLeaf, Switch, Wait, Words, document,
    leaf::{leaves, string},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::{classify::Text, config};

/// A status, or some of them: `200`, `2xx`, `200-204`.
#[derive(Clone, Debug)]
pub(crate) struct Statuses(pub(crate) RangeInclusive<u16>);

/// A port.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PortLeaf(pub(crate) u16);

/// What becomes of requests when no endpoint is well.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WhenUnhealthy(pub(crate) config::WhenUnhealthy);

/// What leads to another attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// No connection.
    Connect,
    /// A connection that ended before an answer.
    Broken,
    /// No answer in time.
    FirstByte,
    /// A status of the monolith.
    Status(u16),
}

leaves!(Statuses, PortLeaf, WhenUnhealthy, Reason);

document! {
    /// How endpoints are asked whether they are well. Without it they are sent clients' requests
    /// only.
    Health {
        /// The path that is asked for.
        optional path: Words,
        /// The `Host` that is asked for; the endpoint's address when left out.
        optional host: Words,
        /// The method.
        optional method: Words,
        /// More fields of the request, by name, beside `X-Forwarded-Proto: https`.
        optional headers: Named<Words>,
        /// Statuses that are well: `200`, `2xx`, `200-204`.
        optional status: OneOrMany<Statuses>,
        /// What the body has to be: exact, a glob with `*`, or a regular expression after `~`.
        optional body: Pattern<Text>,
        /// How often.
        optional interval: Wait,
        /// By how much an interval may be shorter or longer.
        optional jitter: PercentLeaf,
        /// How long an answer may take, connecting included.
        optional timeout: Wait,
        /// So many good answers in a row make an endpoint usable.
        optional rise: Count,
        /// So many bad answers in a row make it unusable.
        optional fall: Count,
        /// The port that is asked, where it is not the endpoint's own.
        optional port: PortLeaf,
        /// `on`: asks in plain HTTP/1.1, whatever the pool says of `tls`,
        /// `protocol` and `proxy_protocol`.
        optional plain: Switch,
    }
}

document! {
    /// When an endpoint gets no requests for a while, because those that it got went wrong.
    Ejection {
        /// So many failures in a row.
        optional consecutive: Count,
        /// This share of its requests within the window.
        optional ratio: PercentLeaf,
        /// Below so many requests within the window, shares say nothing.
        optional requests: Count,
        /// How far back the share looks.
        optional window: Wait,
        /// For how long, the first time; doubled each time that it goes wrong again.
        optional hold: Wait,
        /// For how long at most.
        optional hold_max: Wait,
        /// The share of the endpoints that may be ejected at once.
        optional share: PercentLeaf,
    }
}

document! {
    /// When a request is sent again.
    Retry {
        /// The most attempts of one request, the first included: 1 to 3.
        optional attempts: Count,
        /// What leads to another attempt: `connect`, `broken`, `first_byte`, or a status.
        optional on: OneOrMany<Reason>,
        /// The share of the pool's requests that may be retries, over ten seconds.
        optional budget: PercentLeaf,
        /// So many retries a second there may always be.
        optional per_second: Count,
    }
}

/// Ejection, or `off`.
pub(crate) type EjectionOrOff = Or<Off, Ejection>;

/// Retries, or `off`.
pub(crate) type RetryOrOff = Or<Off, Retry>;

// === impl Leaf ===

impl Leaf for Statuses {
    const WHAT: &'static str = "a status";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let refused = || {
            let hint = "write for example `200`, `2xx` or `200-204`; statuses are 100 to 599";
            Complaint::new("it is none").with_hint(hint)
        };
        let text = scalar.text.as_str();
        let range = if let Some(class) = text.strip_suffix("xx") {
            let class: u16 = class.parse().map_err(|_| refused())?;
            class.saturating_mul(100)..=class.saturating_mul(100).saturating_add(99)
        } else if let Some((first, last)) = text.split_once('-') {
            first.parse().map_err(|_| refused())?..=last.parse().map_err(|_| refused())?
        } else {
            let status = text.parse().map_err(|_| refused())?;
            status..=status
        };
        let fits = 100 <= *range.start() && range.start() <= range.end() && *range.end() <= 599;
        if fits { Ok(Self(range)) } else { Err(refused()) }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 100, "maximum": 599 },
            { "type": "string", "pattern": "^([1-5]xx|[1-5][0-9]{2}(-[1-5][0-9]{2})?)$|\\$\\{" },
        ] })
    }
}

impl Leaf for PortLeaf {
    const WHAT: &'static str = "a port";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let port = scalar.text.parse::<u16>().ok().filter(|port| *port > 0);
        port.map(Self).ok_or_else(|| Complaint::new("write a number from 1 to 65535"))
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65535 },
            { "type": "string", "pattern": "\\$\\{" },
        ] })
    }
}

impl Leaf for WhenUnhealthy {
    const WHAT: &'static str = "what to do";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match scalar.text.as_str() {
            "try" => Ok(Self(config::WhenUnhealthy::Try)),
            "refuse" => Ok(Self(config::WhenUnhealthy::Refuse)),
            _ => Err(Complaint::new("write `try` or `refuse`")),
        }
    }

    fn schema() -> Schema {
        string("try|refuse")
    }
}

impl Leaf for Reason {
    const WHAT: &'static str = "a reason to try again";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let status = || scalar.text.parse::<u16>().ok().filter(|code| (400..=599).contains(code));
        match scalar.text.as_str() {
            "connect" => Ok(Self::Connect),
            "broken" => Ok(Self::Broken),
            "first_byte" => Ok(Self::FirstByte),
            _ => status().map(Self::Status).ok_or_else(|| {
                let reason = "it is none of `connect`, `broken`, `first_byte`, nor a status from \
                              400 to 599";
                Complaint::new(reason)
            }),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["connect", "broken", "first_byte"] },
            { "type": "integer", "minimum": 400, "maximum": 599 },
            { "type": "string", "pattern": "^[45][0-9]{2}$|\\$\\{" },
        ] })
    }
}
