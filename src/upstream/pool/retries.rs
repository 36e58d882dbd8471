//! What a pool's requests have had of retries and may have, over all snapshots.

use std::time::Instant;

use crate::policy::retry::{Budget, Policy, SafeRoutes};

/// A pool's budget for retries, and what the monolith has said of its routes.
#[derive(Debug)]
pub struct Retries {
    origin: Instant,
    budget: Budget,
    routes: SafeRoutes,
}

// === impl Retries ===

impl Retries {
    /// Of a pool whose requests `rows` threads count.
    pub fn new(rows: usize) -> Self {
        let routes = SafeRoutes::default();
        Self { origin: Instant::now(), budget: Budget::new(rows), routes }
    }

    /// A request of the thread `row` begins at `now`.
    #[inline]
    pub fn request(&self, row: usize, now: Instant) {
        self.budget.request(row, self.second(now));
    }

    /// Takes one retry, if there is one.
    pub fn take(&self, now: Instant, policy: &Policy) -> bool {
        self.budget.take(self.second(now), policy)
    }

    /// What the monolith has said of its routes.
    pub fn routes(&self) -> &SafeRoutes {
        &self.routes
    }

    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.origin).as_secs()
    }
}
