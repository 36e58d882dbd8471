//! Mappings with keys of their own.
//!
//! One declaration yields the type, its reader, its JSON Schema and the list of its keys, so that
//! none of them can know a key that the others do not.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{
    read::{At, Read, similar},
    reader::Reader,
    tree::{Entry, Node},
};

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
            $(
                $(#[doc = $field_doc])+
                pub(crate) $field: Option<$crate::config::document::At<$kind>>,
            )+
        }

        impl $name {
            /// The keys there are.
            pub(crate) const KNOWN: &'static [&'static str] =
                &[$($crate::config::document::key(stringify!($field)),)+];
        }

        impl $crate::config::document::Read for $name {
            fn read(
                node: &$crate::config::document::Node,
                reader: &mut $crate::config::document::Reader,
            ) -> Option<Self> {
                if !$crate::config::document::mapping(node, Self::KNOWN, reader) {
                    return None;
                }
                let written = |key: &&&str| node.value(key).is_some();
                Some(Self {
                    written: Self::KNOWN.iter().filter(written).copied().collect(),
                    $($field: $crate::config::document::field(
                        node,
                        const { $crate::config::document::key(stringify!($field)) },
                        $crate::config::document::Need::$need,
                        reader,
                    ),)+
                })
            }

            fn keys(path: &str, keys: &mut std::collections::BTreeSet<String>) {
                $({
                    let key = $crate::config::document::key(stringify!($field));
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{key}");
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
                    $crate::config::document::key(stringify!($field)),
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
    /// It may.
    optional,
    /// It may not.
    required,
    /// It may not, but what is said elsewhere (`defaults:`, `include:`) counts: an editor that sees
    /// one file alone cannot tell.
    inherited,
}

/// The schema of a mapping under way.
pub(crate) struct ObjectSchema {
    schema: Schema,
    properties: serde_json::Map<String, serde_json::Value>,
    required: Vec<&'static str>,
}

/// What a field is called in a file: `match`, though Rust writes `r#match`.
pub(crate) const fn key(field: &'static str) -> &'static str {
    match field.as_bytes() {
        [b'r', b'#', ..] => field.split_at(2).1,
        _ => field,
    }
}

/// Reads one key of a mapping.
pub(crate) fn field<T: Read>(
    node: &Node,
    key: &'static str,
    need: Need,
    reader: &mut Reader,
) -> Option<At<T>> {
    let Some(entry) = node.entries().iter().find(|entry| entry.key == key) else {
        let misspelt = |entry: &Entry| similar(&entry.key, [key].into_iter()).is_some();
        if need != Need::optional && !node.entries().iter().any(misspelt) {
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
