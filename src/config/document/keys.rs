//! What tokens are signed with, as it is written.

use std::borrow::Cow;

use http::Uri;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    FilePath, Wait, Words,
    control::VariableName,
    document,
    leaf::leaves,
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};

document! {
    /// A key: exactly one of the first four.
    TokenKey {
        /// A PEM file with a public key.
        optional pem: FilePath,
        /// A JWK set: a file, or a URL where usher fetches it.
        optional jwks: KeySet,
        /// A file with a secret that both sides hold.
        optional secret_file: FilePath,
        /// An environment variable with a secret that both sides hold.
        optional secret_env: VariableName,
        /// The key's name: tokens that name another (`kid`) are not tried with it.
        optional id: Words,
        /// How old the keys of a URL may become. 1h when left out.
        optional refresh: Wait,
        /// Who must have signed the certificate of whoever is at a URL, a PEM file; `system` when
        /// left out.
        optional roots: FilePath,
    }
}

/// A file with keys, or a URL where they are.
#[derive(Clone, Debug)]
pub(crate) enum KeySet {
    File(FilePath),
    Url(Uri),
}

leaves!(KeySet);

// === impl KeySet ===

impl Leaf for KeySet {
    const WHAT: &'static str = "a JWK set";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let Some((scheme, _)) = scalar.text.split_once("://") else {
            return FilePath::parse(scalar).map(Self::File);
        };
        let hint = "write for example `https://issuer.example/.well-known/jwks.json`";
        let refused = |reason: &str| Complaint::new(reason).with_hint(hint);
        if !["http", "https"].iter().any(|it| scheme.eq_ignore_ascii_case(it)) {
            return Err(refused("only http and https are spoken here"));
        }
        if scalar.text.contains('#') {
            return Err(refused("nobody is asked for what stands behind `#`"));
        }
        let uri: Uri = scalar.text.parse().map_err(|_| refused("it is no URL"))?;
        match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => {
                Err(refused("a user and a password have no place in it"))
            }
            Some(authority) if !authority.host().is_empty() => Ok(Self::Url(uri)),
            Some(_) | None => Err(refused("it names no host")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "boolean"] })
    }
}
