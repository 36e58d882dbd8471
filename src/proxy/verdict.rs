//! What is said about the endpoint that was asked last.

use std::time::{Duration, Instant};

use super::exchange::Exchange;
use crate::upstream::{Evidence, clock_ms};

// === impl Exchange ===

impl Exchange {
    /// The endpoint that was asked last has answered well.
    pub fn endpoint_answered(&self) {
        if let (Some(pool), Some(endpoint)) = (self.pool(), self.endpoint()) {
            endpoint.note_answer();
            pool.upstream.answered(endpoint, self.worker().index);
        }
    }

    /// The endpoint that was asked last has done this wrong; `what` says it to people.
    pub fn endpoint_failed(&self, evidence: Evidence, what: impl FnOnce() -> String) {
        let (Some(pool), Some(endpoint)) = (self.pool(), self.endpoint()) else { return };
        endpoint.note_trouble(what());
        // An answer, whatever its status, has told by itself how long it took.
        if !matches!(evidence, Evidence::Status(_)) {
            endpoint.latency().note_failure(Duration::ZERO, clock_ms(Instant::now()));
        }
        let policy = pool.config.ejection.as_ref();
        pool.upstream.failed(endpoint, self.worker().index, evidence, policy);
    }
}
