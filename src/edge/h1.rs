//! HTTP/1.1 towards clients: one connection from its first byte to its close.
//!
//! ```text
//!           ┌───────────── whole, and the connection may go on ─────────────┐
//!           v                                                               │
//! idle ─ first byte → head ─ whole or refused → exchange ─ answer written ──┤
//!   │                  │                           │                        └→ linger → closed
//!   └ closed or late   └ left                      └ 101 → tunnel
//! ```
//!
//! Strict by principle: whatever two readers could understand differently is refused, and after a
//! refusal the connection closes. A refused head still goes to the service, which answers, counts
//! and logs it like any other. `docs/http.md` lists what is accepted and refused.
//!
//! Invariants: requests are answered one after the other, in order; bytes of one request are never
//! read as another; an idle connection owns no buffer; a body that was cut never has a clean end.

mod answer;
mod body;
mod buffer;
mod chunked;
mod connection;
mod date;
mod delivery;
mod exchange;
mod fields;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod host;
mod intake;
mod leave;
mod linger;
mod pace;
mod scan;
mod target;
mod trailers;
mod writer;

use std::{convert::Infallible, future::poll_fn, sync::Arc, time::Duration};

use http::{HeaderName, Response};
use tower::Service;

use crate::{
    config::Limits,
    deadline::Wheel,
    drain::Drain,
    peer::Peer,
    proxy::{Arrival, Settling},
};

use super::Stream;
use connection::{Awaited, Connection};
use exchange::{Manner, Next};

/// What a connection is held to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Bytes of a head, its empty last line included.
    pub head_bytes: usize,
    /// Fields of a head.
    pub headers: usize,
    /// Bytes of a target.
    pub target_bytes: usize,
    /// Bytes of a body.
    pub body_bytes: u64,
    /// Names with `_` that are passed on. Rack folds `_` onto `-`, so all others are dropped.
    pub underscores: Vec<HeaderName>,
    /// From the first byte of a head to its last.
    pub head_wait: Duration,
    /// The lowest rate at which a body may arrive, in bytes a second.
    pub body_rate: u64,
    /// How long a client may take none of its answer.
    pub write_wait: Duration,
    /// How long a connection may be idle.
    pub keep_alive: Duration,
    /// How old a connection may become; each has up to a tenth less, so that those which came
    /// together do not all go together.
    pub age: Duration,
}

// === impl Rules ===

impl From<&Limits> for Rules {
    fn from(limits: &Limits) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            head_bytes: size(limits.head_bytes),
            headers: size(limits.headers),
            target_bytes: size(limits.target_bytes),
            body_bytes: limits.body_bytes,
            underscores: Vec::new(),
            head_wait: limits.head_wait,
            body_rate: limits.body_rate,
            write_wait: limits.write_wait,
            keep_alive: limits.keep_alive,
            age: limits.age,
        }
    }
}

impl Default for Rules {
    /// The defaults of `limits:`.
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            headers: 100,
            target_bytes: 8 * 1024,
            body_bytes: 1024 * 1024 * 1024,
            underscores: Vec::new(),
            head_wait: Duration::from_secs(10),
            body_rate: 1024,
            write_wait: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            age: Duration::from_secs(3600),
        }
    }
}

/// Serves one connection to its end. Dropping it cuts the connection.
///
/// The service gets one [`Arrival`] at a time. Its future is dropped when the client resets the
/// connection, or when `drain` comes to [`Stage::Cutting`](crate::drain::Stage::Cutting).
pub async fn serve<S>(
    stream: Stream,
    peer: Arc<Peer>,
    rules: Arc<Rules>,
    wheel: Wheel,
    drain: Drain,
    service: S,
) where
    S: Service<Arrival, Response = Response<Settling>, Error = Infallible> + Send,
    S::Future: Send,
{
    let mut connection = Connection::new(stream, peer, rules, wheel, drain, service);
    let (manner, tunnel) = loop {
        let Awaited::Head(verdict) = poll_fn(|cx| connection.poll_head(cx)).await else {
            break (Manner::Now, None);
        };
        // Boxed, so that an idle connection does not hold the room of a busy one.
        match Box::pin(connection.exchange(verdict)).await {
            Next::Idle => connection.rest(),
            Next::Close(manner) => break (manner, None),
            Next::Tunnel(tunnel) => break (Manner::Now, Some(tunnel)),
        }
    };
    // Boxed for the same reason.
    match tunnel {
        Some(tunnel) => Box::pin(connection.hand_over(tunnel)).await,
        None => Box::pin(connection.close(manner)).await,
    }
}
