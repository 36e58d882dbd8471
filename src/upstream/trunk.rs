//! A connection over HTTP/2 to an endpoint, which carries many requests at once.
//!
//! How many requests an endpoint has is bounded by its slots, whatever carries them. A trunk
//! belongs to one worker and stays in its [`Connections`](super::Connections) while it is used;
//! each request has a seat on it. When its last seat and its place there have gone, so has the
//! trunk.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use h2::{Ping, PingPong, client};
use tokio::task::JoinSet;

use super::{
    greeting::{Greeted, Greeting},
    latency::clock_ms,
    wire::Stream,
};
use crate::deadline::{Deadline, Wheel};

/// Requests on one trunk; fewer where the endpoint takes fewer at once.
const SEATS_MAX: usize = 100;

/// How much of one answer an endpoint may send ahead of who reads it.
const STREAM_WINDOW: u32 = 64 * 1024;

/// So that answers which nobody reads never stop the others: as much as all of them may hold.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * SEATS_MAX as u32;

/// How much of one request's body is handed to the connection ahead of the endpoint.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// The largest head of an answer.
const HEAD_BYTES_MAX: u32 = 64 * 1024;

/// How many requests that were taken back are remembered, and for how long: frames of them that
/// were on their way are no error then.
const RESETS_MAX: usize = SEATS_MAX;
const RESETS_WAIT: Duration = Duration::from_secs(1);

/// So often an endpoint may break the rules for one stream before the connection ends.
const BREACHES_MAX: usize = 1024;

/// What frames of answers may cost beyond the bytes that they bring, as long as nobody reads them.
const FRAMES_OVERHEAD_MAX: usize = 256 * 1024;

/// After so long without a byte an endpoint that has requests is asked whether it is there, and
/// without an answer for as long the trunk ends: others may be made.
const PING_AFTER: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub(super) struct Trunk {
    sender: client::SendRequest<Bytes>,
    standing: Arc<Standing>,
    /// When the last seat was left, by the clock of `latency`.
    left_ms: AtomicU64,
    greeting: Arc<Greeting>,
    /// Moves its bytes; ends with it.
    _driver: JoinSet<()>,
}

/// What a trunk and its driver know of each other.
#[derive(Debug)]
struct Standing {
    seats: AtomicUsize,
    /// How many the endpoint admits at once.
    admitted: AtomicUsize,
    /// Whether its end has begun.
    retired: AtomicBool,
}

/// A request's place on a trunk. Dropping it leaves it.
#[derive(Debug)]
pub(super) struct Seat(Arc<Trunk>);

/// Moves the bytes of a trunk, and asks an endpoint that has become silent whether it is there.
struct Driver {
    connection: client::Connection<Greeted, Bytes>,
    /// Tells whether more requests may be sent.
    probe: client::SendRequest<Bytes>,
    pings: Option<PingPong>,
    standing: Arc<Standing>,
    greeting: Arc<Greeting>,
    look: Deadline,
    /// When it was asked last and has not said a byte since.
    asked_ms: Option<u64>,
}

/// How a request over HTTP/2 broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The endpoint is leaving, and has not looked at it (RFC 9113 §6.8).
    Leaving,
    /// The endpoint has not looked at it (RFC 9113 §8.7).
    Refused,
    /// The endpoint took its stream back.
    Reset,
    /// The endpoint said what is not HTTP/2.
    Malformed,
    /// The connection ended.
    Ended,
}

// === impl Trunk ===

impl Trunk {
    /// Speaks HTTP/2 on `stream`, with a seat on it.
    pub(super) async fn open(stream: Stream, wheel: &Wheel) -> Result<Seat, h2::Error> {
        let (stream, greeting) = Greeted::new(stream);
        let (sender, mut connection) = client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(SEATS_MAX)
            .max_frame_size(16 * 1024)
            .max_header_list_size(HEAD_BYTES_MAX)
            .header_table_size(4096)
            .max_concurrent_streams(0)
            .enable_push(false)
            .max_send_buffer_size(SEND_BYTES_MAX)
            .max_concurrent_reset_streams(RESETS_MAX)
            .reset_stream_duration(RESETS_WAIT)
            .max_local_error_reset_streams(Some(BREACHES_MAX))
            .data_frame_budget(FRAMES_OVERHEAD_MAX)
            .handshake::<_, Bytes>(stream)
            .await?;
        let standing = Arc::new(Standing {
            seats: AtomicUsize::new(1),
            admitted: AtomicUsize::new(SEATS_MAX),
            retired: AtomicBool::new(false),
        });
        let mut driver = Driver {
            pings: connection.ping_pong(),
            connection,
            probe: sender.clone(),
            standing: standing.clone(),
            greeting: greeting.clone(),
            look: wheel.at(tokio::time::Instant::now() + PING_AFTER),
            asked_ms: None,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { poll_fn(|cx| driver.poll(cx)).await });
        let left_ms = AtomicU64::new(0);
        Ok(Seat(Arc::new(Self { sender, standing, left_ms, greeting, _driver: tasks })))
    }

    /// A seat, unless all are taken or it has ended.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        if self.has_ended() {
            return None;
        }
        let max = SEATS_MAX.min(self.standing.admitted.load(Ordering::Relaxed));
        let take = |taken| (taken < max).then_some(taken + 1);
        self.standing.seats.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).ok()?;
        Some(Seat(self.clone()))
    }

    /// Whether the endpoint lets WebSockets pass; known once it has said its settings.
    pub(super) async fn admits_websockets(&self) -> bool {
        self.greeting.admits_websockets().await
    }

    /// No more requests are to follow those that are on it.
    pub(super) fn retire(&self) {
        self.standing.retired.store(true, Ordering::Relaxed);
    }

    /// Whether nothing more is to be sent on it.
    pub(super) fn has_ended(&self) -> bool {
        self.standing.retired.load(Ordering::Relaxed)
    }

    /// Whether it has ended, or nobody has sat on it for `idle`.
    pub(super) fn is_over(&self, now: Instant, idle: Duration) -> bool {
        let left = self.left_ms.load(Ordering::Acquire);
        let free = self.standing.seats.load(Ordering::Acquire) == 0;
        self.has_ended() || free && clock_ms(now).saturating_sub(left) >= idle.as_millis() as u64
    }
}

// === impl Seat ===

impl Seat {
    /// The trunk that it is on.
    pub(super) fn trunk(&self) -> &Arc<Trunk> {
        &self.0
    }

    /// What requests are sent with.
    pub(super) fn sender(&self) -> client::SendRequest<Bytes> {
        self.0.sender.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.left_ms.store(clock_ms(Instant::now()), Ordering::Release);
        self.0.standing.seats.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Driver ===

impl Driver {
    /// Ready when the connection is over. Its errors reach the requests that are on it.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let over = Pin::new(&mut self.connection).poll(cx).is_ready();
        let admitted = self.connection.max_concurrent_send_streams();
        self.standing.admitted.store(admitted, Ordering::Relaxed);
        // An endpoint that is leaving takes no more.
        if over || matches!(self.probe.poll_ready(cx), Poll::Ready(Err(_))) {
            self.standing.retired.store(true, Ordering::Relaxed);
        }
        if over { Poll::Ready(()) } else { self.poll_look(cx) }
    }

    /// Ready when the endpoint is not there any more.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pings) = &mut self.pings {
            // Whatever was read shows that it is there; only the state has to move on.
            let _ = pings.poll_pong(cx);
        }
        while Pin::new(&mut self.look).poll(cx).is_ready() {
            let now = Instant::now();
            let (now_ms, heard_ms) = (clock_ms(now), self.greeting.heard_ms());
            let busy = self.standing.seats.load(Ordering::Acquire) > 0;
            let silent = Duration::from_millis(now_ms.saturating_sub(heard_ms));
            let mut wait = PING_AFTER;
            if self.asked_ms.is_some_and(|asked_ms| busy && heard_ms <= asked_ms) {
                return Poll::Ready(());
            }
            self.asked_ms = None;
            if busy && silent >= PING_AFTER {
                self.asked_ms = Some(now_ms);
                // It fails only while an earlier one is on its way, which does as well.
                let _ = self.pings.as_mut().map(|pings| pings.send_ping(Ping::opaque()));
            } else if busy {
                wait = PING_AFTER - silent;
            }
            self.look.reset(tokio::time::Instant::from_std(now + wait));
        }
        Poll::Pending
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.standing.retired.store(true, Ordering::Relaxed);
    }
}

// === impl Break ===

impl Break {
    /// How the request broke that ended with `error`.
    pub fn of(error: &h2::Error) -> Self {
        match error.reason() {
            // Only those that come after the last one that the endpoint looks at end so.
            Some(_) if error.is_go_away() && error.is_remote() => Break::Leaving,
            Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Break::Refused,
            Some(_) if error.is_remote() => Break::Reset,
            Some(_) if error.is_library() => Break::Malformed,
            _ => Break::Ended,
        }
    }
}
