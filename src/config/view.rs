//! What was written, as a hash and as JSON without secrets.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::document::{Kind, Node};

/// SHA-256 in lower-case hex over what `root` says once variables and includes are in their place,
/// and over the files it names. Comments and layout are no part of it.
pub(crate) fn hash<'a>(root: &Node, files: impl Iterator<Item = &'a [u8]>) -> String {
    digest(Some(root), files).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 over what `part` says and over files.
pub(crate) fn digest<'a>(part: Option<&Node>, files: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = Sha256::new();
    if let Some(part) = part {
        feed(part, &mut digest);
    }
    for file in files {
        digest.update(format!("f{}:", file.len()));
        digest.update(file);
    }
    digest.finalize().into()
}

/// What `root` says, all scalars as text, with `${NAME}` for what came from the environment.
pub(crate) fn redacted(root: &Node) -> Value {
    match &root.kind {
        Kind::Nothing => Value::Null,
        Kind::Scalar(scalar) => Value::String(scalar.shown().to_owned()),
        Kind::List(nodes) => Value::Array(nodes.iter().map(redacted).collect()),
        Kind::Mapping(entries) => Value::Object(
            entries.iter().map(|entry| (entry.key.clone(), redacted(&entry.value))).collect(),
        ),
    }
}

/// Lengths go first, so that no two trees are fed alike.
fn feed(node: &Node, digest: &mut Sha256) {
    match &node.kind {
        Kind::Nothing => digest.update("n"),
        Kind::Scalar(scalar) => text('s', &scalar.text, digest),
        Kind::List(nodes) => {
            digest.update(format!("l{}:", nodes.len()));
            nodes.iter().for_each(|node| feed(node, digest));
        }
        Kind::Mapping(entries) => {
            digest.update(format!("m{}:", entries.len()));
            for entry in entries {
                text('k', &entry.key, digest);
                feed(&entry.value, digest);
            }
        }
    }
}

fn text(kind: char, text: &str, digest: &mut Sha256) {
    digest.update(format!("{kind}{}:", text.len()));
    digest.update(text);
}
