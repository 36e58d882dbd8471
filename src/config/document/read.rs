//! From nodes to typed values: each is its value or its complaint.
//!
//! Reading never stops at the first complaint. The same declaration yields the type, its reader,
//! its JSON Schema and the list of its keys, so that none of them can know a key the others do not.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashSet},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::tree::{Kind, Node, Scalar};
use crate::config::{
    problem::Severity,
    source::{Sources, Span},
};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) span: Span,
    /// Its key; the value's own place in a list.
    pub(crate) key: Span,
}

/// Something to say about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) span: Span,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Collects what is found on the way.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) sources: Sources,
    pub(crate) findings: Vec<Finding>,
    /// Where something was said already.
    said: HashSet<(Span, String)>,
    /// Whether files are looked for.
    pub(crate) files_checked: bool,
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

/// A list.
#[derive(Clone, Debug)]
pub(crate) struct Many<T> {
    /// Those that could be read.
    pub(crate) items: Vec<At<T>>,
    /// Whether nothing was written, as opposed to nothing that could be read.
    pub(crate) empty: bool,
}

/// One, or a list of them.
#[derive(Clone, Debug)]
pub(crate) struct OneOrMany<T> {
    /// Those that could be read.
    pub(crate) items: Vec<At<T>>,
    /// Whether nothing was written, as opposed to nothing that could be read.
    pub(crate) empty: bool,
}

/// A mapping from names of the user's own to values.
#[derive(Clone, Debug)]
pub(crate) struct Named<T> {
    /// Those that could be read.
    pub(crate) entries: Vec<(At<String>, T)>,
    /// Whether nothing was written, as opposed to nothing that could be read.
    pub(crate) empty: bool,
}

/// A value, or a word that stands for none of it.
#[derive(Clone, Debug)]
pub(crate) enum Or<W, T> {
    Word(PhantomData<W>),
    Value(T),
}

/// A word of its own.
pub(crate) trait Word: 'static {
    const WORD: &'static str;
}

/// `off`
#[derive(Clone, Debug)]
pub(crate) struct Off;

/// `auto`
#[derive(Clone, Debug)]
pub(crate) struct Auto;

/// A key that is known and cannot be honoured yet.
#[derive(Clone, Debug)]
pub(crate) struct Later;

// === impl Reader ===

impl Reader {
    pub(crate) fn new(files_checked: bool) -> Self {
        Self { files_checked, ..Self::default() }
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), None);
    }

    pub(crate) fn error_with(
        &mut self,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Severity::Error, span, message.into(), Some(hint.into()));
    }

    pub(crate) fn warn(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, span, message.into(), Some(hint.into()));
    }

    /// What a relative path of the file at `span` means.
    pub(crate) fn path(&self, span: Span, path: &str) -> PathBuf {
        self.sources.of(span).directory.join(path)
    }

    /// How a message at `from` speaks of `span`: `in line 5`, or `in other.yaml:5`.
    pub(crate) fn place(&self, span: Span, from: Span) -> String {
        if span.file == from.file {
            format!("in line {}", span.line)
        } else {
            format!("in {}:{}", self.sources.of(span).name, span.line)
        }
    }

    /// The file at `path`, when it is there.
    pub(crate) fn file_is_there(&mut self, span: Span, path: &str) -> Option<PathBuf> {
        let path = self.path(span, path);
        if path.is_file() {
            return Some(path);
        }
        if self.files_checked {
            self.error(span, format!("there is no file {}", path.display()));
        }
        None
    }

    /// Warns when there is no directory at `path`.
    pub(crate) fn directory_is_there(&mut self, span: Span, path: &Path) {
        if self.files_checked && !path.is_dir() {
            let message = format!("there is no directory {}", path.display());
            self.warn(span, message, "make it, or usher will fail where it needs it");
        }
    }

    /// Whether there is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// What comes from `defaults:` is read for each pool and complained about once.
    fn add(&mut self, severity: Severity, span: Span, message: String, hint: Option<String>) {
        if self.said.insert((span, message.clone())) {
            self.findings.push(Finding { span, severity, message, hint });
        }
    }
}

// === impl Complaint ===

impl Complaint {
    pub(crate) fn new(reason: impl ToString) -> Self {
        Self { reason: reason.to_string(), hint: None }
    }

    pub(crate) fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

// === reading ===

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
    let hint = "leave the key out where nothing is to be said";
    reader.error_with(node.span, format!("{what} is expected here, and nothing stands here"), hint);
}

/// Reads a leaf.
pub(crate) fn leaf<T: Leaf>(node: &Node, reader: &mut Reader) -> Option<T> {
    let scalar = scalar(node, T::WHAT, reader)?;
    match T::parse(scalar) {
        Ok(value) => Some(value),
        Err(Complaint { reason, hint }) => {
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
    let mut seen = std::collections::HashMap::new();
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

// === impl Read ===

impl<T: Read> Read for Many<T> {
    /// Never `None`, so that an unreadable `match` is not taken for one that was left out.
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::List(nodes) => {
                return Some(Self { items: items(nodes, reader), empty: nodes.is_empty() });
            }
            Kind::Nothing => nothing(node, "a list", reader),
            Kind::Scalar(_) | Kind::Mapping(_) => {
                let hint = "write `[…]`, or one item a line after `- `";
                reader.error_with(node.span, "a list is expected here", hint);
            }
        }
        Some(Self { items: Vec::new(), empty: false })
    }

    fn keys(path: &str, keys: &mut BTreeSet<String>) {
        T::keys(&format!("{path}[]"), keys);
    }
}

impl<T: Read> Read for OneOrMany<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::List(nodes) => {
                Some(Self { items: items(nodes, reader), empty: nodes.is_empty() })
            }
            Kind::Nothing | Kind::Scalar(_) | Kind::Mapping(_) => {
                Some(Self { items: items(std::slice::from_ref(node), reader), empty: false })
            }
        }
    }

    fn keys(path: &str, keys: &mut BTreeSet<String>) {
        T::keys(&format!("{path}[]"), keys);
    }
}

fn items<T: Read>(nodes: &[Node], reader: &mut Reader) -> Vec<At<T>> {
    let read = |node: &Node| {
        let value = T::read(node, reader)?;
        Some(At { value, span: node.span, key: node.span })
    };
    nodes.iter().filter_map(read).collect()
}

impl<T: Read> Read for Named<T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        if !matches!(node.kind, Kind::Mapping(_)) {
            if matches!(node.kind, Kind::Nothing) {
                nothing(node, "a mapping", reader);
            } else {
                reader.error(node.span, "a mapping of names is expected here");
            }
            return None;
        }
        duplicates(node, reader);
        let mut entries = Vec::new();
        for entry in node.entries() {
            let name = At { value: entry.key.clone(), span: entry.key_span, key: entry.key_span };
            if let Some(value) = T::read(&entry.value, reader) {
                entries.push((name, value));
            }
        }
        Some(Self { entries, empty: node.entries().is_empty() })
    }

    fn keys(path: &str, keys: &mut BTreeSet<String>) {
        T::keys(&format!("{path}.*"), keys);
    }
}

impl<W: Word, T: Read> Read for Or<W, T> {
    fn read(node: &Node, reader: &mut Reader) -> Option<Self> {
        match &node.kind {
            Kind::Scalar(scalar) if scalar.text == W::WORD => Some(Self::Word(PhantomData)),
            _ => T::read(node, reader).map(Self::Value),
        }
    }

    fn keys(path: &str, keys: &mut BTreeSet<String>) {
        T::keys(path, keys);
    }
}

impl Read for Later {
    fn read(_: &Node, _: &mut Reader) -> Option<Self> {
        Some(Self)
    }
}

impl Word for Off {
    const WORD: &'static str = "off";
}

impl Word for Auto {
    const WORD: &'static str = "auto";
}

// === impl JsonSchema ===

macro_rules! inline_schema {
    ([$($parameter:ident)*] $type:ty, $generator:ident => $schema:expr) => {
        impl<$($parameter),*> JsonSchema for $type
        where $($parameter: JsonSchema),*
        {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

inline_schema!([T] Many<T>, generator => {
    let items = generator.subschema_for::<T>();
    json_schema!({ "type": "array", "items": items })
});
inline_schema!([T] OneOrMany<T>, generator => {
    let one = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
});
inline_schema!([T] Named<T>, generator => {
    let value = generator.subschema_for::<T>();
    json_schema!({ "type": "object", "additionalProperties": value })
});
inline_schema!([] Later, _generator => json_schema!({ "not": {} }));

impl<W: Word, T: JsonSchema> JsonSchema for Or<W, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        W::WORD.into()
    }

    /// An editor that reads YAML 1.1 takes a plain `off` for false.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        let words = if W::WORD == "off" {
            json_schema!({ "enum": ["off", false] })
        } else {
            json_schema!({ "const": W::WORD })
        };
        json_schema!({ "anyOf": [words, value] })
    }
}

/// Declares a mapping with keys of its own: the type, its reader, its schema and its keys.
///
/// Every field is optional in the type, because a value that cannot be read leaves a complaint and
/// nothing else; `required` keys are complained about when they are missing.
macro_rules! document {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $($(#[doc = $field_doc:literal])+ $need:ident $field:ident: $kind:ty,)+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        #[allow(dead_code, reason = "some keys are read for their complaints only")]
        pub(crate) struct $name {
            /// The keys that were written, whether or not their values could be read.
            pub(crate) written: Vec<&'static str>,
            $($(#[doc = $field_doc])+ pub(crate) $field: Option<$crate::config::document::At<$kind>>,)+
        }

        impl $name {
            /// The keys there are.
            pub(crate) fn known() -> Vec<&'static str> {
                vec![$(stringify!($field).trim_start_matches("r#"),)+]
            }
        }

        impl $crate::config::document::Read for $name {
            fn read(
                node: &$crate::config::document::Node,
                reader: &mut $crate::config::document::Reader,
            ) -> Option<Self> {
                if !$crate::config::document::mapping(node, &Self::known(), reader) {
                    return None;
                }
                let known = Self::known();
                let written = known.into_iter().filter(|key| node.value(key).is_some()).collect();
                Some(Self {
                    written,
                    $($field: $crate::config::document::field(
                        node,
                        stringify!($field).trim_start_matches("r#"),
                        $crate::config::document::Need::$need,
                        reader,
                    ),)+
                })
            }

            fn keys(path: &str, keys: &mut std::collections::BTreeSet<String>) {
                $({
                    let key = stringify!($field).trim_start_matches("r#");
                    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    <$kind as $crate::config::document::Read>::keys(&path, keys);
                    keys.insert(path);
                })+
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut object = $crate::config::document::ObjectSchema::new(
                    concat!($($doc, " "),+),
                );
                $(object.add::<$kind>(
                    stringify!($field).trim_start_matches("r#"),
                    concat!($($field_doc, " "),+),
                    $crate::config::document::Need::$need,
                    generator,
                );)+
                object.finish()
            }
        }
    };
}
pub(crate) use document;

/// Whether a key may be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "written as words in declarations")]
pub(crate) enum Need {
    optional,
    required,
}

/// The schema of a mapping under way.
pub(crate) struct ObjectSchema {
    schema: Schema,
    properties: serde_json::Map<String, serde_json::Value>,
    required: Vec<&'static str>,
}

/// Reads one key of a mapping.
pub(crate) fn field<T: Read>(
    node: &Node,
    key: &'static str,
    need: Need,
    reader: &mut Reader,
) -> Option<At<T>> {
    let Some(entry) = node.entries().iter().find(|entry| entry.key == key) else {
        if need == Need::required {
            reader.error(node.span, format!("`{key}` is missing here"));
        }
        return None;
    };
    let value = T::read(&entry.value, reader)?;
    Some(At { value, span: entry.value.span, key: entry.key_span })
}

// === impl ObjectSchema ===

impl ObjectSchema {
    pub(crate) fn new(description: &str) -> Self {
        let schema = json_schema!({
            "description": description.trim(),
            "type": "object",
            "additionalProperties": false,
        });
        Self { schema, properties: serde_json::Map::new(), required: Vec::new() }
    }

    pub(crate) fn add<T: JsonSchema>(
        &mut self,
        key: &'static str,
        description: &str,
        need: Need,
        generator: &mut SchemaGenerator,
    ) {
        let mut schema = generator.subschema_for::<T>();
        let description = description.split_whitespace().collect::<Vec<_>>().join(" ");
        schema.insert("description".to_owned(), description.into());
        self.properties.insert(key.to_owned(), schema.to_value());
        if need == Need::required {
            self.required.push(key);
        }
    }

    pub(crate) fn finish(mut self) -> Schema {
        self.schema.insert("properties".to_owned(), self.properties.into());
        if !self.required.is_empty() {
            self.schema.insert("required".to_owned(), self.required.into());
        }
        self.schema
    }
}
