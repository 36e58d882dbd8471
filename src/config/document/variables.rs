//! `${NAME}`, `${NAME:-default}` and `$$` in scalars.

use std::collections::BTreeMap;

/// Where variables come from.
#[derive(Clone, Debug, Default)]
pub enum Environment {
    /// This process's.
    #[default]
    Process,
    /// These and no others.
    Fixed(BTreeMap<String, String>),
}

/// A scalar with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// With their values.
    pub(crate) text: String,
    /// With their names, without defaults.
    pub(crate) shown: String,
    /// Those that are neither set nor have a default.
    pub(crate) missing: Vec<String>,
}

/// Why a scalar's variables cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum VariableError {
    #[error("`${{` is not closed")]
    Unclosed,
    #[error("what stands in `${{}}` is no name of a variable")]
    BadName,
}

// === impl Environment ===

impl Environment {
    /// What `name` holds.
    pub(crate) fn value(&self, name: &str) -> Option<String> {
        match self {
            Environment::Process => std::env::var(name).ok(),
            Environment::Fixed(values) => values.get(name).cloned(),
        }
    }
}

/// Replaces the variables of `text`; `None` when it has none. As in a shell, the default also
/// stands in for a variable that is set to nothing.
pub(crate) fn replace(
    text: &str,
    environment: &Environment,
) -> Result<Option<Replaced>, VariableError> {
    if memchr::memchr(b'$', text.as_bytes()).is_none()
        || !text.contains("${") && !text.contains("$$")
    {
        return Ok(None);
    }
    let mut replaced = Replaced { text: String::new(), shown: String::new(), missing: Vec::new() };
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        replaced.push(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            replaced.push("$");
            rest = after;
        } else if let Some(after) = rest.strip_prefix('{') {
            let (inside, after) = after.split_once('}').ok_or(VariableError::Unclosed)?;
            replaced.variable(inside, environment)?;
            rest = after;
        } else {
            replaced.push("$");
        }
    }
    replaced.push(rest);
    Ok(Some(replaced))
}

// === impl Replaced ===

impl Replaced {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.shown.push_str(text);
    }

    fn variable(&mut self, inside: &str, environment: &Environment) -> Result<(), VariableError> {
        let (name, default) = match inside.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (inside, None),
        };
        if !is_name(name) {
            return Err(VariableError::BadName);
        }
        self.shown.push_str(&format!("${{{name}}}"));
        let value = environment.value(name);
        match (value.filter(|value| default.is_none() || !value.is_empty()), default) {
            (Some(value), _) => self.text.push_str(&value),
            (None, Some(default)) => self.text.push_str(default),
            (None, None) => self.missing.push(name.to_owned()),
        }
        Ok(())
    }
}

fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Option<Replaced>, VariableError> {
        let set = [("HOST", "web"), ("EMPTY", "")];
        let values = set.map(|(name, value)| (name.to_owned(), value.to_owned()));
        replace(text, &Environment::Fixed(values.into()))
    }

    #[test]
    fn variables_are_replaced_and_shown_by_name() {
        for (text, expected, shown) in [
            ("${HOST}:80", "web:80", "${HOST}:80"),
            ("${PORT:-3000}", "3000", "${PORT}"),
            ("${EMPTY:-x}${EMPTY}", "x", "${EMPTY}${EMPTY}"),
            ("$${HOST}", "${HOST}", "${HOST}"),
            ("~^/a$${HOST}$", "~^/a${HOST}$", "~^/a${HOST}$"),
        ] {
            let replaced = read(text).expect("readable").expect("has variables");
            assert_eq!((replaced.text.as_str(), replaced.shown.as_str()), (expected, shown));
            assert!(replaced.missing.is_empty());
        }
        assert_eq!(read("~^/a$"), Ok(None));
    }

    #[test]
    fn what_is_missing_or_malformed_is_told() {
        let missing = read("${A}-${B}").map(|r| r.map(|r| r.missing));
        assert_eq!(missing, Ok(Some(vec!["A".to_owned(), "B".to_owned()])));
        assert_eq!(read("${HOST"), Err(VariableError::Unclosed));
        assert_eq!(read("${}"), Err(VariableError::BadName));
        assert_eq!(read("${1A}"), Err(VariableError::BadName));
        assert_eq!(read("${A-b}"), Err(VariableError::BadName));
    }
}
