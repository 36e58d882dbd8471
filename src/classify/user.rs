//! Patterns over users.

use std::{fmt, sync::Arc};

use super::{PatternError, Table, Text};
use crate::name::Name;

/// A pattern over users: as texts are, or whoever stands in a table.
#[derive(Clone, Debug)]
pub enum UserPattern {
    /// Their id.
    Text(Text),
    /// They stand in a table.
    Listed {
        /// What the table is called.
        name: Name,
        /// The value that has to stand beside them; `None`: any, or none at all.
        value: Option<Box<str>>,
        /// The table.
        table: Arc<Table>,
    },
}

// === impl UserPattern ===

impl UserPattern {
    /// Reads a pattern that is a text.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        Text::parse(text).map(Self::Text)
    }

    /// Whether the pattern takes `user`.
    pub fn matches(&self, user: &str) -> bool {
        match self {
            UserPattern::Text(text) => text.matches(user.as_bytes()),
            UserPattern::Listed { value, table, .. } => match (table.find(user), value) {
                (None, _) => false,
                (Some(_), None) => true,
                (Some(found), Some(value)) => found == &**value,
            },
        }
    }

    /// Whether every user that `other` takes is taken by this one; false when that is not certain.
    pub(super) fn covers(&self, other: &UserPattern) -> bool {
        match (self, other) {
            (UserPattern::Text(a), UserPattern::Text(b)) => a.covers(b),
            // Every user is a text, so what takes any text takes those of a table.
            (UserPattern::Text(a), UserPattern::Listed { .. }) => a.takes_all(),
            (UserPattern::Listed { .. }, UserPattern::Text(_)) => false,
            (
                UserPattern::Listed { name: a, value: wide, .. },
                UserPattern::Listed { name: b, value: narrow, .. },
            ) => a == b && (wide.is_none() || wide == narrow),
        }
    }
}

impl fmt::Display for UserPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            UserPattern::Text(text) => text.fmt(f),
            UserPattern::Listed { name, value: None, .. } => write!(f, "in table {name}"),
            UserPattern::Listed { name, value: Some(value), .. } => {
                write!(f, "{value} in table {name}")
            }
        }
    }
}
