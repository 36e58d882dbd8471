//! From nodes to typed values: each is its value or its complaint.
//!
//! Reading never stops at the first complaint.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;
use schemars::{JsonSchema, Schema};

use super::{
    reader::Reader,
    tree::{Kind, Node, Scalar},
};
use crate::{config::source::Span, stride::pause};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
    /// Its key; the value's own place in a list.
    pub(crate) key: Span,
}

/// What can be read from a node.
pub(crate) trait Read: Sized + JsonSchema {
    /// The value, or nothing after a complaint.
    fn read(node: &Node, reader: &mut Reader) -> Option<Self>;

    /// Adds the full names of all keys below `path`.
    fn keys(_path: &str, _keys: &mut BTreeSet<String>) {}
}

/// What can be read from a scalar.
pub(crate) trait Leaf: Sized {
    /// With its article, for messages: `a duration`.
    const WHAT: &'static str;

    /// The value, or why the text is none.
    fn parse(scalar: &Scalar) -> Result<Self, Complaint>;

    /// What an editor is to know about it.
    fn schema() -> Schema;
}

/// Why a scalar is not what it should be.
#[derive(Clone, Debug)]
pub(crate) struct Complaint {
    /// Follows `is not a duration: `.
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
}

// === impl Complaint ===

impl Complaint {
    pub(crate) fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), hint: None }
    }

    pub(crate) fn of(error: &impl std::error::Error) -> Self {
        Self::new(error.to_string())
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Takes out what came from the environment.
    fn about(self, scalar: &Scalar) -> Self {
        let Some(shown) = scalar.shown.as_deref().filter(|_| !scalar.text.is_empty()) else {
            return self;
        };
        let redact = |text: String| text.replace(&scalar.text, shown);
        Self { reason: redact(self.reason), hint: self.hint.map(redact) }
    }
}

/// The scalar of `node`; anything else is complained about.
pub(crate) fn scalar<'a>(node: &'a Node, what: &str, reader: &mut Reader) -> Option<&'a Scalar> {
    match &node.kind {
        Kind::Scalar(scalar) if scalar.known => return Some(scalar),
        Kind::Scalar(_) => {}
        Kind::Nothing => nothing(node, what, reader),
        Kind::List(_) => reader.error(node.span, format!("{what} is expected here, not a list")),
        Kind::Mapping(_) => {
            reader.error(node.span, format!("{what} is expected here, not a mapping"));
        }
    }
    None
}

/// Says that something is missing altogether.
pub(crate) fn nothing(node: &Node, what: &str, reader: &mut Reader) {
    let hint = "write a value, or take the key out";
    reader.error_with(node.span, format!("{what} is expected here, and nothing stands here"), hint);
}

/// Reads a leaf.
pub(crate) fn leaf<T: Leaf>(node: &Node, reader: &mut Reader) -> Option<T> {
    let scalar = scalar(node, T::WHAT, reader)?;
    match T::parse(scalar) {
        Ok(value) => Some(value),
        Err(complaint) => {
            let Complaint { reason, hint } = complaint.about(scalar);
            let message = format!("`{}` is not {}: {reason}", scalar.shown(), T::WHAT);
            match hint {
                Some(hint) => reader.error_with(node.span, message, hint),
                None => reader.error(node.span, message),
            }
            None
        }
    }
}

/// Checks the keys of a mapping; false when `node` is none.
pub(crate) fn mapping(node: &Node, known: &[&str], reader: &mut Reader) -> bool {
    pause();
    match &node.kind {
        Kind::Mapping(_) => {}
        Kind::Nothing => {
            nothing(node, "a mapping", reader);
            return false;
        }
        Kind::Scalar(scalar) => {
            if scalar.known {
                let message = format!("a mapping is expected here, not `{}`", scalar.shown());
                reader.error_with(node.span, message, known_keys(known));
            }
            return false;
        }
        Kind::List(_) => {
            let message = "a mapping is expected here, not a list";
            reader.error_with(node.span, message, known_keys(known));
            return false;
        }
    }
    for entry in node.entries() {
        if !known.contains(&entry.key.as_str()) {
            unknown_key(&entry.key, entry.key_span, known, reader);
        }
    }
    duplicates(node, reader);
    true
}

/// Complains about every key that stood before.
pub(crate) fn duplicates(node: &Node, reader: &mut Reader) {
    if node.entries().len() < 2 {
        return;
    }
    let mut seen = FxHashMap::default();
    for entry in node.entries() {
        let first = *seen.entry(entry.key.as_str()).or_insert(entry.key_span);
        if first != entry.key_span {
            let place = reader.place(first, entry.key_span);
            let message = format!("`{}` stands twice, first {place}", entry.key);
            reader.error_with(entry.key_span, message, "merge the two or remove one of them");
        }
    }
}

fn unknown_key(key: &str, span: Span, known: &[&str], reader: &mut Reader) {
    let message = match similar(key, known.iter().copied()) {
        Some(similar) => format!("unknown key `{key}`, did you mean `{similar}`?"),
        None => format!("unknown key `{key}`"),
    };
    let hint = match key {
        "<<" => "merge keys are not read here; use `defaults:`".to_owned(),
        _ => known_keys(known),
    };
    reader.error_with(span, message, hint);
}

fn known_keys(known: &[&str]) -> String {
    format!("known here: {}", known.join(", "))
}

/// The candidate that `word` was probably meant to be.
pub(crate) fn similar<'a>(
    word: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    /// What other proxies call what we have.
    const ELSEWHERE: &[(&str, &str)] = &[
        ("servers", "endpoints"),
        ("server", "endpoints"),
        ("targets", "endpoints"),
        ("upstreams", "pools"),
        ("backends", "pools"),
        ("clusters", "pools"),
        ("upstream", "pool"),
        ("backend", "pool"),
        ("cluster", "pool"),
        ("routes", "audiences"),
        ("rules", "match"),
        ("allow", "only"),
        ("listen", "bind"),
        ("admin", "control"),
        ("threads", "workers"),
        ("maxconn", "capacity"),
        ("slots", "capacity"),
        ("keepalive", "keep_alive"),
        ("ip", "client"),
        ("prefix", "path"),
    ];
    let meant = ELSEWHERE.iter().find(|(theirs, _)| *theirs == word).map(|(_, ours)| *ours);
    let distance = |candidate: &&str| strsim::damerau_levenshtein(word, candidate);
    let candidates: Vec<&str> = candidates.collect();
    candidates.iter().copied().find(|candidate| Some(*candidate) == meant).or_else(|| {
        let nearest = candidates.into_iter().min_by_key(distance)?;
        let length = word.chars().count().max(nearest.chars().count());
        (distance(&nearest) * 3 <= length).then_some(nearest)
    })
}
