//! What links a request to its client until its answer begins.

use super::{informational::Informational, presence::Presence};

/// How a request's client is seen and spoken to beside the request and its answer. A door hands it
/// in with each request.
#[derive(Clone, Debug, Default)]
pub struct Contact {
    /// Whether it is still there, where the door can tell.
    pub presence: Option<Presence>,
    /// Where 1xx answers go, for clients that may have some: those of HTTP/1.1 and HTTP/2.
    pub informational: Option<Informational>,
}

// === impl Contact ===

impl Contact {
    /// Ready once the client has closed its side; never where nobody can tell.
    pub async fn gone(&self) {
        match &self.presence {
            Some(presence) => presence.gone().await,
            None => std::future::pending().await,
        }
    }
}
