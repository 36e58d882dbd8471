//! What was written, as a hash and as JSON without secrets.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap as _, SerializeSeq as _},
};
use sha2::{Digest, Sha256};

use super::document::{Kind, Node};
use crate::stride::pause;

/// SHA-256 in lower-case hex over what `root` says once variables and includes are in their place,
/// and over the files it names. Comments and layout are no part of it.
pub(crate) fn hash<'a>(root: &Node, files: impl Iterator<Item = &'a [u8]>) -> String {
    digest(Some(root), files).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 over what `part` says and over files.
pub(crate) fn digest<'a>(part: Option<&Node>, files: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut digest = Digested { sha256: Sha256::new(), waiting: Vec::with_capacity(WAITING_MAX) };
    if let Some(part) = part {
        feed(part, &mut digest);
    }
    for file in files {
        digest.counted('f', file.len());
        digest.update(file);
    }
    digest.sha256.update(&digest.waiting);
    digest.sha256.finalize().into()
}

/// What `root` says as JSON, all scalars as text, with `${NAME}` for what came from the
/// environment.
pub(crate) fn redacted(root: &Node) -> String {
    serde_json::to_string(&Redacted(root)).expect("text, lists and mappings are JSON")
}

struct Redacted<'a>(&'a Node);

impl Serialize for Redacted<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        pause();
        match &self.0.kind {
            Kind::Nothing => serializer.serialize_unit(),
            Kind::Scalar(scalar) => serializer.serialize_str(scalar.shown()),
            Kind::List(nodes) => {
                let mut list = serializer.serialize_seq(Some(nodes.len()))?;
                nodes.iter().try_for_each(|node| list.serialize_element(&Redacted(node)))?;
                list.end()
            }
            Kind::Mapping(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for entry in entries {
                    map.serialize_entry(&entry.key, &Redacted(&entry.value))?;
                }
                map.end()
            }
        }
    }
}

/// How many bytes wait to be digested together.
const WAITING_MAX: usize = 16 << 10;

/// A digest that is fed many small pieces.
struct Digested {
    sha256: Sha256,
    waiting: Vec<u8>,
}

impl Digested {
    fn update(&mut self, bytes: &[u8]) {
        if self.waiting.len() + bytes.len() > WAITING_MAX {
            self.sha256.update(&self.waiting);
            self.waiting.clear();
        }
        match bytes.len() > WAITING_MAX {
            true => self.sha256.update(bytes),
            false => self.waiting.extend_from_slice(bytes),
        }
    }

    /// What follows is of this kind, and so long.
    fn counted(&mut self, kind: char, length: usize) {
        let mut digits = itoa::Buffer::new();
        self.update(&[kind as u8]);
        self.update(digits.format(length).as_bytes());
        self.update(b":");
    }
}

/// Lengths go first, so that no two trees are fed alike.
fn feed(node: &Node, digest: &mut Digested) {
    pause();
    match &node.kind {
        Kind::Nothing => digest.update(b"n"),
        Kind::Scalar(scalar) => text('s', &scalar.text, digest),
        Kind::List(nodes) => {
            digest.counted('l', nodes.len());
            nodes.iter().for_each(|node| feed(node, digest));
        }
        Kind::Mapping(entries) => {
            digest.counted('m', entries.len());
            for entry in entries {
                text('k', &entry.key, digest);
                feed(&entry.value, digest);
            }
        }
    }
}

fn text(kind: char, text: &str, digest: &mut Digested) {
    digest.counted(kind, text.len());
    digest.update(text.as_bytes());
}
