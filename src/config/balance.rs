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
    /// The first of these that the request has.
    First(Vec<HashBy>),
}
