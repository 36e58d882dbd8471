//! Who asks, as far as a request has proved it: a plain value, whatever the proof was.
//!
//! It is found before a request is decided and handed in as one of its facts. Nothing in here says
//! that Rails would let them in: usher classifies, and Rails authenticates.

use std::sync::Arc;

use crate::name::Name;

/// Who asks. Only what was proved ever becomes one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user: an id, in the words of whoever proved it. Never empty.
    pub subject: Box<str>,
    /// What they may be.
    pub roles: Box<[Box<str>]>,
    /// What else was said of them, of which only what some rule asks for is kept.
    pub claims: Box<[Claim]>,
    /// Which entry of `identity:` found it.
    pub source: Arc<Name>,
}

/// Something that was said of a user: `plan: gold`. A list says several things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its name; of what is nested, all names with dots between them.
    pub name: Box<str>,
    /// Its values, as text.
    pub values: Box<[Box<str>]>,
}

// === impl Identity ===

impl Identity {
    /// The values of the claim `name`.
    pub fn claim(&self, name: &str) -> Option<&[Box<str>]> {
        self.claims.iter().find(|claim| &*claim.name == name).map(|claim| &*claim.values)
    }
}
