//! The operators' port: where it is, who may ask, and where changes are written down.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    collection::Many,
    declare::document,
    leaf::{FilePath, NameLeaf, leaves},
    place::{Bind, GroupLeaf, ModeLeaf},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::config::Role;

document! {
    /// The operators' port.
    Control {
        /// IP address and port, or `unix:PATH`. Off loopback it takes `tokens`.
        required bind: Bind,
        /// Rights of a Unix socket's file, as chmod takes them; 0600 when left out.
        optional mode: ModeLeaf,
        /// Group of a Unix socket's file, by name or number; usher's own when left out.
        optional group: GroupLeaf,
        /// Who may ask. Without any: whoever reaches it, and it may only be on loopback.
        optional tokens: Many<Token>,
        /// Where changes are written down, beside the log.
        optional audit: Audit,
    }
}

document! {
    /// What somebody shows who asks the operators' port.
    Token {
        /// Who shows it, as it stands in the audit.
        required name: NameLeaf,
        /// What may be asked with it: `viewer` sees, `operator` changes as well.
        required role: RoleLeaf,
        /// A file with the token; several lines are several tokens, so that it can be rotated.
        optional file: FilePath,
        /// An environment variable with the token.
        optional env: VariableName,
    }
}

document! {
    /// Where changes are written down, one JSON object a line.
    Audit {
        /// A file, which is made where there is none.
        required path: FilePath,
    }
}

/// `viewer` or `operator`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoleLeaf(pub(crate) Role);

/// The name of an environment variable.
#[derive(Clone, Debug)]
pub(crate) struct VariableName(pub(crate) String);

leaves!(RoleLeaf, VariableName);

// === impl Leaf ===

impl Leaf for RoleLeaf {
    const WHAT: &'static str = "a role";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        match scalar.text.as_str() {
            "viewer" => Ok(Self(Role::Viewer)),
            "operator" => Ok(Self(Role::Operator)),
            _ => Err(Complaint::new("write `viewer` or `operator`")),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "enum": ["viewer", "operator"] })
    }
}

impl Leaf for VariableName {
    const WHAT: &'static str = "the name of a variable";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let text = scalar.text.as_str();
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let first = text.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if first && text.bytes().all(fine) {
            return Ok(Self(text.to_owned()));
        }
        let hint = "write its name alone, for example `env: USHER_OPERATOR_TOKEN`";
        Err(Complaint::new("it holds letters, digits and `_`").with_hint(hint))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$|\\$\\{" })
    }
}
