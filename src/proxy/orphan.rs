//! What becomes of a slot whose request has gone while Puma is still at it.
//!
//! Puma cannot be told to stop: it works on for a client that has left, and its thread is free when
//! it has said its last byte. So the answer is read and thrown away, and the slot stays taken until
//! the answer or the connection has ended, at the latest for as long as `abandoned.hold`. Handing
//! it out before would only move the queue into Puma.
//!
//! Where closing the connection ends Puma's work at once, it is closed: an answer that still has
//! much to say fails at its next write, and so does a stream of events, which would never end.

use std::{
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant as Clock,
};

use http::{Response, StatusCode, header::CONTENT_TYPE};
use parking_lot::Mutex;
use tokio::{runtime::Handle, task::JoinSet, time::Instant};

use super::{
    exchange::Exchange, headers, informational::Informational, upload::Flow, worker::Worker,
};
use crate::{
    drain::Stage,
    http1::{lines::Lines, names::Known},
    meters::Interim,
    snapshot::View,
    upstream::{Broken, Connection, GuestPlace, Home, Lease},
};

/// So much of an answer is thrown away; of a longer one the connection is closed.
const DISCARDED_BYTES_MAX: u64 = 1024 * 1024;

/// A request that has been sent. Dropped before its answer has begun, it leaves the lease to an
/// orphan.
pub struct Dispatched<'a> {
    exchange: &'a mut Exchange,
    connection: Option<Connection>,
    /// Whether there is still no answer.
    waiting: bool,
    /// Who is told of interim answers.
    client: Option<&'a Informational>,
    /// The body that is streamed, if it is.
    flow: Option<Arc<Flow>>,
}

/// How far the monolith has come with an answer that nobody wants any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwanted {
    /// It has not begun it.
    Unsaid,
    /// It is saying it.
    Said,
}

/// A lease whose request has gone, on the books of its pool. Dropping it gives it back.
pub struct Orphan {
    lease: Option<Lease>,
    taken: Clock,
    worker: Arc<Worker>,
    view: Arc<View>,
    audience: usize,
    pool: usize,
    place: Option<GuestPlace>,
}

/// The orphans of one worker. It ends with the worker.
#[derive(Debug)]
pub struct Orphanage {
    runtime: Handle,
    tasks: Mutex<JoinSet<()>>,
}

// === impl Dispatched ===

impl<'a> Dispatched<'a> {
    /// The request of `exchange`, which has been begun on `connection`. `client` is told of interim
    /// answers.
    pub fn new(
        exchange: &'a mut Exchange,
        connection: Connection,
        client: Option<&'a Informational>,
        flow: Option<Arc<Flow>>,
    ) -> Self {
        Self { exchange, connection: Some(connection), waiting: true, client, flow }
    }

    /// Bytes read on the connection so far.
    pub fn bytes_read(&self) -> u64 {
        self.connection.as_ref().map_or(0, Connection::bytes_read)
    }

    /// The connection, unless it is still waited for an answer on it.
    pub fn end(mut self) -> Option<Connection> {
        if self.waiting { None } else { self.connection.take() }
    }
}

impl Future for Dispatched<'_> {
    type Output = Result<Response<()>, Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { connection: Some(connection), client, waiting, exchange, .. } = &mut *self
        else {
            return Poll::Pending;
        };
        let polled = connection.poll_answer(cx, |status, fields| {
            let goes = client.is_some_and(|client| client.send(status, fields));
            // usher itself has asked for the body.
            if status != StatusCode::CONTINUE {
                let interim = if goes { Interim::Passed } else { Interim::Dropped };
                let worker = exchange.worker();
                worker.common.meters.interim(worker.index, interim);
            }
        });
        *waiting = polled.is_pending();
        polled
    }
}

impl Drop for Dispatched<'_> {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take().filter(|_| self.waiting) else { return };
        // Puma gives a request to a thread when it has it whole: one whose body is cut off here
        // never has a thread.
        let whole = self.flow.as_ref().is_none_or(|flow| flow.ended_at().is_some());
        if whole && let Some(orphan) = self.exchange.orphan() {
            orphan.hold(connection, Unwanted::Unsaid);
        }
    }
}

// === impl Orphan ===

impl Orphan {
    /// The lease that `worker` took at `taken`, for a request that `view` decided.
    pub fn new(
        mut lease: Lease,
        taken: Clock,
        worker: Arc<Worker>,
        view: Arc<View>,
        (audience, pool): (usize, usize),
    ) -> Self {
        lease.orphan();
        view.pool(pool).meter.lease_orphaned(worker.index);
        Self { lease: Some(lease), taken, worker, view, audience, pool, place: None }
    }

    /// It holds this place among the guests of its pool for as long.
    pub fn with(mut self, place: Option<GuestPlace>) -> Self {
        self.place = place;
        self
    }

    /// Holds the slot until the monolith is done, or for as long as it may be held. Nothing is held
    /// while usher is ending.
    pub fn hold(self, connection: Connection, unwanted: Unwanted) {
        let worker = self.worker.clone();
        let until = Instant::now() + self.view.pool(self.pool).config.abandoned_hold;
        if worker.common.drain.stage() < Stage::Cutting {
            worker.orphanage.take_in(self.see_out(connection, unwanted, until));
        }
    }

    async fn see_out(self, mut connection: Connection, unwanted: Unwanted, until: Instant) {
        let wheel = self.worker.wheel.clone();
        let done = wheel.within(until, finish(&mut connection, unwanted)).await;
        let kept = (done == Ok(true)).then_some(connection);
        self.end(kept);
    }

    fn end(mut self, connection: Option<Connection>) {
        let idle = self.view.pool(self.pool).config.keep_alive_idle;
        let Some((lease, worker)) = self.settle() else { return };
        let home = Home { connections: &worker.connections, idle, now: Clock::now() };
        lease.give_back(connection, home);
    }

    /// Strikes the lease off the books; it is given back when it is dropped.
    fn settle(&mut self) -> Option<(Lease, Arc<Worker>)> {
        let lease = self.lease.take()?;
        let (meter, index) = (&self.view.pool(self.pool).meter, self.worker.index);
        meter.orphan_ended(index);
        let now = Clock::now();
        meter.lease_returned(index, now.saturating_duration_since(self.taken), now);
        let audience = self.view.audience(self.audience);
        // A guest has no claim.
        if let Some(stake) = audience.stake.as_ref().filter(|_| audience.pool == Some(self.pool)) {
            stake.gave_back(index);
        }
        drop(self.place.take());
        Some((lease, self.worker.clone()))
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        self.settle();
    }
}

// === impl Orphanage ===

impl Orphanage {
    /// Of the worker on the runtime that is current.
    pub fn start() -> Self {
        Self { runtime: Handle::current(), tasks: Mutex::default() }
    }

    fn take_in(&self, orphan: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(orphan, &self.runtime);
    }

    /// Gives all of them up.
    pub async fn close(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
    }
}

/// Reads what is left and throws it away; whether the connection is good for another request.
async fn finish(connection: &mut Connection, unwanted: Unwanted) -> bool {
    if unwanted == Unwanted::Unsaid {
        let answered = poll_fn(|cx| connection.poll_answer(cx, |_, _| {})).await;
        let Ok(response) = answered else { return false };
        let events = is_event_stream(response.headers(), &connection.take_lines());
        let wanted = !response.status().is_informational() && !events;
        if !wanted {
            return false;
        }
    }
    discard(connection).await
}

async fn discard(connection: &mut Connection) -> bool {
    let mut left = DISCARDED_BYTES_MAX;
    if connection.size_hint().lower() > left {
        return false;
    }
    while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await {
        let Ok(frame) = frame else { return false };
        let bytes = frame.data_ref().map_or(0, bytes::Bytes::len) as u64;
        let Some(rest) = left.checked_sub(bytes) else { return false };
        left = rest;
    }
    true
}

/// Whether an answer with these fields is a stream of events, which ends when its reader goes.
pub fn is_event_stream(fields: &http::HeaderMap, lines: &Lines) -> bool {
    let kept = || headers::value(fields, &CONTENT_TYPE).map(http::HeaderValue::as_bytes);
    let kind = lines.get(Known::ContentType).or_else(kept).unwrap_or_default();
    const EVENTS: &[u8] = b"text/event-stream";
    kind.get(..EVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENTS))
}
