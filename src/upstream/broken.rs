//! How what is said on a connection breaks.

use std::io;

use super::{h1::Flaw, trunk::Break};
use crate::fault::Fault;

/// Why there is no answer, or no more of it.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The request's own body broke off, which says nothing of the endpoint.
    #[error("the request broke off: {0}")]
    Upload(Fault),
    /// What came is not an answer that is passed on.
    #[error("{0}")]
    Flawed(#[from] Flaw),
    /// The connection ended.
    #[error("the connection ended{}", why(.0.as_ref()))]
    Ended(Option<io::Error>),
    /// Over HTTP/2.
    #[error("{0}")]
    Http2(#[from] h2::Error),
}

// === impl Broken ===

impl Broken {
    /// What broke, as far as it is known.
    pub fn way(&self) -> Option<Break> {
        match self {
            Broken::Upload(_) => None,
            Broken::Ended(_) => Some(Break::Ended),
            Broken::Flawed(_) => Some(Break::Malformed),
            Broken::Http2(error) => Some(Break::of(error)),
        }
    }

    /// Why the request's own body broke off, if that is what happened.
    pub fn upload(&self) -> Option<Fault> {
        match self {
            Broken::Upload(fault) => Some(*fault),
            Broken::Flawed(_) | Broken::Ended(_) | Broken::Http2(_) => None,
        }
    }
}

fn why(error: Option<&io::Error>) -> String {
    error.map(|error| format!(": {error}")).unwrap_or_default()
}
