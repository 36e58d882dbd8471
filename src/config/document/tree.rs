//! A file as it was written: scalars as text, keys in order, each with its place.

use crate::{config::source::Span, stride::pause};

/// One node of a file, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) span: Span,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Nothing stands there.
    Nothing,
    Scalar(Scalar),
    List(Vec<Node>),
    Mapping(Vec<Entry>),
}

/// A scalar.
#[derive(Clone, Debug)]
pub(crate) struct Scalar {
    /// As written, with variables replaced.
    pub(crate) text: String,
    /// With `${NAME}` in the place of what came from the environment.
    pub(crate) shown: Option<String>,
    /// False when a variable is missing, so that the text means nothing.
    pub(crate) known: bool,
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) value: Node,
}

// === impl Node ===

impl Node {
    /// The entries of a mapping; nothing of anything else.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Nothing | Kind::Scalar(_) | Kind::List(_) => &[],
        }
    }

    /// The value of the first `key`.
    pub(crate) fn value(&self, key: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// This node over `base`: what this does not say comes from there, mapping by mapping.
    pub(crate) fn over(&self, base: &Node) -> Node {
        let (Kind::Mapping(own), Kind::Mapping(inherited)) = (&self.kind, &base.kind) else {
            return self.clone();
        };
        let mut entries = own.clone();
        for entry in inherited {
            match entries.iter_mut().find(|mine| mine.key == entry.key) {
                Some(mine) => mine.value = mine.value.over(&entry.value),
                None => entries.push(entry.clone()),
            }
        }
        Node { span: self.span, kind: Kind::Mapping(entries) }
    }

    /// How many lists and mappings are nested in it, itself included.
    pub(crate) fn depth(&self) -> usize {
        let deepest = |nodes: &mut dyn Iterator<Item = &Node>| nodes.map(Node::depth).max();
        match &self.kind {
            Kind::Nothing | Kind::Scalar(_) => 0,
            Kind::List(nodes) => 1 + deepest(&mut nodes.iter()).unwrap_or(0),
            Kind::Mapping(entries) => {
                1 + deepest(&mut entries.iter().map(|entry| &entry.value)).unwrap_or(0)
            }
        }
    }

    /// Says that all of it stands at `span`, where an alias stands for it.
    pub(crate) fn move_to(&mut self, span: Span) {
        self.span = Span { length: 1, ..span };
        match &mut self.kind {
            Kind::Nothing => {}
            Kind::Scalar(_) => self.span = span,
            Kind::List(nodes) => nodes.iter_mut().for_each(|node| node.move_to(span)),
            Kind::Mapping(entries) => entries.iter_mut().for_each(|entry| {
                entry.key_span = span;
                entry.value.move_to(span);
            }),
        }
    }

    /// Lets go of all of it.
    pub(crate) fn let_go(self) {
        match self.kind {
            Kind::Nothing | Kind::Scalar(_) => {}
            Kind::List(nodes) => nodes.into_iter().for_each(Node::let_go),
            Kind::Mapping(entries) => entries.into_iter().for_each(|it| it.value.let_go()),
        }
        pause();
    }

    /// Calls `change` for every scalar that is not a key.
    pub(crate) fn for_each_scalar(&mut self, change: &mut impl FnMut(Span, &mut Scalar)) {
        pause();
        match &mut self.kind {
            Kind::Nothing => {}
            Kind::Scalar(scalar) => change(self.span, scalar),
            Kind::List(nodes) => nodes.iter_mut().for_each(|node| node.for_each_scalar(change)),
            Kind::Mapping(entries) => {
                entries.iter_mut().for_each(|entry| entry.value.for_each_scalar(change));
            }
        }
    }
}

// === impl Scalar ===

impl Scalar {
    /// A scalar without variables.
    pub(crate) fn plain(text: String) -> Self {
        Self { text, shown: None, known: true }
    }

    /// What may be shown: never what came from the environment.
    pub(crate) fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::yaml::parse, *};

    #[test]
    fn a_node_over_another_keeps_what_it_says_and_takes_the_rest() {
        let own = parse("a: 1\nm: { x: 1 }\n", 0).expect("YAML");
        let base = parse("a: 2\nb: 2\nm: { x: 2, y: 2 }\n", 1).expect("YAML");
        let merged = own.over(&base);
        let text = |path: &[&str]| {
            let node = path.iter().fold(&merged, |node, key| node.value(key).expect("there"));
            match &node.kind {
                Kind::Scalar(scalar) => scalar.text.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(text(&["a"]), "1");
        assert_eq!(text(&["b"]), "2");
        assert_eq!(text(&["m", "x"]), "1");
        assert_eq!(text(&["m", "y"]), "2");
    }
}
