//! The slots that a request holds, one after the other, on the ledger and on its pool's books.

use std::time::{Duration, Instant};

use super::Exchange;
use crate::{
    proxy::{
        ahead::Ahead,
        buffers::{Buffers, Kind, Share},
        memory::Ended,
        orphan::Orphan,
    },
    upstream::{Connection, GuestPlace, Home, Lease},
};

/// A lease, and since when.
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) taken: Instant,
    /// Its place among the guests of a pool that is not its audience's own.
    pub(super) place: Option<GuestPlace>,
}

// === impl Exchange ===

impl Exchange {
    /// It was given a slot, or refused one, after `wait`.
    pub fn waited(&mut self, wait: Duration) {
        self.queued = Some(self.queued.unwrap_or_default() + wait);
        self.audience().meter.waited(self.worker.index, wait);
    }

    /// Another attempt begins, with a lease that it was given at `taken`.
    pub fn attempt(&mut self, lease: Lease, taken: Instant) {
        self.give_back(None);
        self.attempts += 1;
        self.tries.begin(lease.endpoint().id());
        if let Some(pool) = self.pool() {
            pool.meter.lease_taken(self.worker.index, taken);
            if self.attempts == 1 {
                pool.upstream.retries().request(self.worker.index, taken);
            }
        }
        if let Some(stake) = self.stake() {
            stake.took(self.worker.index);
        }
        let place = self.place.take();
        self.lease = Some(Held { lease, taken, place });
    }

    /// How the attempt under way ended, as far as its answer's head.
    pub fn attempt_ended(&mut self, ended: Ended) {
        self.tries.end(ended);
    }

    /// The lease goes back: the monolith has said its last byte, or the attempt is over. Whoever
    /// waits for a slot gets it together with `connection`, which is kept when nobody does.
    pub fn give_back(&mut self, connection: Option<Connection>) {
        if self.lease.is_some() {
            self.give_back_at(Instant::now(), connection);
        }
    }

    /// The lease goes back, now that it is `now`.
    pub fn give_back_at(&mut self, now: Instant, connection: Option<Connection>) {
        let Some(held) = self.lease.take() else { return };
        let took = now.saturating_duration_since(held.taken);
        self.upstream += took;
        self.tries.took(took);
        if let Some(pool) = self.pool() {
            pool.meter.lease_returned(self.worker.index, took, now);
        }
        if let Some(stake) = self.stake() {
            stake.gave_back(self.worker.index);
        }
        let (connections, idle) = (&self.worker.connections, self.keep_alive_idle());
        let home = Home { connections, idle, now };
        self.endpoint = held.lease.give_back(connection, home);
        // Only now: who waited behind it is to find the slot free.
        self.turns.clear();
    }

    /// The lease stays taken, though the request goes: the monolith is still at it.
    pub fn orphan(&mut self) -> Option<Orphan> {
        let pool = self.pool_index()?;
        let held = self.lease.take()?;
        self.endpoint = Some(held.lease.endpoint().clone());
        let took = held.taken.elapsed();
        self.upstream += took;
        self.tries.took(took);
        let places = (self.decision.audience, pool);
        let (worker, view) = (self.worker.clone(), self.view.clone());
        Some(Orphan::new(held.lease, held.taken, worker, view, places).with(held.place))
    }

    /// A share of the memory for bodies.
    pub fn share(&self, kind: Kind) -> Share {
        let ceiling = self.limits().buffers_bytes.unwrap_or_else(Buffers::auto_bytes);
        self.worker.common.buffers.share(kind, ceiling)
    }

    /// Room for what is read of its answer ahead of its client, `bytes_max` of it.
    pub fn ahead(&self, bytes_max: u64) -> Ahead {
        Ahead::new(self.share(Kind::Answer), bytes_max)
    }

    /// How long an unused connection of its pool is kept.
    fn keep_alive_idle(&self) -> Duration {
        self.pool().map_or(Duration::ZERO, |pool| pool.config.keep_alive_idle)
    }
}
