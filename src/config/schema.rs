//! The JSON Schema of a configuration, for editors.

use std::collections::BTreeSet;

use schemars::generate::SchemaSettings;

use super::document::{Document, Read};

/// The schema, made of the same declarations that the reader is made of.
pub fn json_schema() -> serde_json::Value {
    let mut schema =
        SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>();
    schema.insert("title".to_owned(), "usher".into());
    schema.to_value()
}

/// The full names of all keys that the reader knows: `pools.*.timeouts.total`, with `[]` for the
/// items of a list and `*` for a name of the user's own.
pub fn documented_keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    Document::keys("", &mut keys);
    keys
}
