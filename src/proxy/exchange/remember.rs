//! What is kept of a request that has ended, for `usher why`.

use std::time::Duration;

use http::Uri;

use super::Exchange;
use crate::{
    meters::Settled,
    proxy::memory::{Brief, Remembered, Times, brief_method},
};

// === impl Exchange ===

impl Exchange {
    /// Keeps what somebody may ask about later: copies of fixed size, and nothing that allocates.
    pub(super) fn remember(&self, settled: &Settled, total: Duration) {
        let asked = &self.asked;
        let sent = self.attempts > 0;
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
            status: settled.status,
            outcome: settled.outcome,
            fault: self.fault,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            times: Times {
                paused: self.paused.into(),
                queue: self.queued.into(),
                connect: sent.then_some(self.connecting).into(),
                first_byte: settled.first_byte.into(),
                upstream: sent.then_some(self.upstream).into(),
                total: Some(total).into(),
            },
            tries: self.tries,
            away: self.away,
        };
        self.worker.common.memory.keep(self.worker.index, request);
    }
}
