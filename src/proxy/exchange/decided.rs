//! What becomes known of a request after its ledger was opened, before it is admitted.

use std::sync::Arc;

use http::request::Parts;

use super::Exchange;
use crate::{
    classify::Operation,
    proxy::{DroppedNames, Visitor, versions::App},
    snapshot::Decision,
};

// === impl Exchange ===

impl Exchange {
    /// It asks for `operation`, and is decided by that: it may be another audience's.
    pub fn decide_again(&mut self, decision: Decision, operation: Operation) {
        let worker = self.worker.index;
        if self.decision.audience != decision.audience {
            self.audience().meter.leave(worker);
            self.view.audience(decision.audience).meter.open(worker);
        }
        self.decision = decision;
        self.asked.operation = Some(Arc::new(operation));
    }

    /// It is decided for good: what its audience wants to know of its head is looked at, and
    /// counted there.
    pub fn decided(&mut self, head: &Parts) {
        let (audience, sticky) = (self.audience(), &self.view.config.sticky);
        let visitor = audience
            .sticky
            .then(|| Visitor::of(self.asked.identity.as_ref(), &head.headers, sticky));
        let versions = audience.versions.as_ref().filter(|_| self.decision.fault.is_none());
        let app = versions.and_then(|versions| {
            App::of((versions, sticky), head, &self.asked, &self.worker, self.arrived)
        });
        if let Some(DroppedNames(count)) = head.extensions.get() {
            audience.meter.fields_dropped(self.worker.index, *count as u64);
        }
        self.asked.visitor = visitor.flatten();
        self.asked.app = app;
    }
}
