//! The keys of an issuer, as one process hands them to the next.

use serde::{Deserialize, Serialize};

/// What an issuer has published, and when it was fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptKeys {
    /// Where.
    pub url: String,
    /// Whose certificates were believed there.
    pub trust: String,
    /// The JWK set.
    pub text: String,
    /// When, in seconds since 1970.
    pub fetched: u64,
}
