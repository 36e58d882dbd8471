//! Who is calling, and tables of users, as they are written.

use std::{borrow::Cow, collections::BTreeSet};

use http::HeaderName;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    FilePath, Kind, Many, NameLeaf, OneOrMany, Pattern, Wait, Words,
    control::VariableName,
    document, header_name,
    keys::TokenKey,
    leaf::{leaves, string},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tls::{one_of, words},
    tree::{Node, Scalar},
};
use crate::{
    classify::Text,
    identity::{Algorithm, Invalid, RailsDigest, RailsForm},
};

document! {
    /// Something that may prove who asks: exactly one of these.
    IdentitySource {
        /// JSON Web Tokens.
        optional jwt: Jwt,
        /// usher's own cookie, which the application signs.
        optional cookie: IdentityCookie,
        /// A cookie as Rails signs or encrypts it.
        optional rails_cookie: RailsCookie,
        /// Fields in which one of `trusted_proxies` says who asks.
        optional header: IdentityHeader,
        /// The certificate that the client showed.
        optional client_cert: IdentityCertificate,
    }
}

document! {
    /// usher's own cookie, which the application signs.
    IdentityCookie {
        /// What it is called in metrics and explanations; its kind when left out.
        optional name: NameLeaf,
        /// The cookie's name; `_usher_identity` when left out.
        optional cookie: Words,
        /// What it is signed with; any of these: Ed25519 or P-256.
        required keys: Many<TokenKey>,
        /// How far clocks may differ. 30s when left out.
        optional leeway: Wait,
        /// Where the user stands in it: `sub` when left out.
        optional user: Words,
        /// Where the roles stand in it: `roles` when left out.
        optional roles: Words,
        /// What becomes of requests with an invalid one: `anonymous`, or `refuse` (401).
        optional invalid: InvalidLeaf,
    }
}

document! {
    /// A cookie as Rails signs or encrypts it.
    RailsCookie {
        /// What it is called in metrics and explanations; its kind when left out.
        optional name: NameLeaf,
        /// The cookie's name: `_shop_session`.
        required cookie: Words,
        /// What it is made with; any of these.
        required keys: Many<RailsKey>,
        /// How it is made: `gcm` when left out, `cbc` of Rails before 5.2, or `signed` alone.
        optional form: RailsFormLeaf,
        /// Whether it has to name its own cookie, as since Rails 5.2: `required` or `optional`.
        optional purpose: ExpiryLeaf,
        /// Where the user stands in it: `user_id`; all of it when left out.
        optional user: Words,
        /// Where the roles stand in it; none when left out.
        optional roles: Words,
        /// What becomes of requests with an invalid one: `anonymous`, or `refuse` (401).
        optional invalid: InvalidLeaf,
    }
}

document! {
    /// What Rails makes cookies with: exactly one of the first four.
    RailsKey {
        /// A file with the key alone that is derived for this form, in hexadecimal.
        optional derived_file: FilePath,
        /// An environment variable with such a key.
        optional derived_env: VariableName,
        /// A file with the `secret_key_base`, from which it is derived.
        optional secret_key_base_file: FilePath,
        /// An environment variable with the `secret_key_base`.
        optional secret_key_base_env: VariableName,
        /// With which digest it is derived: `SHA256` since Rails 7.0, `SHA1` before; both are
        /// tried when left out.
        optional digest: RailsDigestLeaf,
        /// The salt it is derived with; Rails' own when left out.
        optional salt: Words,
        /// The salt of the signature's key, of `cbc`; Rails' own when left out.
        optional signed_salt: Words,
    }
}

document! {
    /// Fields in which one of `trusted_proxies` says who asks.
    IdentityHeader {
        /// What it is called in metrics and explanations; its kind when left out.
        optional name: NameLeaf,
        /// The field with the user.
        required user: FieldName,
        /// The field with the roles, with commas or blanks between them.
        optional roles: FieldName,
        /// What becomes of requests with an invalid one: `anonymous`, or `refuse` (401).
        optional invalid: InvalidLeaf,
    }
}

document! {
    /// The certificate that the client showed.
    IdentityCertificate {
        /// What it is called in metrics and explanations; its kind when left out.
        optional name: NameLeaf,
        /// Which part of the subject is the user: `CN` when left out, `subject` for all of it.
        optional user: Words,
        /// Which parts of the subject are roles, such as `OU`; none when left out.
        optional roles: Words,
        /// What becomes of requests with an invalid one: `anonymous`, or `refuse` (401).
        optional invalid: InvalidLeaf,
    }
}

document! {
    /// JSON Web Tokens that others sign.
    Jwt {
        /// What it is called in metrics and explanations; its kind when left out.
        optional name: NameLeaf,
        /// Where the token stands; `Authorization: Bearer` when left out.
        optional from: OneOrMany<TokenPlace>,
        /// What it is signed with; any of these.
        required keys: Many<TokenKey>,
        /// The algorithms that are taken; the usual one of each key when left out.
        optional algorithms: OneOrMany<AlgorithmLeaf>,
        /// Who may have issued it (`iss`); anyone who holds the key when left out.
        optional issuer: OneOrMany<Words>,
        /// For whom it may have been made (`aud`); anyone when left out.
        optional audience: OneOrMany<Words>,
        /// How far clocks may differ. 30s when left out.
        optional leeway: Wait,
        /// Whether it has to say its end (`exp`): `required` or `optional`.
        optional expiry: ExpiryLeaf,
        /// Where the user stands in it: `sub` when left out, `org.user.id` for what is nested.
        optional user: Words,
        /// Where the roles stand in it; none when left out.
        optional roles: Words,
        /// What becomes of requests with an invalid one: `anonymous`, or `refuse` (401).
        optional invalid: InvalidLeaf,
    }
}

document! {
    /// Where a token stands: exactly one of these.
    TokenPlace {
        /// A field of the head, behind `Bearer`.
        optional header: FieldName,
        /// A cookie.
        optional cookie: Words,
        /// A parameter of the query.
        optional query: Words,
        /// In a protocol that a WebSocket offers, behind this text: `bearer.`.
        optional protocol: Words,
    }
}

document! {
    /// Users of a table.
    TableUsers {
        /// The table, by its name in `tables:`.
        required table: NameLeaf,
        /// What has to stand beside them; anything when left out.
        optional value: Words,
    }
}

/// An algorithm of RFC 7518.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AlgorithmLeaf(pub(crate) Algorithm);

/// `required` or `optional`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ExpiryLeaf {
    pub(crate) required: bool,
}

/// `gcm`, `cbc` or `signed`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RailsFormLeaf(pub(crate) RailsForm);

/// `SHA1` or `SHA256`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RailsDigestLeaf(pub(crate) RailsDigest);

/// `anonymous` or `refuse`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InvalidLeaf(pub(crate) Invalid);

/// The name of a field.
#[derive(Clone, Debug)]
pub(crate) struct FieldName(pub(crate) HeaderName);

/// Users: a pattern, or those of a table.
#[derive(Clone, Debug)]
pub(crate) enum Users {
    Text(Pattern<Text>),
    Listed(TableUsers),
}

leaves!(RailsFormLeaf, RailsDigestLeaf, AlgorithmLeaf, ExpiryLeaf, InvalidLeaf, FieldName);

// === impl Leaf ===

impl Leaf for AlgorithmLeaf {
    const WHAT: &'static str = "an algorithm";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        Algorithm::parse(&scalar.text).map(Self).ok_or_else(|| {
            let names: Vec<&str> = Algorithm::ALL.iter().map(|it| it.name()).collect();
            Complaint::new("it is not known here").with_hint(format!("one of {}", names.join(", ")))
        })
    }

    fn schema() -> Schema {
        let names: Vec<&str> = Algorithm::ALL.iter().map(|it| it.name()).collect();
        json_schema!({ "enum": names })
    }
}

impl Leaf for ExpiryLeaf {
    const WHAT: &'static str = "a word about what has to be there";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let required = one_of(scalar, [("required", true), ("optional", false)])?;
        Ok(Self { required })
    }

    fn schema() -> Schema {
        words(["required", "optional"])
    }
}

impl Leaf for RailsFormLeaf {
    const WHAT: &'static str = "a form of cookies";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let forms =
            [("gcm", RailsForm::Gcm), ("cbc", RailsForm::Cbc), ("signed", RailsForm::Signed)];
        one_of(scalar, forms).map(Self)
    }

    fn schema() -> Schema {
        words(["gcm", "cbc", "signed"])
    }
}

impl Leaf for RailsDigestLeaf {
    const WHAT: &'static str = "a digest";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let digests = [("SHA1", RailsDigest::Sha1), ("SHA256", RailsDigest::Sha256)];
        one_of(scalar, digests).map(Self)
    }

    fn schema() -> Schema {
        words(["SHA1", "SHA256"])
    }
}

impl Leaf for InvalidLeaf {
    const WHAT: &'static str = "what to do with requests";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        one_of(scalar, [("anonymous", Invalid::Anonymous), ("refuse", Invalid::Refuse)]).map(Self)
    }

    fn schema() -> Schema {
        words(["anonymous", "refuse"])
    }
}

impl Leaf for FieldName {
    const WHAT: &'static str = "the name of a header";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match header_name(&scalar.text) {
            Some(name) if scalar.text.contains('_') => {
                let hint = format!("write `{}`", name.as_str().replace('_', "-"));
                Err(Complaint::new("a header with `_` never arrives").with_hint(hint))
            }
            Some(name) => Ok(Self(name)),
            None => Err(Complaint::new("no header can be called so")),
        }
    }

    fn schema() -> Schema {
        string("[!#$%&'*+.^`|~0-9A-Za-z-]+")
    }
}

// === impl Users ===

impl Users {
    /// As it was written.
    pub(crate) fn shown(&self) -> String {
        match self {
            Users::Text(pattern) => pattern.shown.clone(),
            Users::Listed(listed) => {
                let table = listed.table.as_ref().map_or("", |table| &table.value.shown);
                match &listed.value {
                    Some(value) => format!("{} in table {table}", value.value.0),
                    None => format!("in table {table}"),
                }
            }
        }
    }
}

impl Read for Users {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match node.kind {
            Kind::Mapping(_) => TableUsers::read(node, reader).map(Self::Listed),
            Kind::Nothing | Kind::Scalar(_) | Kind::List(_) => {
                Pattern::<Text>::read(node, reader).map(Self::Text)
            }
        }
    }

    fn keys(path: &str, keys: &mut BTreeSet<String>) {
        TableUsers::keys(path, keys);
    }
}

impl JsonSchema for Users {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Users".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let text = generator.subschema_for::<Pattern<Text>>();
        let listed = generator.subschema_for::<TableUsers>();
        json_schema!({ "anyOf": [text, listed] })
    }
}
