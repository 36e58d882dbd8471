//! What happens to one request: decide, admit, forward, settle.

mod informational;
mod presence;
mod settle;
pub mod upgrade;

use std::{sync::Arc, time::Instant};

use http::{Method, Request};

use crate::{
    body::Body,
    fault::Fault,
    peer::{Peer, Protocol},
};

pub use informational::Informational;
pub use presence::{DroppedNames, Presence};
pub use settle::{End, Settling};

/// What a door hands in: a request read and found good, or what is known of one that is not.
pub struct Arrival {
    /// Who asks.
    pub peer: Arc<Peer>,
    /// What the client spoke.
    pub protocol: Protocol,
    /// When the head had been read whole.
    pub arrived: Instant,
    /// The request, or why there is none.
    pub request: Result<Request<Body>, Refusal>,
}

/// A request that a door refused, and what of its head could be read.
pub struct Refusal {
    /// Why.
    pub fault: Fault,
    /// Its method, where it got so far.
    pub method: Option<Method>,
    /// Its host, where it got so far.
    pub host: Option<String>,
    /// Its path without the query, where it got so far.
    pub path: Option<String>,
}
