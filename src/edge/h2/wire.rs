//! A client's connection as the `h2` crate reads and writes it, watched.
//!
//! Beneath the crate stands what it has no clock and no count for: heads that come in pieces,
//! answers that are not taken, frames that cost more here than there. What is found is noted in the
//! [`Watch`], where the connection sees it; the wire then reads nothing more.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use crate::{
    deadline::{Deadline, Wheel},
    edge::{Stream, rules::Rules},
    meters::Http2End,
};

use super::{inbound::Inbound, list_bytes_max, outbound::Outbound, underway::Underway};

/// How long a connection that has been ended waits for its client's end at least, and how much it
/// throws away meanwhile: closing over unread bytes would reset the connection, and with it destroy
/// what was sent last.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// How much of what was sent lately a client on a slow line reads in a second: 256 kbit.
const READ_PER_SECOND: u64 = 32 * 1024;

/// What is seen beneath one connection.
#[derive(Default)]
pub(super) struct Watch {
    /// Bytes read.
    pub(super) read: AtomicU64,
    /// Those of them that belong to bodies.
    pub(super) of_bodies: AtomicU64,
    /// Requests that have begun.
    pub(super) opened: AtomicU64,
    /// Why the connection must end: an [`Http2End`] and one; 0 while it need not.
    ended: AtomicU8,
    /// Bytes sent, and those of them that the client has read by now, for all one knows.
    sent: AtomicU64,
    taken_as_read: AtomicU64,
    /// Answers that may not have left.
    pub(super) underway: Underway,
}

/// One client's connection, as the crate and the connection have it both.
#[derive(Clone)]
pub(super) struct Wire(Arc<Mutex<Line>>);

struct Line {
    stream: Stream,
    watch: Arc<Watch>,
    inbound: Inbound,
    outbound: Outbound,
    wheel: Wheel,
    head_wait: Duration,
    write_wait: Duration,
    /// Ends the wait for what has begun, and which that is.
    late: Option<(u64, Deadline)>,
    lingers: Option<Deadline>,
    thrown_away: usize,
    client_ended: bool,
    shut: bool,
}

// === impl Watch ===

impl Watch {
    /// Bytes read so far.
    pub(super) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of bodies so far, those of frames that are not whole yet included.
    pub(super) fn of_bodies(&self) -> u64 {
        self.of_bodies.load(Ordering::Relaxed)
    }

    /// Requests that have begun so far, those included that the `h2` crate has refused.
    pub(super) fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Why the connection must end, if it must.
    pub(super) fn ended(&self) -> Option<Http2End> {
        let place = usize::from(self.ended.load(Ordering::Relaxed));
        Http2End::ALL.get(place.checked_sub(1)?).copied()
    }

    /// How long the client may still be reading what was sent lately, but no longer than `max`. The
    /// system takes megabytes that are on their way for a minute, and does not say so.
    pub(super) fn reading(&self, max: Duration) -> Duration {
        let sent = self.sent.load(Ordering::Relaxed);
        let lately = sent.saturating_sub(self.taken_as_read.load(Ordering::Relaxed));
        Duration::from_millis(lately.saturating_mul(1000) / READ_PER_SECOND).min(max)
    }

    /// The client is not waited for any more because of what was sent until now.
    pub(super) fn take_as_read(&self) {
        self.taken_as_read.store(self.sent.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// The connection must end because of this.
    pub(super) fn end(&self, end: Http2End) {
        self.ended.store(end as u8 + 1, Ordering::Relaxed);
    }

    /// Only the connection's own task counts, so that adding needs no instruction of its own.
    pub(super) fn add(counter: &AtomicU64, more: u64) {
        counter.store(counter.load(Ordering::Relaxed) + more, Ordering::Relaxed);
    }
}

// === impl Wire ===

impl Wire {
    /// Watches `stream`, from which `early` has been read.
    pub(super) fn new(stream: Stream, early: Bytes, rules: &Rules, wheel: Wheel) -> Self {
        let watch: Arc<Watch> = Arc::default();
        Self(Arc::new(Mutex::new(Line {
            stream,
            inbound: Inbound::new(early, list_bytes_max(rules), watch.clone()),
            outbound: Outbound::new(wheel.clone(), rules.write_wait, watch.clone()),
            watch,
            wheel,
            head_wait: rules.head_wait,
            write_wait: rules.write_wait,
            late: None,
            lingers: None,
            thrown_away: 0,
            client_ended: false,
            shut: false,
        })))
    }

    /// What is seen.
    pub(super) fn watch(&self) -> Arc<Watch> {
        self.0.lock().watch.clone()
    }

    /// From now on, what is written goes out [together](Self::finish).
    pub(super) fn gather(&self) {
        self.0.lock().outbound.gather();
    }

    /// The crate has been looked at: what it has written goes out. Whether all of it has; `cx`
    /// wakes the crate when it can go on.
    pub(super) fn finish(&self, cx: &mut Context<'_>) -> bool {
        let mut line = self.0.lock();
        let line = &mut *line;
        let finished = line.outbound.finish(cx, &line.stream);
        line.count_sent();
        finished
    }
}

// === impl Line ===

impl Line {
    /// Nothing is there to be read: what has begun must not take for ever.
    fn poll_late(&mut self, cx: &mut Context<'_>) {
        let Some(begun) = self.inbound.awaited() else {
            self.late = None;
            return;
        };
        if self.late.as_ref().is_none_or(|(waited_for, _)| *waited_for != begun) {
            self.late = Some((begun, self.wheel.at(Instant::now() + self.head_wait)));
        }
        if let Some((_, late)) = &mut self.late
            && Pin::new(late).poll(cx).is_ready()
        {
            self.watch.end(Http2End::HeadTimeout);
        }
    }

    /// What has been sent lets the client say more, and has to be read.
    fn count_sent(&mut self) {
        let bytes = self.outbound.take_written();
        self.inbound.sent(bytes);
        Watch::add(&self.watch.sent, bytes as u64);
    }

    /// Throws away what still comes, until the client's end or long enough.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut room = [0; 4096];
        while !self.client_ended && self.thrown_away < LINGER_BYTES_MAX {
            let mut buffer = ReadBuf::new(&mut room);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.thrown_away += buffer.filled().len();
                }
                Poll::Ready(_) => self.client_ended = true,
                Poll::Pending => {
                    let wait = self.watch.reading(self.write_wait).max(LINGER);
                    let (wheel, lingers) = (&self.wheel, &mut self.lingers);
                    let lingers = lingers.get_or_insert_with(|| wheel.at(Instant::now() + wait));
                    return Pin::new(lingers).poll(cx);
                }
            }
        }
        Poll::Ready(())
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.watch.ended().is_some() {
            // The connection looks at the watch after each poll of the crate.
            return Poll::Pending;
        }
        let read = self.inbound.poll_read(cx, &mut self.stream, buffer);
        self.client_ended = self.inbound.has_ended();
        if read.is_pending() && self.watch.ended().is_none() {
            self.poll_late(cx);
        }
        read
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.outbound.poll_take(cx, &self.stream, slices);
        self.count_sent();
        written
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shut {
            let sent = ready!(self.outbound.poll_send(cx, &self.stream));
            // Said once. That it cannot be said means that nobody listens any more.
            let shut = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
            self.client_ended |= sent.and(shut).is_err();
            self.shut = true;
        }
        self.poll_linger(cx).map(Ok)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.lock().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.lock().poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut line = self.0.lock();
        let line = &mut *line;
        line.outbound.poll_free(cx, &line.stream)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.lock().poll_shutdown(cx)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.watch.underway.end();
    }
}
