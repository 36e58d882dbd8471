//! By what a client is known again.

use std::time::Duration;

use http::HeaderName;

/// By what a client is known again where nothing proves who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sticky {
    /// Fields in which devices say who they are; the first that a request has counts.
    pub headers: Vec<HeaderName>,
    /// The cookie that counts where it has none of them.
    pub cookie: Option<StickyCookie>,
}

/// A cookie by which a browser is known again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StickyCookie {
    /// Its name.
    pub name: String,
    /// How long browsers keep it.
    pub max_age: Duration,
    /// Whether usher sets it; otherwise the application does.
    pub set: bool,
}
