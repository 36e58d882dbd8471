//! Scalars of a pool that are one of a few words.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    leaf::leaves,
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::config::{Balance, HashBy, WhenEmpty};

/// How requests are spread over a pool's endpoints.
#[derive(Clone, Debug)]
pub(crate) struct BalanceLeaf(pub(crate) Balance);

/// What becomes of requests while a pool has no usable endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WhenEmptyLeaf(pub(crate) WhenEmpty);

/// Who goes first among audiences that share a pool.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PriorityLeaf(pub(crate) u8);

/// What endpoints are spoken to in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProtocolLeaf {
    /// HTTP/1.1, within TLS or without.
    Http1,
    /// HTTP/2 without TLS.
    H2c,
    /// HTTP/2 within TLS.
    H2,
}

leaves!(BalanceLeaf, WhenEmptyLeaf, PriorityLeaf, ProtocolLeaf);

// === impl Leaf ===

impl Leaf for BalanceLeaf {
    const WHAT: &'static str = "a way to choose an endpoint";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let words: Vec<&str> = scalar.text.split_ascii_whitespace().collect();
        let balance = match *words {
            ["least_busy"] => Balance::LeastBusy,
            ["round_robin"] => Balance::RoundRobin,
            ["hash", ref keys @ ..] => Balance::Hash(hash_by(keys)?),
            _ => return Err(no_such_way()),
        };
        Ok(Self(balance))
    }

    fn schema() -> Schema {
        super::leaf::string("least_busy|round_robin|hash (client|user|sticky|header .+|cookie .+)")
    }
}

impl Leaf for WhenEmptyLeaf {
    const WHAT: &'static str = "what to do with requests";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match scalar.text.as_str() {
            "refuse" => Ok(Self(WhenEmpty::Refuse)),
            "wait" => Ok(Self(WhenEmpty::Wait)),
            "fallback" => Ok(Self(WhenEmpty::Fallback)),
            _ => Err(Complaint::new("write `refuse`, `wait` or `fallback`")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["refuse", "wait", "fallback"] })
    }
}

impl Leaf for ProtocolLeaf {
    const WHAT: &'static str = "a protocol";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match scalar.text.as_str() {
            "http/1.1" => Ok(Self::Http1),
            "h2c" => Ok(Self::H2c),
            "h2" => Ok(Self::H2),
            _ => Err(Complaint::new("write `http/1.1`, `h2c` or `h2`")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["http/1.1", "h2c", "h2"] })
    }
}

impl Leaf for PriorityLeaf {
    const WHAT: &'static str = "a priority";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match scalar.text.as_str() {
            "high" => Ok(Self(2)),
            "normal" => Ok(Self(1)),
            "low" => Ok(Self(0)),
            _ => Err(Complaint::new("write `high`, `normal` or `low`")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["high", "normal", "low"] })
    }
}

/// What requests are hashed by: one thing, or the first of several with `or` between them.
fn hash_by(words: &[&str]) -> Result<HashBy, Complaint> {
    let keys = words.split(|word| *word == "or").map(|key| match *key {
        ["client"] => Ok(HashBy::Client),
        ["user"] => Ok(HashBy::User),
        ["sticky"] => Ok(HashBy::Sticky),
        ["header", name] => {
            name.parse().map(HashBy::Header).map_err(|_| Complaint::new("no field has such a name"))
        }
        ["cookie", name] => Ok(HashBy::Cookie(name.to_owned())),
        _ => Err(no_such_way()),
    });
    let mut keys = keys.collect::<Result<Vec<HashBy>, Complaint>>()?;
    Ok(if keys.len() == 1 { keys.remove(0) } else { HashBy::First(keys) })
}

fn no_such_way() -> Complaint {
    let hint = "write `least_busy`, `round_robin`, `hash client`, `hash user`, `hash sticky`, \
                `hash header NAME`, `hash cookie NAME`, or several of these: \
                `hash user or header X-Device or client`";
    Complaint::new("there is no such way").with_hint(hint)
}
