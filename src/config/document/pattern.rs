//! Patterns and networks, each with how it was written.

use std::borrow::Cow;

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    leaf::{any_scalar, leaves, string},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::{
    classify::{HostPattern, PathPattern, Text},
    peer::Network,
};

/// A pattern and how it was written.
#[derive(Clone, Debug)]
pub(crate) struct Pattern<P> {
    pub(crate) pattern: P,
    pub(crate) shown: String,
}

leaves!(
    Pattern<PathPattern>,
    Pattern<HostPattern>,
    Pattern<Text>,
    Pattern<Network>,
    Pattern<HeaderName>
);

/// Fields whose names with `-` decide something: Rack would take the name with `_` for one of them.
const PROTECTED: [&str; 19] = [
    "authorization",
    "client-ip",
    "connection",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "proxy",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-accel-mapping",
    "x-audience",
    "x-client-ip",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
];

/// The beginnings of others.
const PROTECTED_PREFIXES: [&str; 5] =
    ["content-", "x-forwarded-", "x-request-", "x-sendfile-", "x-usher-"];

// === impl Leaf ===

impl Leaf for Pattern<PathPattern> {
    const WHAT: &'static str = "a path";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let pattern = PathPattern::parse(&scalar.text).map_err(|error| Complaint::of(&error))?;
        Ok(Self { pattern, shown: scalar.shown().to_owned() })
    }

    fn schema() -> Schema {
        string("[/~].*")
    }
}

impl Leaf for Pattern<HostPattern> {
    const WHAT: &'static str = "a host";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let pattern = HostPattern::parse(&scalar.text).map_err(|error| Complaint::of(&error))?;
        Ok(Self { pattern, shown: scalar.shown().to_owned() })
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

impl Leaf for Pattern<Text> {
    const WHAT: &'static str = "a pattern";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let pattern = Text::parse(&scalar.text).map_err(|error| Complaint::of(&error))?;
        Ok(Self { pattern, shown: scalar.shown().to_owned() })
    }

    fn schema() -> Schema {
        any_scalar()
    }
}

impl Leaf for Pattern<Network> {
    const WHAT: &'static str = "a network";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let text = scalar.text.as_str();
        let Ok(pattern) = text.parse::<Network>() else {
            let hint = "write for example `10.0.0.0/8`, `fd00::/8` or a single `192.0.2.7`";
            return Err(Complaint::new("it is neither an address nor ADDRESS/BITS").with_hint(hint));
        };
        if let Network::Ip(network) = pattern
            && network.addr() != network.network()
        {
            let hint = format!("write `{}`", network.trunc());
            return Err(Complaint::new("it has bits beyond its prefix").with_hint(hint));
        }
        Ok(Self { pattern, shown: scalar.shown().to_owned() })
    }

    fn schema() -> Schema {
        string("[0-9a-fA-F.:]+(/[0-9]{1,3})?|unix")
    }
}

impl Leaf for Pattern<HeaderName> {
    const WHAT: &'static str = "a header name";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let Some(name) = header_name(&scalar.text).filter(|name| name.as_str().contains('_'))
        else {
            let hint = "names without `_` need not be allowed; write for example `X_Legacy_Token`";
            return Err(Complaint::new("it is no header name with `_`").with_hint(hint));
        };
        let dashed = name.as_str().replace('_', "-");
        let prefixed = PROTECTED_PREFIXES.iter().any(|prefix| dashed.starts_with(prefix));
        if prefixed || PROTECTED.contains(&dashed.as_str()) {
            let message = format!("Rack takes it for `{dashed}`, which clients must not forge");
            return Err(Complaint::new(message));
        }
        Ok(Self { pattern: name, shown: scalar.shown().to_owned() })
    }

    fn schema() -> Schema {
        string("[!#$%&'*+.^_`|~0-9A-Za-z-]*_[!#$%&'*+.^_`|~0-9A-Za-z-]*")
    }
}

/// Reads the name of a field of a head.
pub(crate) fn header_name(text: &str) -> Option<HeaderName> {
    HeaderName::from_bytes(text.as_bytes()).ok()
}
