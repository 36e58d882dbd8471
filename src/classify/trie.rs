//! Many patterns looked up at once: a tree of segments (or labels), each level a hash map.
//!
//! A lookup walks down along the request's own segments, so that its cost depends on the request
//! and on wildcards, not on how many patterns there are.

use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use super::{
    path::without_format,
    pattern::{End, Segment},
};
use crate::stride::let_go;

/// Rules by number, in file order.
pub(super) type Bucket = SmallVec<[u32; 4]>;

/// What separates the parts of a text, and what its last part may carry.
#[derive(Clone, Copy, Debug)]
pub(super) enum Grammar {
    /// Segments between `/`; the last one may carry a `.format`.
    Path,
    /// Labels between `.`.
    Host,
}

/// A text to look up, short ones in place: a lookup that misses the caches should miss them once.
pub(super) type Key = SmallVec<[u8; 24]>;

/// Patterns of one grammar, each with the rules that hold it.
#[derive(Debug)]
pub(super) struct Trie {
    grammar: Grammar,
    nodes: Vec<Node>,
}

#[derive(Debug, Default)]
struct Node {
    literals: FxHashMap<Key, u32>,
    any: Option<u32>,
    here: Bucket,
    rest: Bucket,
}

const ROOT: u32 = 0;

// === impl Trie ===

impl Trie {
    pub(super) fn new(grammar: Grammar) -> Self {
        Self { grammar, nodes: vec![Node::default()] }
    }

    /// Makes room for the ends of so many patterns more.
    pub(super) fn reserve(&mut self, patterns: usize) {
        self.nodes.reserve(patterns);
    }

    /// Adds a pattern of `rule`. Rules are added in file order.
    pub(super) fn insert(&mut self, parts: &[Segment], end: End, rule: u32) {
        let mut at = ROOT;
        for part in parts {
            let new = u32::try_from(self.nodes.len()).expect("fewer patterns than bytes of a file");
            let node = &mut self.nodes[at as usize];
            at = match part {
                Segment::Literal(text) => {
                    *node.literals.entry(text.as_bytes().into()).or_insert(new)
                }
                Segment::Any => *node.any.get_or_insert(new),
            };
            if at == new {
                self.nodes.push(Node::default());
            }
        }
        let node = &mut self.nodes[at as usize];
        match end {
            End::Here => node.here.push(rule),
            End::Rest => node.rest.push(rule),
        }
    }

    /// Lets go of it in strides.
    pub(super) fn let_go(self) {
        let_go(self.nodes);
    }

    pub(super) fn is_empty(&self) -> bool {
        let root = &self.nodes[ROOT as usize];
        self.nodes.len() == 1 && root.here.is_empty() && root.rest.is_empty()
    }

    /// Shows every bucket whose pattern takes `text` to `visit`; `None` is a text without parts.
    pub(super) fn find(&self, text: Option<&str>, visit: &mut impl FnMut(&[u32])) {
        self.walk(ROOT, text, visit);
    }

    fn walk(&self, at: u32, text: Option<&str>, visit: &mut impl FnMut(&[u32])) {
        let node = &self.nodes[at as usize];
        visit(&node.rest);
        let Some(text) = text else { return visit(&node.here) };
        let (part, after) = self.grammar.split(text);
        if let Some(child) = node.literals.get(part.as_bytes()) {
            self.walk(*child, after, visit);
        }
        if after.is_none()
            && let Some(stem) = self.grammar.stem(part)
            && let Some(child) = node.literals.get(stem.as_bytes())
        {
            self.walk(*child, None, visit);
        }
        if let Some(child) = node.any
            && !part.is_empty()
        {
            self.walk(child, after, visit);
        }
    }
}

// === impl Grammar ===

impl Grammar {
    fn split(self, text: &str) -> (&str, Option<&str>) {
        let separator = match self {
            Grammar::Path => b'/',
            Grammar::Host => b'.',
        };
        match memchr::memchr(separator, text.as_bytes()) {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        }
    }

    fn stem(self, part: &str) -> Option<&str> {
        match self {
            Grammar::Path => without_format(part),
            Grammar::Host => None,
        }
    }
}
