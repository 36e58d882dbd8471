//! How requests are spread over the endpoints of a pool.

use http::{HeaderName, header::COOKIE};

/// How requests are spread over a pool's endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// To the less busy one of two taken at random; a slow one counts as busier.
    #[default]
    LeastBusy,
    /// In turn.
    RoundRobin,
    /// To the same one for the same client, as long as it has room.
    Hash(HashBy),
}

/// What makes two requests the same client's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashBy {
    /// The client's address.
    Client,
    /// A field of the head.
    Header(HeaderName),
    /// A cookie.
    Cookie(String),
    /// The user that was proved to ask.
    User,
    /// By what its client is known again: the user, else what `sticky:` says.
    Sticky,
    /// The first of these that the request has.
    First(Vec<HashBy>),
}

// === impl Balance ===

impl Balance {
    /// Whether it asks by what a client is known again.
    pub fn is_sticky(&self) -> bool {
        match self {
            Balance::LeastBusy | Balance::RoundRobin => false,
            Balance::Hash(by) => by.is_sticky(),
        }
    }
}

// === impl HashBy ===

impl HashBy {
    /// Adds the fields that it looks at to `names`.
    pub(super) fn fields(&self, names: &mut Vec<HeaderName>) {
        match self {
            HashBy::Header(name) => names.push(name.clone()),
            HashBy::Cookie(_) => names.push(COOKIE),
            HashBy::First(keys) => keys.iter().for_each(|by| by.fields(names)),
            // What `sticky:` says is looked at whoever asks for it.
            HashBy::Sticky | HashBy::Client | HashBy::User => {}
        }
    }

    fn is_sticky(&self) -> bool {
        match self {
            HashBy::Sticky => true,
            HashBy::First(keys) => keys.iter().any(HashBy::is_sticky),
            HashBy::Client | HashBy::Header(_) | HashBy::Cookie(_) | HashBy::User => false,
        }
    }
}
