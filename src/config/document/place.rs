//! Where usher listens, and who may connect where that is a file.

use std::{borrow::Cow, net::SocketAddr, path::Path};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    leaf::{leaves, string},
    read::{Complaint, Leaf, Read, leaf},
    reader::Reader,
    tree::{Node, Scalar},
};
use crate::bind;

/// An address of our own to listen at. A path is as it was written.
#[derive(Clone, Debug)]
pub(crate) struct Bind(pub(crate) bind::Bind);

/// The rights of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModeLeaf(pub(crate) u32);

/// A group of the system's.
#[derive(Clone, Debug)]
pub(crate) struct GroupLeaf(pub(crate) Group);

/// A group, as it was written.
#[derive(Clone, Debug)]
pub(crate) enum Group {
    /// By its number.
    Number(u32),
    /// By its name.
    Name(String),
}

leaves!(Bind, ModeLeaf, GroupLeaf);

// === impl Leaf ===

impl Leaf for Bind {
    const WHAT: &'static str = "an address and port";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        if let Some(path) = scalar.text.strip_prefix("unix:") {
            return match path {
                "" => Err(Complaint::new("it has no path behind `unix:`")),
                path if path.contains('\0') => Err(Complaint::new("no file can be called so")),
                path if path.starts_with('@') => {
                    let hint = "write a path: its file's rights say who may connect";
                    let reason = "anybody could connect to a socket without a file";
                    Err(Complaint::new(reason).with_hint(hint))
                }
                path => Ok(Self(bind::Bind::Unix(Path::new(path).into()))),
            };
        }
        let hint = "write for example `0.0.0.0:8080`, `[::]:8080` or `unix:/run/usher/usher.sock`";
        let refused = || Complaint::new("it is neither IP:PORT nor unix:PATH").with_hint(hint);
        let address: SocketAddr = scalar.text.parse().map_err(|_| refused())?;
        Ok(Self(address.into()))
    }

    fn schema() -> Schema {
        string(r"unix:.+|.*:[0-9]{1,5}")
    }
}

impl Leaf for ModeLeaf {
    const WHAT: &'static str = "the rights of a file";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let refused = |reason: &str| {
            let hint = "write for example `0660`, `0600` or `0666`";
            Err(Complaint::new(reason).with_hint(hint))
        };
        let text = scalar.text.as_str();
        if !text.bytes().all(|b| b.is_ascii_digit()) || !(3..=4).contains(&text.len()) {
            return refused("it is not three or four digits");
        }
        match u32::from_str_radix(text, 8) {
            Ok(mode) if mode & 0o200 == 0 => refused("usher itself could not connect"),
            Ok(mode) if mode <= 0o777 => Ok(Self(mode)),
            Ok(_) => refused("a socket has no more rights than 0777"),
            Err(_) => refused("its digits are from 0 to 7"),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [
            { "type": "integer", "minimum": 0 },
            { "type": "string", "pattern": "^0?[0-7]{3}$|\\$\\{" },
        ] })
    }
}

impl Leaf for GroupLeaf {
    const WHAT: &'static str = "a group";

    fn parse(scalar: &Scalar) -> Result<Self, Complaint> {
        let text = scalar.text.as_str();
        if let Ok(number) = text.parse() {
            return Ok(Self(Group::Number(number)));
        }
        if text.is_empty() || text.contains([':', '\n', '\0']) {
            return Err(Complaint::new("no group is called so").with_hint("write `www-data`, say"));
        }
        Ok(Self(Group::Name(text.to_owned())))
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}
