//! What has passed through a tunnel, when that was, and which side ended first.

use std::{
    sync::atomic::{AtomicU8, AtomicU64, Ordering},
    time::{Duration, Instant as Clock},
};

use tokio::time::Instant;

use crate::{deadline::Wheel, fault::Blame, meters::TunnelEnd};

/// Sees when bytes last passed, and which side ended first.
pub(super) struct Activity {
    origin: Clock,
    last_ms: AtomicU64,
    first_end: AtomicU8,
    from_client: AtomicU64,
    from_upstream: AtomicU64,
}

/// A side of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Client = 1,
    Upstream = 2,
}

// === impl Activity ===

impl Activity {
    pub(super) fn new() -> Self {
        Self {
            origin: Clock::now(),
            last_ms: AtomicU64::new(0),
            first_end: AtomicU8::new(0),
            from_client: AtomicU64::new(0),
            from_upstream: AtomicU64::new(0),
        }
    }

    /// Bytes came from `side`.
    pub(super) fn passed(&self, side: Side, bytes: usize) {
        let now_ms = self.origin.elapsed().as_millis() as u64;
        self.last_ms.store(now_ms, Ordering::Relaxed);
        let counter = match side {
            Side::Client => &self.from_client,
            Side::Upstream => &self.from_upstream,
        };
        counter.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// `side` has ended, or its connection broke.
    pub(super) fn ended(&self, side: Side) {
        let _ =
            self.first_end.compare_exchange(0, side as u8, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Bytes that came from the client, and bytes that came from the monolith.
    pub(super) fn carried(&self) -> (u64, u64) {
        (self.from_client.load(Ordering::Relaxed), self.from_upstream.load(Ordering::Relaxed))
    }

    /// How a tunnel has ended that was not ended by usher.
    pub(super) fn verdict(&self, cleanly: bool) -> (TunnelEnd, Blame) {
        let blame = if self.first_end.load(Ordering::Relaxed) == Side::Upstream as u8 {
            Blame::Upstream
        } else {
            Blame::Client
        };
        (if cleanly { TunnelEnd::Closed } else { TunnelEnd::Broke }, blame)
    }

    /// Ready once nothing has passed for `idle`.
    pub(super) async fn silence(&self, wheel: &Wheel, idle: Duration) {
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
