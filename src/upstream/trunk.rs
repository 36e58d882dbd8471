//! A connection over HTTP/2 to an endpoint, which carries many requests at once.
//!
//! How many requests an endpoint has is bounded by its slots, whatever carries them. A trunk
//! belongs to one worker and stays in its [`Connections`](super::Connections) while it is used;
//! each request has a seat on it. When its last seat and its place there have gone, so has the
//! trunk.

use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::{client::conn::http2, rt::Executor};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{
    greeting::{Greeted, Greeting},
    latency::clock_ms,
    wire::Stream,
};
use crate::body::Body;

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

/// After so long without a byte an endpoint that has requests is asked whether it is there, and
/// without an answer for as long the trunk ends: others may be made.
const PING_AFTER: Duration = Duration::from_secs(5);

/// One connection.
#[derive(Debug)]
pub(super) struct Trunk {
    sender: http2::SendRequest<Body>,
    seats: AtomicUsize,
    /// How many the endpoint admits at once, as its driver has heard last.
    admitted: Arc<AtomicUsize>,
    /// When the last seat was left, by the clock of `latency`.
    left_ms: AtomicU64,
    /// Whether its end has begun.
    retired: AtomicBool,
    greeting: Arc<Greeting>,
    crew: Crew,
}

/// A request's place on a trunk. Dropping it leaves it.
#[derive(Debug)]
pub(super) struct Seat(Arc<Trunk>);

/// The tasks that a trunk needs. They end with it.
#[derive(Clone, Debug, Default)]
struct Crew(Arc<Mutex<JoinSet<()>>>);

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
    pub(super) async fn open(stream: Stream) -> hyper::Result<Seat> {
        let crew = Crew::default();
        let (stream, greeting) = Greeted::new(stream);
        let (sender, driver) = http2::Builder::new(crew.clone())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .initial_max_send_streams(SEATS_MAX)
            .adaptive_window(false)
            .max_frame_size(16 * 1024)
            .max_header_list_size(HEAD_BYTES_MAX)
            .header_table_size(4096)
            .max_concurrent_streams(0)
            .max_send_buf_size(SEND_BYTES_MAX)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_AFTER)
            .keep_alive_while_idle(false)
            .handshake(TokioIo::new(stream))
            .await?;
        let admitted = Arc::new(AtomicUsize::new(SEATS_MAX));
        let (told, mut driver) = (admitted.clone(), Box::pin(driver));
        crew.execute(poll_fn(move |cx| {
            // Its errors reach the requests that are on it.
            let polled = driver.as_mut().poll(cx).map(drop);
            told.store(driver.current_max_send_streams(), Ordering::Relaxed);
            polled
        }));
        let (seats, left_ms) = (AtomicUsize::new(1), AtomicU64::new(0));
        let retired = AtomicBool::new(false);
        Ok(Seat(Arc::new(Self { sender, seats, admitted, left_ms, retired, greeting, crew })))
    }

    /// A seat, unless all are taken or it has ended.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        if self.has_ended() {
            return None;
        }
        let max = SEATS_MAX.min(self.admitted.load(Ordering::Relaxed));
        let take = |taken| (taken < max).then_some(taken + 1);
        self.seats.fetch_update(Ordering::AcqRel, Ordering::Relaxed, take).ok()?;
        Some(Seat(self.clone()))
    }

    /// Whether the endpoint lets WebSockets pass; known once it has said its settings.
    pub(super) async fn admits_websockets(&self) -> bool {
        self.greeting.admits_websockets().await
    }

    /// No more requests are to follow those that are on it.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Whether nothing more is to be sent on it.
    pub(super) fn has_ended(&self) -> bool {
        self.retired.load(Ordering::Relaxed) || self.sender.is_closed()
    }

    /// Whether it has ended, or nobody has sat on it for `idle`.
    pub(super) fn is_over(&self, now: Instant, idle: Duration) -> bool {
        let left = self.left_ms.load(Ordering::Acquire);
        let free = self.seats.load(Ordering::Acquire) == 0;
        self.has_ended() || free && clock_ms(now).saturating_sub(left) >= idle.as_millis() as u64
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        // The tasks hold the crew, and the crew holds the tasks.
        let tasks = std::mem::take(&mut *self.crew.0.lock());
        drop(tasks);
    }
}

// === impl Seat ===

impl Seat {
    /// The trunk that it is on.
    pub(super) fn trunk(&self) -> &Arc<Trunk> {
        &self.0
    }

    /// What requests are sent with.
    pub(super) fn sender(&self) -> http2::SendRequest<Body> {
        self.0.sender.clone()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.left_ms.store(clock_ms(Instant::now()), Ordering::Release);
        self.0.seats.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Crew ===

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Crew {
    fn execute(&self, task: F) {
        let mut tasks = self.0.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }
}

// === impl Break ===

impl Break {
    /// How the request broke that ended with `error`; `None` where it was not over HTTP/2.
    pub fn of(error: &hyper::Error) -> Option<Self> {
        let source = std::error::Error::source(error)?;
        let error = source.downcast_ref::<h2::Error>()?;
        Some(match error.reason() {
            // Only those that come after the last one that the endpoint looks at end so.
            Some(_) if error.is_go_away() && error.is_remote() => Break::Leaving,
            Some(h2::Reason::REFUSED_STREAM) if error.is_remote() => Break::Refused,
            Some(_) if error.is_remote() => Break::Reset,
            Some(_) if error.is_library() => Break::Malformed,
            _ => Break::Ended,
        })
    }
}
