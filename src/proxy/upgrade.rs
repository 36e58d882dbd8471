//! What is left after an upgrade: a tunnel, with its own owner, limit, gauge and log line.
//!
//! The exchange settled at the 101 and gave its lease back; ActionCable has taken the socket off
//! Puma's thread by then. From here on bytes are carried both ways until one side ends, nothing
//! passes for too long, or usher stops.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant as Clock},
};

use bytes::{Buf, Bytes};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::{exchange::Exchange, record::TunnelRecord, worker::TunnelPlace};
use crate::{
    deadline::Wheel,
    drain::{Drain, Stage},
    fault::Blame,
    meters::TunnelEnd,
};

/// How much is carried at once in each direction, in bytes.
const BUFFER_BYTES: usize = 8 * 1024;

/// A tunnel that waits for its client's side. It is carried once, by whoever takes it first; the
/// default one leads nowhere and ends at once.
#[derive(Clone, Default)]
pub struct Tunnel(Arc<Mutex<Option<Prepared>>>);

struct Prepared {
    upgraded: OnUpgrade,
    record: TunnelRecord,
    wheel: Wheel,
    drain: Drain,
    idle: Duration,
    _place: TunnelPlace,
}

/// Sees when bytes last passed, and which side ended first.
struct Activity {
    origin: Clock,
    last_ms: AtomicU64,
    first_end: AtomicU8,
    from_client: AtomicU64,
    from_upstream: AtomicU64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Client = 1,
    Upstream = 2,
}

/// One side of a tunnel, watched.
struct Watched<'a, S> {
    stream: S,
    early: Bytes,
    side: Side,
    activity: &'a Activity,
}

// === impl Tunnel ===

impl Tunnel {
    /// A tunnel for the request of `exchange`, whose answer was a 101.
    pub fn new(upgraded: OnUpgrade, exchange: &Exchange, place: TunnelPlace) -> Self {
        let worker = exchange.worker();
        Self(Arc::new(Mutex::new(Some(Prepared {
            upgraded,
            record: exchange.tunnel_record(),
            wheel: worker.wheel.clone(),
            drain: worker.common.drain.clone(),
            idle: exchange.limits().tunnel_idle,
            _place: place,
        }))))
    }

    /// Carries bytes between `client` and the monolith until either ends. `early` came from the
    /// client before the 101 and goes first.
    pub async fn carry(self, client: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) {
        let taken = self.0.lock().take();
        if let Some(prepared) = taken {
            prepared.carry(client, early).await;
        }
    }
}

impl std::fmt::Debug for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tunnel")
    }
}

// === impl Prepared ===

impl Prepared {
    async fn carry(mut self, client: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) {
        self.record.opened();
        let activity = Activity::new();
        let end = match (&mut self.upgraded).await {
            Ok(upgraded) => self.exchange_bytes(client, early, upgraded, &activity).await,
            Err(_) => (TunnelEnd::Broke, Blame::Upstream),
        };
        let from_client = activity.from_client.load(Ordering::Relaxed);
        let from_upstream = activity.from_upstream.load(Ordering::Relaxed);
        self.record.closed(end.0, end.1, from_client, from_upstream);
    }

    async fn exchange_bytes(
        &mut self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        early: Bytes,
        upgraded: Upgraded,
        activity: &Activity,
    ) -> (TunnelEnd, Blame) {
        let mut client = Watched { stream: client, early, side: Side::Client, activity };
        let upstream = TokioIo::new(upgraded);
        let mut upstream =
            Watched { stream: upstream, early: Bytes::new(), side: Side::Upstream, activity };
        let copying = tokio::io::copy_bidirectional_with_sizes(
            &mut client,
            &mut upstream,
            BUFFER_BYTES,
            BUFFER_BYTES,
        );
        let (wheel, idle) = (self.wheel.clone(), self.idle);
        // Whichever ends first ends the tunnel; the others only wait.
        tokio::select! {
            copied = copying => activity.verdict(copied.is_ok()),
            () = activity.silence(&wheel, idle) => (TunnelEnd::Idle, Blame::Client),
            () = self.drain.reached(Stage::Ending) => (TunnelEnd::Drained, Blame::Usher),
        }
    }
}

// === impl Activity ===

impl Activity {
    fn new() -> Self {
        Self {
            origin: Clock::now(),
            last_ms: AtomicU64::new(0),
            first_end: AtomicU8::new(0),
            from_client: AtomicU64::new(0),
            from_upstream: AtomicU64::new(0),
        }
    }

    fn passed(&self, side: Side, bytes: usize) {
        let now_ms = self.origin.elapsed().as_millis() as u64;
        self.last_ms.store(now_ms, Ordering::Relaxed);
        let counter = match side {
            Side::Client => &self.from_client,
            Side::Upstream => &self.from_upstream,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn ended(&self, side: Side) {
        let _ =
            self.first_end.compare_exchange(0, side as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn verdict(&self, cleanly: bool) -> (TunnelEnd, Blame) {
        let blame = if self.first_end.load(Ordering::Relaxed) == Side::Upstream as u8 {
            Blame::Upstream
        } else {
            Blame::Client
        };
        (if cleanly { TunnelEnd::Closed } else { TunnelEnd::Broke }, blame)
    }

    /// Ready once nothing has passed for `idle`.
    async fn silence(&self, wheel: &Wheel, idle: Duration) {
        loop {
            let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
            let silent = self.origin.elapsed().saturating_sub(last);
            if silent >= idle {
                return;
            }
            wheel.at(Instant::now() + (idle - silent)).await;
        }
    }
}

// === impl Watched ===

impl<S: AsyncRead + Unpin> AsyncRead for Watched<'_, S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.early.has_remaining() {
            let bytes = this.early.remaining().min(buffer.remaining());
            buffer.put_slice(&this.early.split_to(bytes));
            this.activity.passed(this.side, bytes);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.stream).poll_read(cx, buffer));
        match buffer.filled().len() - before {
            0 => this.activity.ended(this.side),
            bytes => this.activity.passed(this.side, bytes),
        }
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<'_, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
