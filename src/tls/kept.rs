//! The keys that seal tickets, as one process hands them to the next: JSON.
//!
//! ```json
//! [{ "listener": "0.0.0.0:8443", "policy": "5f0c…", "seal": "AES-256-GCM",
//!    "keys": [{ "made": 1764126247, "name": "9b1d…", "secret": "…" }] }]
//! ```
//!
//! It goes over the connection between the two processes and nowhere else. What holds a secret here
//! shows none and wipes it; the text on its way is the connection's, which does not.
//!
//! Fields are added, never renamed.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize;

/// What seals the tickets of one listener.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptTickets {
    /// Where it listens, as it is written.
    pub listener: String,
    /// What the tickets vouch for: keys of another policy are of no use.
    pub policy: String,
    /// How a key seals.
    pub seal: String,
    /// The youngest first.
    pub keys: Vec<KeptKey>,
}

/// One key.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeptKey {
    /// When it was made, in seconds since 1970.
    pub made: u64,
    /// What its tickets begin with, in base64. Every client may know it.
    pub name: String,
    /// The key itself, in base64.
    pub secret: Secret,
}

/// Text that nobody is shown, and that is wiped in the end.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

// === impl Secret ===

impl Secret {
    /// `text`, from here on.
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    /// What it is.
    pub(super) fn text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
