//! How requests are spread over the endpoints of a pool.

use http::HeaderName;

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
    fn is_sticky(&self) -> bool {
        match self {
            HashBy::Sticky => true,
            HashBy::First(keys) => keys.iter().any(HashBy::is_sticky),
            HashBy::Client | HashBy::Header(_) | HashBy::Cookie(_) | HashBy::User => false,
        }
    }
}
