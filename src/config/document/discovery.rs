//! Names that are looked up by asking name servers, as they are written.

use std::{
    borrow::Cow,
    net::{IpAddr, SocketAddr},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    Count, Many, Wait, Words, document,
    leaf::{leaves, string},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::config::Family;

/// Where name servers answer.
const DNS_PORT: u16 = 53;

document! {
    /// A name that is looked up by asking name servers.
    Dns {
        /// A name whose addresses (A, AAAA) are endpoints.
        optional name: Words,
        /// The port at each of them.
        optional port: Count,
        /// A service (SRV), as `_http._tcp.web`: its targets are endpoints.
        optional srv: Words,
        /// Which addresses: `auto` (IPv4, else IPv6), `ipv4`, `ipv6` or `both`.
        optional family: FamilyLeaf,
    }
}

document! {
    /// How name servers are asked; what is left out is as /etc/resolv.conf says.
    Resolver {
        /// The servers, as IP or IP:PORT, in this order.
        optional servers: Many<Server>,
        /// How long one of them may take; 2s when nothing is said.
        optional timeout: Wait,
        /// How often each of them is asked; 2 when nothing is said.
        optional attempts: Count,
        /// What is appended to names that have less than `ndots` dots.
        optional search: Many<Words>,
        /// From how many dots on a name is asked for as it stands first; 1 when nothing is said.
        optional ndots: Count,
        /// How soon a name is asked for again.
        optional ttl: Ttl,
    }
}

document! {
    /// How soon a name is asked for again, whatever its answer says.
    Ttl {
        /// At the soonest; 1s when left out.
        optional min: Wait,
        /// At the latest; 30s when left out.
        optional max: Wait,
    }
}

/// Which addresses of a name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FamilyLeaf(pub(crate) Family);

/// Where a name server is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Server(pub(crate) SocketAddr);

leaves!(FamilyLeaf, Server);

// === impl Leaf ===

impl Leaf for FamilyLeaf {
    const WHAT: &'static str = "a family of addresses";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let known = Family::ALL.into_iter().find(|(word, _)| *word == scalar.text);
        let hint = "write `auto`, `ipv4`, `ipv6` or `both`";
        let unknown = || Complaint::new("there is no such family").with_hint(hint);
        known.map(|(_, family)| Self(family)).ok_or_else(unknown)
    }

    fn schema() -> Schema {
        let words = Family::ALL.map(|(word, _)| word);
        json_schema!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": "\\$\\{" }] })
    }
}

impl Leaf for Server {
    const WHAT: &'static str = "the address of a name server";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let text = scalar.text.as_str();
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let on_port = || bare.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, DNS_PORT));
        let server = text.parse().ok().or_else(on_port);
        let hint = "write for example `10.96.0.10`, `10.96.0.10:53` or `[fd00::a]:53`";
        let server = server.filter(|server| server.port() > 0);
        server.map(Self).ok_or_else(|| Complaint::new("it is not IP or IP:PORT").with_hint(hint))
    }

    fn schema() -> Schema {
        string(r"[0-9a-fA-F.:\[\]]+")
    }
}
