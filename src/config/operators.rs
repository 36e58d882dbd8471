//! Who may ask the operators' port, and where changes are written down.

use std::path::PathBuf;

use crate::name::Name;

/// Who may ask the operators' port, and where changes are written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Operators {
    /// Without any, whoever reaches the port; it is on loopback then.
    pub tokens: Vec<Token>,
    /// A file for the audit, beside the log.
    pub audit: Option<PathBuf>,
}

/// What somebody shows who asks the operators' port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Who shows it.
    pub name: Name,
    /// What may be asked with it.
    pub role: Role,
    /// Where it is read from.
    pub source: TokenSource,
}

/// Where a token is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// A file, which is looked at every second.
    File(PathBuf),
    /// A variable of usher's environment.
    Variable(String),
}

/// What may be asked of the operators' port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// To be shown things.
    Viewer,
    /// To change them as well.
    Operator,
}
