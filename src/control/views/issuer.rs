//! How it stands with the keys that issuers publish.

use serde::{Deserialize, Serialize};

/// A place where keys of tokens are published.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IssuerView {
    /// Where.
    pub url: String,
    /// The sources that verify with these keys.
    pub sources: Vec<String>,
    /// `fetched`; `kept` when they cannot be fetched and those of before stay in use, `unknown`
    /// when there are none, `new` when nobody has been asked yet.
    pub state: String,
    /// How many are in use.
    pub keys: u64,
    /// Keys that cannot be used here, and why, a line each.
    pub passed_over: Vec<String>,
    /// When they were last fetched (RFC 3339).
    pub fetched_at: Option<String>,
    /// Since when they cannot be (RFC 3339).
    pub since: Option<String>,
    /// Why they cannot.
    pub trouble: Option<String>,
}
