//! What the reader knows is what the schema says, what the reference shows and what the docs tell.

use std::{collections::BTreeSet, fs};

use serde_json::Value;
use usher::{cli::schema, config};

/// The full names of all keys below `at`, a part of the schema `root`.
fn keys_of(root: &Value, at: &Value, path: &str, keys: &mut BTreeSet<String>) {
    if let Some(name) = at["$ref"].as_str() {
        let pointer = name.trim_start_matches('#');
        keys_of(root, root.pointer(pointer).expect("a definition"), path, keys);
    }
    for option in at["anyOf"].as_array().into_iter().flatten() {
        keys_of(root, option, path, keys);
    }
    for (key, value) in at["properties"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        keys_of(root, value, &path, keys);
        keys.insert(path);
    }
    if at["items"].is_object() {
        keys_of(root, &at["items"], &format!("{path}[]"), keys);
    }
    if at["additionalProperties"].is_object() {
        keys_of(root, &at["additionalProperties"], &format!("{path}.*"), keys);
    }
}

/// `slo`, `only` and `not` are one or a list of them: with and without `[]` is the same key.
fn folded(keys: BTreeSet<String>) -> BTreeSet<String> {
    keys.into_iter().map(|key| key.replace("[]", "")).collect()
}

#[test]
fn the_schema_says_what_the_reader_knows() {
    let schema = config::json_schema();
    let mut keys = BTreeSet::new();
    keys_of(&schema, &schema, "", &mut keys);
    assert_eq!(folded(keys), folded(config::documented_keys()));
}

#[test]
fn the_schema_in_the_repository_is_current() {
    let path = "config/usher.schema.json";
    if std::env::var_os("USHER_BLESS").is_some() {
        fs::write(path, schema::schema_text()).expect("writable");
    }
    assert_eq!(fs::read_to_string(path).unwrap_or_default(), schema::schema_text());
}

#[test]
fn the_docs_tell_every_key_and_no_other() {
    let docs = fs::read_to_string("docs/configuration.md").expect("readable");
    let rows = docs.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let told: BTreeSet<String> = rows.map(str::to_owned).collect();
    // Rules and what may stand in `defaults:` are told once.
    let once = |key: &String| {
        let key = key.replace("[]", "");
        let rules = [".match.", ".only.", ".slo.only.", ".not."];
        !key.starts_with("defaults.audience.")
            && !key.starts_with("defaults.pool.")
            && !key.starts_with("listeners.limits.")
            && (!rules.iter().any(|part| key.contains(part)))
    };
    let matchers = config::documented_keys()
        .into_iter()
        .filter_map(|key| key.strip_prefix("audiences[].match[].").map(|key| format!("RULE.{key}")))
        .filter(|key| !key.starts_with("RULE.not[]."));
    let known: BTreeSet<String> =
        config::documented_keys().into_iter().filter(once).chain(matchers).collect();
    assert_eq!(told, known);
}

#[test]
fn the_reference_shows_every_key() {
    let words: BTreeSet<&str> = schema::EXAMPLE
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .collect();
    for key in config::documented_keys() {
        let last = key.rsplit('.').next().expect("a key has a last part").trim_end_matches("[]");
        assert!(last == "*" || words.contains(last), "`{key}` is not shown");
    }
}

#[test]
fn every_key_of_the_schema_says_what_it_is() {
    fn described(at: &Value, path: &str) {
        for (key, value) in at["properties"].as_object().into_iter().flatten() {
            assert!(value["description"].is_string(), "{path}.{key} has no description");
        }
    }
    let schema = config::json_schema();
    described(&schema, "");
    for (name, definition) in schema["$defs"].as_object().expect("definitions") {
        described(definition, name);
    }
}
