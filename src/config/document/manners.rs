//! How a listener meets its clients, as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::{
    Switch, Wait, document,
    leaf::{leaves, string},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tls::{one_of, words},
    tree::{Node, Scalar},
};
use crate::proxy_protocol::Version;

document! {
    /// Has browsers come by https alone (RFC 6797).
    Hsts {
        /// How long they remember it.
        required max_age: Wait,
        /// Whether it holds for all names below this one.
        optional subdomains: Switch,
        /// Whether browsers may know it before they came once.
        optional preload: Switch,
    }
}

/// `required` or `off`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyProtocolLeaf {
    pub(crate) required: bool,
}

/// `https`, or `https:PORT`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RedirectLeaf {
    pub(crate) port: u16,
}

/// `v1`, `v2` or `off`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProxyHeaderLeaf(pub(crate) Option<Version>);

leaves!(ProxyProtocolLeaf, RedirectLeaf, ProxyHeaderLeaf);

// === impl Leaf ===

impl Leaf for ProxyProtocolLeaf {
    const WHAT: &'static str = "a use of the PROXY protocol";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        Ok(Self { required: one_of(scalar, [("required", true), ("off", false)])? })
    }

    fn schema() -> Schema {
        words(["required", "off"])
    }
}

impl Leaf for ProxyHeaderLeaf {
    const WHAT: &'static str = "a version of the PROXY protocol";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let versions = [("v1", Some(Version::V1)), ("v2", Some(Version::V2)), ("off", None)];
        one_of(scalar, versions).map(Self)
    }

    fn schema() -> Schema {
        words(["v1", "v2", "off"])
    }
}

impl Leaf for RedirectLeaf {
    const WHAT: &'static str = "where to redirect to";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let refused = || Complaint::new("write `https` or, for example, `https:8443`");
        let port = match scalar.text.strip_prefix("https").ok_or_else(refused)? {
            "" => 443,
            port => port
                .strip_prefix(':')
                .and_then(|port| port.parse().ok())
                .filter(|port| *port > 0)
                .ok_or_else(refused)?,
        };
        Ok(Self { port })
    }

    fn schema() -> Schema {
        string("https(:[0-9]{1,5})?")
    }
}
