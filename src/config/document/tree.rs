//! YAML as it was written: scalars as text, keys in order, each with its place.
//!
//! Nothing is typed here. serde's view of `1.10` or `off` is ignored and the scalar is cut out of
//! the source instead, so that what stands in the file is what a reader gets.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned, budget::BudgetBreach};

use crate::config::source::Span;

/// The deepest nesting.
const DEPTH_MAX: usize = 32;
/// The most scalars, lists and mappings of a file: enough for 100,000 rules.
const NODES_MAX: usize = 1_500_000;

/// The most that aliases may repeat.
const REPLAYED_MAX: usize = 100_000;

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

/// Why a text is no YAML.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) span: Span,
    pub(crate) message: String,
}

/// What serde-saphyr hands over.
enum Raw {
    Nothing,
    Text(String),
    /// A scalar that serde took for a number, a boolean or null: to be cut out of the source.
    Typed,
    List(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

struct RawVisitor;

/// Reads `text`, which is file number `file`. An empty text is an empty mapping.
pub(crate) fn parse(text: &str, file: usize) -> Result<Node, Broken> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX,
            max_nodes: NODES_MAX,
            max_events: 2 * NODES_MAX,
            max_documents: 2,
            max_anchors: 1_000,
            max_aliases: 10_000,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: REPLAYED_MAX,
            max_replay_stack_depth: 8,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: serde_saphyr::options::MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: serde_saphyr::options::NonFiniteFloatPolicy::PassThrough,
        reject_unsupported_tags: true,
        emit_comments: false,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
        Ok(raw) => Ok(node(raw, text, file)),
        Err(error) => Err(broken(&error, file)),
    }
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

    /// Calls `change` for every scalar that is not a key.
    pub(crate) fn for_each_scalar(&mut self, change: &mut impl FnMut(Span, &mut Scalar)) {
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
    /// What may be shown: never what came from the environment.
    pub(crate) fn shown(&self) -> &str {
        self.shown.as_deref().unwrap_or(&self.text)
    }
}

// === impl Raw ===

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a scalar, a list or a mapping")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw, E> {
        Ok(Raw::Typed)
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Nothing)
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Text(text.to_owned()))
    }

    fn visit_string<E>(self, text: String) -> Result<Raw, E> {
        Ok(Raw::Text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Raw, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(Raw::Mapping(entries))
    }
}

// === making nodes ===

fn node(raw: Spanned<Raw>, source: &str, file: usize) -> Node {
    let span = span(&raw.referenced, file);
    let cut = cut(source, &raw.defined);
    let kind = match raw.value {
        Raw::Nothing if cut.is_empty() => Kind::Nothing,
        Raw::Nothing | Raw::Typed => Kind::Scalar(Scalar::plain(cut.to_owned())),
        Raw::Text(text) => Kind::Scalar(Scalar::plain(text)),
        Raw::List(list) => {
            Kind::List(list.into_iter().map(|item| node(item, source, file)).collect())
        }
        Raw::Mapping(entries) => Kind::Mapping(
            entries
                .into_iter()
                .map(|(key, value)| {
                    let key = node(key, source, file);
                    let key_span = key.span;
                    Entry { key: key_text(key), key_span, value: node(value, source, file) }
                })
                .collect(),
        ),
    };
    let length = if matches!(kind, Kind::Scalar(_)) { span.length } else { 1 };
    Node { span: Span { length, ..span }, kind }
}

impl Scalar {
    fn plain(text: String) -> Self {
        Self { text, shown: None, known: true }
    }
}

/// A key that is no scalar becomes one that nobody knows, so that it is reported as such.
fn key_text(key: Node) -> String {
    match key.kind {
        Kind::Scalar(scalar) => scalar.text,
        Kind::Nothing => String::new(),
        Kind::List(_) => "[…]".to_owned(),
        Kind::Mapping(_) => "{…}".to_owned(),
    }
}

fn cut<'a>(source: &'a str, location: &Location) -> &'a str {
    let range = || {
        let start = usize::try_from(location.span().byte_offset()?).ok()?;
        let length = usize::try_from(location.span().byte_len()?).ok()?;
        source.get(start..start.checked_add(length)?)
    };
    range().unwrap_or("").trim()
}

fn span(location: &Location, file: usize) -> Span {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Span {
        file,
        line: number(location.line()),
        column: number(location.column()),
        length: number(location.span().len()),
    }
}

fn broken(error: &serde_saphyr::Error, file: usize) -> Broken {
    let span = error.location().map_or(Span { file, ..Span::default() }, |at| span(&at, file));
    let error = error.without_snippet();
    let message = match error {
        serde_saphyr::Error::Budget { breach, .. } => limit(breach),
        serde_saphyr::Error::MultipleDocuments { .. } => {
            "a second document begins here, and a configuration is one".to_owned()
        }
        _ => {
            let formatter = serde_saphyr::UserMessageFormatter;
            let reason = serde_saphyr::MessageFormatter::format_message(&formatter, error);
            format!("this is not YAML: {reason}")
        }
    };
    Broken { span: Span { length: 1, ..span }, message }
}

fn limit(breach: &BudgetBreach) -> String {
    match breach {
        BudgetBreach::Depth { .. } => format!("this is nested deeper than {DEPTH_MAX} levels"),
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => {
            format!("this file holds more than {NODES_MAX} values")
        }
        _ => "this file repeats itself more than it may: too many anchors or aliases".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalars(text: &str) -> Vec<String> {
        let mut node = parse(text, 0).expect("YAML");
        let mut found = Vec::new();
        node.for_each_scalar(&mut |_, scalar| found.push(scalar.text.clone()));
        found
    }

    #[test]
    fn scalars_are_taken_as_written() {
        let text = "[2, true, 1.10, off, 0x10, 007, 1_000, .nan, 1e999, ~, null, 'a b', \"2\"]";
        let expected =
            ["2", "true", "1.10", "off", "0x10", "007", "1_000", ".nan", "1e999", "~", "null"];
        assert_eq!(scalars(text)[..11], expected);
        assert_eq!(scalars(text)[11..], ["a b", "2"]);
        let block = "a: 2   # two\nb: 1.10\nc: &x on\nd: *x\ne: !!str 5\nf: &y !!int 5\ng: *y\n";
        assert_eq!(scalars(block), ["2", "1.10", "on", "on", "5", "5", "5"]);
        assert_eq!(scalars("\u{feff}ä: 1.50\r\nb: 2.50\r\n"), ["1.50", "2.50"]);
    }

    #[test]
    fn keys_keep_their_order_their_duplicates_and_their_places() {
        let node = parse("b: 1\na:\n  1.10: x\nb: 2\n<<: 3\n", 7).expect("YAML");
        let keys: Vec<&str> = node.entries().iter().map(|entry| entry.key.as_str()).collect();
        assert_eq!(keys, ["b", "a", "b", "<<"]);
        let inner = &node.entries()[1].value.entries()[0];
        assert_eq!(inner.key, "1.10");
        assert_eq!(inner.key_span, Span { file: 7, line: 3, column: 3, length: 4 });
        assert_eq!(inner.value.span, Span { file: 7, line: 3, column: 9, length: 1 });
    }

    #[test]
    fn what_is_no_yaml_says_where() {
        let broken = parse("a: [1\nb: 2\n", 0).expect_err("no YAML");
        assert!(broken.span.line >= 1, "{broken:?}");
        assert!(parse(&"[".repeat(100), 0).is_err());
        assert!(parse("a: 1\n---\nb: 2\n", 0).is_err());
        assert!(parse("a: *nowhere\n", 0).is_err());
        assert!(parse("a: !custom x\n", 0).is_err());
    }

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
