//! What a connection has become behind an agreement to speak something else.

use bytes::Bytes;

use super::{seated::Seated, wire::Far};

/// The monolith's side of a tunnel.
#[derive(Debug)]
pub struct Switched {
    /// Its bytes.
    pub far: Far,
    /// What it has said already.
    pub said: Bytes,
    /// What it has among others is its own for as long.
    pub(super) _seated: Option<Box<Seated>>,
}
