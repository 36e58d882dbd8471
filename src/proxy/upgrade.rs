//! What is left after an upgrade: a tunnel, with its own owner, limit, gauge and log line.
//!
//! The exchange settled at the 101 and gave its lease back; ActionCable has taken the socket off
//! Puma's thread by then. From here on bytes are carried both ways until one side ends, nothing
//! passes for too long, or usher stops: then each tunnel closes between two frames, one after the
//! other, and what is left at the end of `drain.tunnels` is cut.

mod activity;
mod carrier;
mod frames;
mod half;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    time::Instant,
};

use super::{
    exchange::Exchange,
    record::TunnelRecord,
    worker::{Common, TunnelPlace},
};
use crate::{
    deadline::{Elapsed, Wheel},
    drain::{Drain, Stage},
    fault::Blame,
    meters::TunnelEnd,
    upstream::{Endpoint, Switched, TunnelTo},
};

use activity::Activity;
use carrier::{CLOSE_WAIT, Carrier};

/// How long the first tunnel stays when usher stops.
const FIRST_TURN: Duration = Duration::from_millis(500);

/// The end of a tunnel in which nothing passed for too long.
const SILENT: (TunnelEnd, Blame) = (TunnelEnd::Idle, Blame::Client);

/// The end of a tunnel that was still there when its time was over.
const CUT: (TunnelEnd, Blame) = (TunnelEnd::Cut, Blame::Usher);

/// A tunnel that waits for its client's side. It is carried once, by whoever takes it first; the
/// default one leads nowhere and ends at once.
#[derive(Clone, Default)]
pub struct Tunnel(Arc<Mutex<Option<(Prepared, Switched)>>>);

struct Prepared {
    record: TunnelRecord,
    wheel: Wheel,
    drain: Drain,
    common: Arc<Common>,
    idle: Duration,
    _place: TunnelPlace,
    _to: Option<TunnelTo>,
}

// === impl Tunnel ===

impl Tunnel {
    /// A tunnel for the request of `exchange`, whose answer was a 101 on what has been switched.
    pub fn new(upstream: Switched, exchange: &Exchange, place: TunnelPlace) -> Self {
        let worker = exchange.worker();
        let prepared = Prepared {
            record: exchange.tunnel_record(),
            wheel: worker.wheel.clone(),
            drain: worker.common.drain.clone(),
            common: worker.common.clone(),
            idle: exchange.limits().tunnel_idle,
            _place: place,
            _to: exchange.endpoint().map(Endpoint::tunnel),
        };
        Self(Arc::new(Mutex::new(Some((prepared, upstream)))))
    }

    /// Carries bytes between `client` and the monolith until either ends. `early` came from the
    /// client before the 101 and goes first.
    pub async fn carry(self, client: impl AsyncRead + AsyncWrite + Unpin, early: Bytes) {
        let taken = self.0.lock().take();
        if let Some((prepared, upstream)) = taken {
            prepared.carry(client, early, upstream).await;
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
    async fn carry(
        mut self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        early: Bytes,
        upstream: Switched,
    ) {
        self.record.opened();
        let activity = Activity::new();
        // Looked at in this order for the sake of those that carry: the first is nearly always it.
        let end = tokio::select! {
            biased;
            end = self.live(client, early, upstream, &activity) => end,
            () = self.drain.latch(Stage::Ending) => CUT,
        };
        let (from_client, from_upstream) = activity.carried();
        self.record.closed(end.0, end.1, from_client, from_upstream);
    }

    /// Carries bytes until a side ends, nothing passes for too long, or usher stops.
    async fn live(
        &self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        early: Bytes,
        mut upstream: Switched,
        activity: &Activity,
    ) -> (TunnelEnd, Blame) {
        let Switched { far, said, .. } = &mut upstream;
        let said = std::mem::take(said);
        let mut carrier = Carrier::new((client, early), (far, said), activity);
        // Whichever ends first ends the tunnel, or begins its end; the others only wait.
        let cut_at = tokio::select! {
            biased;
            carried = carrier.carry() => return activity.verdict(carried.is_ok()),
            () = activity.silence(&self.wheel, self.idle) => return SILENT,
            cut_at = self.turn() => cut_at,
        };
        if carrier.is_closing() {
            let carried = self.wheel.within(cut_at, carrier.carry()).await;
            return carried.map_or(CUT, |carried| activity.verdict(carried.is_ok()));
        }
        match self.wheel.within(cut_at, carrier.take_leave(&self.wheel)).await {
            Ok(Ok(())) => (TunnelEnd::Drained, Blame::Usher),
            Ok(Err(_)) => activity.verdict(false),
            Err(Elapsed) => CUT,
        }
    }

    /// Ready when usher is stopping and it is this tunnel's turn to close; returns when it is cut.
    ///
    /// Turns are spread over the time that tunnels have, so that their clients do not all come back
    /// at once, and the last of them has still time to say its farewell.
    async fn turn(&self) -> Instant {
        self.drain.latch(Stage::Finishing).await;
        let begun = Instant::now();
        let patience = self.common.published.current().config.drain.tunnels;
        let window = patience.saturating_sub(CLOSE_WAIT).max(patience / 2);
        // Doors close meanwhile: whoever is told must not come back to the one that goes.
        let first = FIRST_TURN.min(window / 4);
        let turn = begun + first + (window - first).mul_f64(self.common.tunnels.turn());
        self.wheel.at(turn).await;
        begun + patience
    }
}
