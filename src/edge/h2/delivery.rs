//! An answer's body on its way from the service into a stream.
//!
//! What a client has been given is known when it has left usher, not when it was queued: each piece
//! that goes into the `h2` crate holds on to the answer, and the one that lets go of it last tells
//! how it ended.
//!
//! ```text
//!   service ─ frame ─> Source ─ piece, as far as there is window ─> h2 ─> connection
//!                        └────────── Carried ──────────────┘ dropped last: delivered, or not
//! ```

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use bytes::{Buf, Bytes};
use h2::SendStream;
use http::HeaderMap;
use http_body::Body as _;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    deadline::Deadline, drain::Stage, edge::strict::trailers, fault::Fault, proxy::Settling,
};

use super::streams::Common;

/// The most that is given to the connection at once, in bytes: a frame of the usual size. A larger
/// piece would take the connection's window from all other streams.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// So much of one answer waits here for its client, in bytes.
const WAITING_BYTES_MAX: usize = 64 * 1024;

/// A piece of a body in the hands of the `h2` crate.
pub(super) struct Piece {
    bytes: Bytes,
    carried: Option<Arc<Carried>>,
}

/// An answer that is held by whatever is left of it.
pub(super) struct Carried {
    settling: Mutex<Settling>,
    common: Arc<Common>,
    /// Whether its end has been given to the connection.
    ended: AtomicBool,
    /// Whether a piece of it was thrown away.
    lost: AtomicBool,
    /// Whether somebody waits until no piece is left, and who.
    awaited: AtomicBool,
    waiter: Mutex<Option<Waker>>,
}

/// The reading side: what the service has ready.
pub(super) struct Source {
    carried: Arc<Carried>,
    /// How many bytes are still owed, where the head says so.
    owed: Option<u64>,
    /// What has been read and not sent: the endpoint need not wait for a slow client.
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    trailers: Option<HeaderMap>,
    /// How the service ended the body.
    end: Option<Result<(), Fault>>,
}

/// The writing side.
pub(super) struct Sink {
    stream: SendStream<Piece>,
    stalled: Option<Deadline>,
}

// === impl Piece ===

/// A piece of what is no answer.
impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, carried: None }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let Some(carried) = self.carried.take() else { return };
        if self.bytes.is_empty() {
            let watch = carried.common.watch.clone();
            watch.underway.add(carried);
        } else {
            carried.lose();
            carried.let_go();
        }
    }
}

// === impl Carried ===

impl Carried {
    /// An answer that begins its way.
    pub(super) fn new(settling: Settling, common: Arc<Common>) -> Arc<Self> {
        Arc::new(Self {
            settling: Mutex::new(settling),
            common,
            ended: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            awaited: AtomicBool::new(false),
            waiter: Mutex::new(None),
        })
    }

    /// Its end has been given to the connection.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// A piece of it was thrown away.
    pub(super) fn lose(&self) {
        self.lost.store(true, Ordering::Relaxed);
    }

    /// One of those who hold it does so no longer.
    pub(super) fn let_go(&self) {
        if self.awaited.load(Ordering::Relaxed) {
            self.waiter.lock().take().into_iter().for_each(Waker::wake);
        }
    }

    /// It will not reach its end because of `fault`.
    pub(super) fn break_off(&self, fault: Fault) {
        self.settling.lock().broken(fault);
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        let settling = self.settling.get_mut();
        if self.ended.load(Ordering::Relaxed) && !self.lost.load(Ordering::Relaxed) {
            settling.delivered();
        } else if self.common.drain.stage() >= Stage::Cutting {
            settling.broken(Fault::Draining);
        } else {
            settling.broken(Fault::ClientLeft);
        }
    }
}

// === impl Source ===

impl Source {
    /// The body of `carried`, whose head says that it is `length` bytes long.
    pub(super) fn new(carried: Arc<Carried>, length: Option<u64>) -> Self {
        Self {
            carried,
            owed: length,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            trailers: None,
            end: None,
        }
    }

    /// Whether the body has ended well and nothing of it is left to be sent.
    pub(super) fn is_over(&self) -> bool {
        self.end == Some(Ok(())) && self.waiting.is_empty() && self.trailers.is_none()
    }

    /// Reads what the service has ready. Pending when that is all for now; ready when enough waits,
    /// or the body has ended.
    pub(super) fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.end.is_none() && self.waiting_bytes < WAITING_BYTES_MAX {
            let mut settling = self.carried.settling.lock();
            let frame = ready!(Pin::new(&mut *settling).poll_frame(cx));
            let ends = settling.is_end_stream();
            drop(settling);
            match frame {
                None => self.finish(),
                Some(Err(fault)) => self.end = Some(Err(fault)),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.take(data, ends),
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok().and_then(passing);
                        self.finish();
                    }
                },
            }
        }
        Poll::Ready(())
    }

    /// Lets the service run ahead of a client that takes nothing, when enough waits here.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        if self.end.is_none() {
            self.carried.settling.lock().read_ahead(cx);
        }
    }

    /// Takes one piece. What is more than was promised is left out, and the end is a bad one.
    fn take(&mut self, mut data: Bytes, ends: bool) {
        if let Some(owed) = &mut self.owed {
            if data.len() as u64 > *owed {
                data.truncate(usize::try_from(*owed).unwrap_or(usize::MAX));
                self.end = Some(Err(Fault::UpstreamMalformed));
            }
            *owed -= data.len() as u64;
        }
        if !data.is_empty() {
            self.waiting_bytes += data.len();
            self.waiting.push_back(data);
        }
        if ends {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let short = self.owed.is_some_and(|owed| owed > 0);
        let end = if short { Err(Fault::UpstreamBroke) } else { Ok(()) };
        self.end.get_or_insert(end);
    }

    /// The next piece, no longer than `room`, and whether it is the last thing that is sent.
    fn piece(&mut self, room: usize) -> (Piece, bool) {
        let mut bytes = Bytes::new();
        if let Some(first) = self.waiting.front_mut() {
            bytes = first.split_to(room.min(first.len()));
            self.waiting_bytes -= bytes.len();
            if first.is_empty() {
                self.waiting.pop_front();
            }
        }
        (Piece { bytes, carried: Some(self.carried.clone()) }, self.is_over())
    }
}

// === impl Sink ===

impl Sink {
    /// Writes into `stream`.
    pub(super) fn new(stream: SendStream<Piece>) -> Self {
        Self { stream, stalled: None }
    }

    /// Moves what `source` has until its end. It fails with why that was not reached.
    pub(super) fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source,
    ) -> Poll<Result<(), Fault>> {
        let moved = self.poll_pieces(cx, source);
        // Asked each time that there is more to come, so that this task is woken when the client
        // takes the request back. What is moved then fails by itself.
        if moved.is_pending() && self.stream.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(Fault::ClientLeft));
        }
        moved
    }

    fn poll_pieces(
        &mut self,
        cx: &mut Context<'_>,
        source: &mut Source,
    ) -> Poll<Result<(), Fault>> {
        loop {
            let gathered = source.poll_gather(cx);
            if !source.waiting.is_empty() {
                let Poll::Ready(room) = self.poll_room(cx, source) else {
                    if gathered.is_ready() {
                        source.read_ahead(cx);
                    }
                    return Poll::Pending;
                };
                let room = room?;
                let (piece, is_last) = source.piece(room);
                self.stream.send_data(piece, is_last).map_err(|_| Fault::ClientLeft)?;
                if is_last {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            ready!(gathered);
            if let Some(Err(fault)) = source.end {
                return Poll::Ready(Err(fault));
            }
            if let Some(fields) = source.trailers.take() {
                let sent = self.stream.send_trailers(fields);
                return Poll::Ready(sent.map_err(|_| Fault::ClientLeft));
            }
            let (piece, is_last) = source.piece(0);
            let sent = self.stream.send_data(piece, is_last);
            return Poll::Ready(sent.map_err(|_| Fault::ClientLeft));
        }
    }

    /// How much the client lets be sent now. It fails when that is nothing for too long.
    fn poll_room(&mut self, cx: &mut Context<'_>, source: &Source) -> Poll<Result<usize, Fault>> {
        let wanted = source.waiting.front().map_or(0, Bytes::len).min(PIECE_BYTES_MAX);
        self.stream.reserve_capacity(wanted);
        loop {
            let room = self.stream.capacity().min(wanted);
            if room > 0 {
                self.stalled = None;
                return Poll::Ready(Ok(room));
            }
            match self.stream.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(_)) | None) => {
                    return Poll::Ready(Err(Fault::ClientLeft));
                }
                Poll::Pending => break,
            }
        }
        let common = &source.carried.common;
        let stalled = self
            .stalled
            .get_or_insert_with(|| common.wheel.at(Instant::now() + common.rules.write_wait));
        Pin::new(stalled).poll(cx).map(|()| Err(Fault::ClientStalled))
    }

    /// Ready when the connection has written what it was given of `carried`, its head included, or
    /// cannot: a reset takes back what has not left, and the monolith had said it.
    pub(super) async fn drain(&mut self, carried: &Arc<Carried>) {
        let marker = Piece { bytes: Bytes::new(), carried: Some(carried.clone()) };
        carried.awaited.store(true, Ordering::Relaxed);
        if self.stream.send_data(marker, false).is_err() {
            return;
        }
        let common = &carried.common;
        let mut stalled = common.wheel.at(Instant::now() + common.rules.write_wait);
        poll_fn(|cx| {
            *carried.waiter.lock() = Some(cx.waker().clone());
            if Arc::strong_count(carried) == 1 || self.stream.poll_reset(cx).is_ready() {
                return Poll::Ready(());
            }
            Pin::new(&mut stalled).poll(cx)
        })
        .await;
    }

    /// Ends the stream so that what was sent cannot pass for a whole answer.
    pub(super) fn reset(&mut self, reason: h2::Reason) {
        self.stream.send_reset(reason);
    }
}

/// Those fields that may come after a body.
fn passing(fields: HeaderMap) -> Option<HeaderMap> {
    let fields = trailers::passing(fields);
    (!fields.is_empty()).then_some(fields)
}
