//! Going to another pool when the audience's own cannot take a request.

use super::Exchange;
use crate::{
    snapshot::{Fallback, Pool},
    upstream::{Asking, Grant, Stake, Welcome},
};

// === impl Exchange ===

impl Exchange {
    /// Its pool; `None` before it was decided.
    pub fn pool(&self) -> Option<&Pool> {
        self.pool_index().map(|index| self.view.pool(index))
    }

    /// Where its pool stands in its snapshot.
    pub(super) fn pool_index(&self) -> Option<usize> {
        let audience = self.audience();
        match &audience.fallback {
            Some(fallback) if self.away => Some(fallback.pool),
            Some(_) | None => audience.pool,
        }
    }

    /// Its audience's claim to the slots of its pool; a guest has none.
    pub(super) fn stake(&self) -> Option<&Stake> {
        self.audience().stake.as_deref().filter(|_| !self.away)
    }

    /// Whether it goes to another pool than its audience's own.
    pub fn is_away(&self) -> bool {
        self.away
    }

    /// Whether there is another pool that it could go to.
    pub fn may_go_away(&self) -> bool {
        self.audience().fallback.is_some() && !self.away
    }

    /// A slot of the other pool, where its audience has one to spare there and nobody waits for it.
    /// From then on that pool is its own.
    pub fn go_away(&mut self, asking: &Asking<'_>) -> Option<Grant> {
        let view = self.view.clone();
        let audience = view.audience(self.decision.audience);
        let fallback = audience.fallback.as_ref()?;
        let pool = view.pool(fallback.pool);
        if !self.is_open(pool) {
            return None;
        }
        let Fallback { guests, share, .. } = fallback;
        let place = guests.enter(*share, pool.upstream.queue().slots())?;
        let asking = Asking { when_unhealthy: pool.config.when_unhealthy, ..*asking };
        let Ok(lease) = self.worker.lease(pool, &asking) else {
            guests.count(Welcome::NoSlot);
            return None;
        };
        guests.count(Welcome::Taken);
        self.away = true;
        self.place = Some(place);
        Some(Grant { lease, spare: None })
    }

    /// Whether no operator has closed or paused the pool.
    fn is_open(&self, pool: &Pool) -> bool {
        let gates = &self.worker.common.gates;
        if !gates.in_force() {
            return true;
        }
        let audience = &self.audience().name;
        let closed = self.asked.closed(gates, audience, &pool.name).is_some();
        !closed && gates.held(audience, &pool.name, &[]).is_none()
    }
}
