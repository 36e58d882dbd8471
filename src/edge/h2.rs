//! HTTP/2 towards clients, on the `h2` crate: one connection from its preface to its close.
//!
//! ```text
//!   Stream ─> Wire (watched) ─> h2 ─> Connection ─ a request ─> head ─> service
//!                                         │                               │
//!                                         └ a future for each stream <────┘ answer, body, trailers
//! ```
//!
//! Each stream is an [`Arrival`] like one over HTTP/1.1, and what makes a head ambiguous there is
//! refused here by the same functions. What only HTTP/2 can get wrong is refused by the crate, with
//! a reset of the stream or a GOAWAY; what it does not count is counted beneath it (`wire`), and
//! what it could not unpack is mended there, so that it is refused alone (`inbound`, `blocks`).
//!
//! Invariants: an answer is settled when its last byte has left usher, and not before; a slow
//! stream holds nothing that another one needs; a connection does not end before its streams.

mod answer;
mod bells;
mod blocks;
mod connection;
mod delivery;
mod farewell;
mod fields;
pub(in crate::edge) mod frames;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod inbound;
mod outbound;
mod patience;
mod stream;
mod streams;
mod underway;
mod upload;
mod wire;

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use h2::server::{Builder, Handshake};
use http::Response;
use tokio::time::Instant;
use tower::Service;

use crate::{
    deadline::Wheel,
    drain::{Drain, Stage},
    meters::Http2End,
    peer::Peer,
    proxy::{Arrival, Settling},
};

use super::{Load, Stream, rules::Rules};
use connection::Connection;
use delivery::Piece;
use farewell::of_error;
use streams::Common;
use wire::Wire;

pub use farewell::Farewell;

/// Requests that a client may have open at once on one connection.
const STREAMS_MAX: u32 = 100;

/// What a client may send of one body before it is read, in bytes.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same of all bodies of a connection.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// The largest frame, in bytes; the least that RFC 9113 allows.
const FRAME_BYTES_MAX: u32 = 16 * 1024;

/// What heads of answers and requests may refer back to, in bytes; what RFC 7541 begins with.
const HEADER_TABLE_BYTES: u32 = 4 * 1024;

/// What waits of one answer between its stream and the socket, in bytes.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// Streams that the client has reset before they were looked at, at once.
const UNSEEN_RESETS_MAX: usize = 20;

/// Streams that the crate has reset or refused because of what the client did, over a connection's
/// life ("MadeYouReset", CVE-2025-8671).
const CAUSED_RESETS_MAX: usize = 100;

/// Streams that were reset here and are remembered, so that what was on its way is understood; and
/// for how long.
const REMEMBERED_RESETS_MAX: usize = 50;
const REMEMBERED: Duration = Duration::from_secs(1);

/// How much small DATA frames may cost together before larger ones have paid for them, in bytes.
const SMALL_FRAMES_BYTES: usize = 256 * 1024;

/// What RFC 9113 §6.5.2 adds to each field of a head.
const FIELD_BYTES: usize = 32;

/// Serves one connection to its end, from its preface on, of which `early` may have been read.
/// Dropping it cuts the connection.
///
/// The service gets an [`Arrival`] for each stream. Its future is dropped when the client takes the
/// request back or leaves, or when `drain` comes to [`Stage::Cutting`].
#[expect(clippy::too_many_arguments, reason = "what a door is given, one by one")]
pub async fn serve<S>(
    stream: Stream,
    early: Bytes,
    peer: Arc<Peer>,
    rules: Arc<Rules>,
    wheel: Wheel,
    drain: Drain,
    load: Load,
    service: S,
) -> Farewell
where
    S: Service<Arrival, Response = Response<Settling>, Error = Infallible> + Send,
    S::Future: Send + 'static,
{
    // Boxed: it is over soon, and a connection should not keep its room.
    let greeted = Box::pin(greet(stream, early, &rules, &wheel, &drain)).await;
    match greeted {
        Ok((h2, wire)) => {
            let watch = wire.watch();
            let common = Arc::new(Common { rules, wheel, drain, watch });
            Connection::new((h2, wire), peer, common, load, service).run().await
        }
        Err(end) => Farewell { end, refused: 0 },
    }
}

/// Reads the client's preface, and says usher's settings. Fails with why that was the end.
async fn greet(
    stream: Stream,
    early: Bytes,
    rules: &Rules,
    wheel: &Wheel,
    drain: &Drain,
) -> Result<(h2::server::Connection<Wire, Piece>, Wire), Http2End> {
    let wire = Wire::new(stream, early, rules, wheel.clone());
    let handshake: Handshake<Wire, Piece> = settings(rules).handshake(wire.clone());
    let greeted = wheel.within(Instant::now() + rules.head_wait, async {
        // Either may be dropped: there is nothing yet that could be lost.
        tokio::select! {
            greeted = handshake => greeted.map_err(|error| of_error(&error)),
            () = drain.reached(Stage::Cutting) => Err(Http2End::Drained),
        }
    });
    let h2 = greeted.await.map_err(|_late| Http2End::HeadTimeout)??;
    wire.gather();
    Ok((h2, wire))
}

/// Every setting that the crate has, so that none of them changes with its version.
fn settings(rules: &Rules) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_header_list_size(u32::try_from(list_bytes_max(rules)).unwrap_or(u32::MAX))
        .header_table_size(HEADER_TABLE_BYTES)
        .max_send_buffer_size(SEND_BUFFER_BYTES)
        .max_pending_accept_reset_streams(UNSEEN_RESETS_MAX)
        .max_local_error_reset_streams(Some(CAUSED_RESETS_MAX))
        .max_concurrent_reset_streams(REMEMBERED_RESETS_MAX)
        .reset_stream_duration(REMEMBERED)
        .data_frame_budget(SMALL_FRAMES_BYTES)
        .enable_connect_protocol();
    builder
}

/// How large a head may be that is still read, as HTTP/2 counts it (RFC 9113 §6.5.2): up to twice
/// what it may have, so that it is refused like any other.
fn list_bytes_max(rules: &Rules) -> usize {
    2 * rules.head_bytes + FIELD_BYTES * rules.headers
}
