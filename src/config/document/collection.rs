//! Lists, mappings by name, and values that a word may stand for.

use std::{borrow::Cow, collections::BTreeSet, marker::PhantomData};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    read::{At, Read, duplicates, nothing},
    reader::Reader,
    tree::{Kind, Node},
};

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
