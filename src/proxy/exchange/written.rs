//! How a request is written down once it has ended.

use std::time::Duration;

use super::Exchange;
use crate::{
    fault::{Fault, Outcome},
    meters::Settled,
    proxy::record::{Record, TunnelRecord},
    telemetry::Line,
};

/// 499: what the log says of a client that left. It is never sent.
const CLIENT_CLOSED_REQUEST: u16 = 499;

// === impl Exchange ===

impl Exchange {
    /// What is needed to write down the tunnel that this request became.
    pub fn tunnel_record(&self) -> TunnelRecord {
        TunnelRecord::new(
            self.worker.clone(),
            self.view.clone(),
            self.decision,
            self.asked.clone(),
            self.endpoint().cloned(),
        )
    }

    pub(super) fn log(&self, settled: &Settled, total: Duration) {
        let outcome = settled.outcome;
        let asked_endpoint = self.attempts > 0;
        let status = match outcome {
            Outcome::Abandoned => Some(CLIENT_CLOSED_REQUEST),
            Outcome::Served | Outcome::Refused | Outcome::Failed => {
                self.status.map(|status| status.as_u16())
            }
        };
        let record = self.record();
        let texts = record.texts();
        let line = Line {
            status,
            outcome: Some(outcome),
            attempts: self.attempts,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            fault: self.fault,
            blame: self.fault.map(Fault::blame),
            queue_ms: self.queued,
            connect_ms: asked_endpoint.then_some(self.connecting),
            first_byte_ms: settled.first_byte,
            upstream_ms: asked_endpoint.then_some(self.upstream),
            total_ms: Some(total),
            paused_ms: self.paused,
            fallback: self.pool().filter(|_| self.away).map(|pool| pool.name.as_str()),
            ..record.line(&texts)
        };
        self.worker.common.log.write(self.worker.index, &line);
    }

    /// What is written down about this request whatever becomes of it.
    fn record(&self) -> Record<'_> {
        Record {
            asked: &self.asked,
            view: &self.view,
            decision: self.decision,
            endpoint: self.endpoint().map(|endpoint| &**endpoint),
        }
    }
}
