//! TLS towards clients and towards endpoints, as it is written.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    FilePath, Many, Switch, Words, document,
    leaf::leaves,
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::tls::{UnknownName, Version};

document! {
    /// How a listener speaks TLS.
    Tls {
        /// Chosen by the name that the client asks for; the first otherwise.
        required certificates: Many<Certificate>,
        /// Who asks for a name of none of them is shown the `first`, or is turned away (`refuse`).
        optional unknown_name: UnknownNameLeaf,
        /// The lowest version that is spoken: `1.2` or `1.3`.
        optional lowest: VersionLeaf,
        /// Client certificates; nobody is asked for one when left out.
        optional clients: Clients,
        /// Requests for hosts that no certificate covers: 421 (`certified`), or served (`any`).
        optional hosts: HostsLeaf,
    }
}

document! {
    /// A certificate and its key.
    Certificate {
        /// A PEM file with the certificate and those that signed it.
        required cert: FilePath,
        /// A PEM file with its key.
        required key: FilePath,
    }
}

document! {
    /// Whose certificates a listener asks for.
    Clients {
        /// A PEM file with those who must have signed them.
        required roots: FilePath,
        /// Whether a client without one is turned away (`required`) or served (`optional`).
        optional verify: VerifyLeaf,
    }
}

document! {
    /// How the endpoints of a pool are spoken to within TLS.
    EndpointTls {
        /// A PEM file with those who must have signed the endpoints' certificates; or `system`.
        optional roots: FilePath,
        /// The name that the certificates have to be good for, and that is asked for; an
        /// endpoint's own host or address when left out.
        optional name: Words,
        /// What usher shows of itself where it is asked.
        optional certificate: Certificate,
        /// `on`: takes any certificate. Whoever stands between usher and an endpoint can then read
        /// and change everything.
        optional dangerously_unverified: Switch,
    }
}

/// `first` or `refuse`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UnknownNameLeaf(pub(crate) UnknownName);

/// `1.2` or `1.3`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VersionLeaf(pub(crate) Version);

/// `required` or `optional`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VerifyLeaf {
    pub(crate) required: bool,
}

/// `certified` or `any`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HostsLeaf {
    pub(crate) any: bool,
}

leaves!(UnknownNameLeaf, VersionLeaf, VerifyLeaf, HostsLeaf);

// === impl Leaf ===

impl Leaf for UnknownNameLeaf {
    const WHAT: &'static str = "what becomes of unknown names";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let value =
            one_of(scalar, [("first", UnknownName::First), ("refuse", UnknownName::Refuse)]);
        value.map(Self)
    }

    fn schema() -> Schema {
        words(["first", "refuse"])
    }
}

impl Leaf for VersionLeaf {
    const WHAT: &'static str = "a version of TLS";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        one_of(scalar, [("1.2", Version::Tls12), ("1.3", Version::Tls13)]).map(Self)
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "enum": ["1.2", "1.3", 1.2, 1.3] },
            { "type": "string", "pattern": "\\$\\{" },
        ] })
    }
}

impl Leaf for VerifyLeaf {
    const WHAT: &'static str = "what becomes of clients without a certificate";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let required = one_of(scalar, [("required", true), ("optional", false)])?;
        Ok(Self { required })
    }

    fn schema() -> Schema {
        words(["required", "optional"])
    }
}

impl Leaf for HostsLeaf {
    const WHAT: &'static str = "a choice of hosts";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        Ok(Self { any: one_of(scalar, [("certified", false), ("any", true)])? })
    }

    fn schema() -> Schema {
        words(["certified", "any"])
    }
}

/// The value of the one word that was written.
pub(super) fn one_of<T: Copy, const N: usize>(
    scalar: &Scalar,
    words: [(&str, T); N],
) -> Result<T, Complaint> {
    let word = words.iter().find(|(word, _)| *word == scalar.text);
    word.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        Complaint::new(format!("write {}", words.join(" or ")))
    })
}

/// One of these words, or a variable.
pub(super) fn words<const N: usize>(words: [&str; N]) -> Schema {
    json_schema!({ "anyOf": [
        { "enum": words.to_vec() },
        { "type": "string", "pattern": "\\$\\{" },
    ] })
}
