//! What is kept of a request that has ended, for `usher why`.

use std::time::Instant;

use http::Uri;

use super::Exchange;
use crate::{
    fault::Outcome,
    proxy::memory::{Brief, Remembered, Times, brief_method},
};

// === impl Exchange ===

impl Exchange {
    /// Keeps what somebody may ask about later: copies of fixed size, and nothing that allocates.
    pub(super) fn remember(&self, outcome: Outcome, now: Instant) {
        let asked = &self.asked;
        let sent = self.attempts > 0;
        let total = now.saturating_duration_since(self.arrived);
        let path = asked.target.as_ref().map_or("", Uri::path);
        let request = Remembered {
            request_id: Brief::of(asked.request_id.as_bytes()),
            path: Brief::of(path.as_bytes()),
            method: brief_method(asked.method.as_ref()),
            operation: asked.operation.as_ref().filter(|it| it.shown().is_some()).cloned(),
            told: self.view.told(self.decision.audience).clone(),
            rule: self.decision.rule.and_then(|rule| u32::try_from(rule).ok()),
            at: self.arrived_at + total,
            client: asked.client,
            status: self.status.filter(|_| outcome != Outcome::Abandoned),
            outcome,
            fault: self.fault,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            times: Times {
                paused: self.paused.into(),
                queue: self.queued.into(),
                connect: sent.then_some(self.connecting).into(),
                first_byte: self.since_read_whole(self.first_byte).into(),
                upstream: sent.then_some(self.upstream).into(),
                total: Some(total).into(),
            },
            tries: self.tries,
            away: self.away,
        };
        self.worker.common.memory.keep(self.worker.index, request);
    }
}
