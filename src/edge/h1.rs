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
pub(super) mod buffer;
mod connection;
mod delivery;
mod exchange;
mod fields;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod intake;
mod linger;
mod scan;
mod writer;

use std::{convert::Infallible, future::poll_fn, sync::Arc};

use bytes::Bytes;
use http::Response;
use tower::Service;

use crate::{
    deadline::Wheel,
    drain::Drain,
    peer::Peer,
    proxy::{Arrival, Settling},
};

use super::Stream;
use connection::{Awaited, Connection};
use exchange::{Manner, Next};

pub use super::rules::Rules;

/// A connection that goes on as something else than HTTP/1.1.
#[derive(Debug)]
pub struct Released {
    /// The connection.
    pub stream: Stream,
    /// What has been read of it and was not taken.
    pub early: Bytes,
}

/// Serves one connection to its end. Dropping it cuts the connection.
///
/// Where the rules allow it and the first that comes is the preface of HTTP/2, the connection is
/// given back with all that was read.
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
) -> Option<Released>
where
    S: Service<Arrival, Response = Response<Settling>, Error = Infallible> + Send,
    S::Future: Send,
{
    let mut connection = Connection::new(stream, peer, rules, wheel, drain, service);
    let (manner, tunnel) = loop {
        let verdict = match poll_fn(|cx| connection.poll_head(cx)).await {
            Awaited::Head(verdict) => verdict,
            Awaited::Http2 => return connection.let_go(),
            Awaited::Over => break (Manner::Now, None),
        };
        // Boxed, so that an idle connection does not hold the room of a busy one; and made in the
        // box, so that this room is not copied.
        let exchange = Box::write(Box::new_uninit(), connection.exchange(verdict));
        match Box::into_pin(exchange).await {
            Next::Idle(since) => connection.rest(since),
            Next::Close(manner) => break (manner, None),
            Next::Tunnel(tunnel) => break (Manner::Now, Some(tunnel)),
        }
    };
    // Boxed for the same reason.
    match tunnel {
        Some(tunnel) => Box::pin(connection.hand_over(tunnel)).await,
        None => Box::pin(connection.close(manner)).await,
    }
    None
}
