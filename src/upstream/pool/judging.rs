//! What becomes of a pool's endpoints as requests go well or wrong.
//!
//! Requests are judged where they end; only one that went wrong, or one that ends a bad time, takes
//! a lock. Whether an endpoint is ejected is decided by one thread at a time, so that the share
//! that may be missing is kept exactly.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Pool;
use crate::{
    config,
    meters::EndpointEvent as What,
    units::format_duration,
    upstream::{
        endpoint::Endpoint,
        health::{Cause, Evidence, Journal, Totals, grants},
    },
};

/// How far back `status` looks where nothing is ejected.
const WINDOW: Duration = Duration::from_secs(10);

// === impl Pool ===

impl Pool {
    /// `endpoint` has answered a request of the thread `row` well.
    #[inline]
    pub fn answered(&self, endpoint: &Endpoint, row: usize) {
        if endpoint.health().answered(row) {
            let why = "it answered while it was ejected".to_owned();
            self.note(endpoint, What::Returned, why);
        }
    }

    /// A request of the thread `row` went wrong through `endpoint`'s doing.
    pub fn failed(
        &self,
        endpoint: &Endpoint,
        row: usize,
        evidence: Evidence,
        policy: Option<&config::Ejection>,
    ) {
        let Some(policy) = policy else {
            endpoint.health().failed_without_consequence(row);
            return;
        };
        let others = || self.others_totals(endpoint);
        if let Some(cause) = endpoint.health().failed(row, evidence, policy, others) {
            self.eject(endpoint, cause, policy, Instant::now());
        }
    }

    /// Time has gone by: lets those back whose time is over, and looks for those that do worse.
    pub fn pass(&self, now: Instant, policy: Option<&config::Ejection>) {
        let window = policy.map_or(WINDOW, |policy| policy.window);
        for member in self.members().iter() {
            let endpoint = &member.endpoint;
            endpoint.grow(now);
            if endpoint.health().pass(now, window) {
                self.note(endpoint, What::Returned, "its time was over".to_owned());
                self.recovered(endpoint, now);
            }
            let Some(policy) = policy else { continue };
            let lately = endpoint.health().lately();
            let share = lately.failed_share();
            let enough = lately.requests() >= u64::from(policy.requests);
            if endpoint.health().is_well() && enough && share >= policy.ratio.ratio() {
                let cause = Cause::Share { share, of: lately.requests() };
                self.eject(endpoint, cause, policy, now);
            }
        }
    }

    /// An endpoint takes requests again: slowly at first where others serve meanwhile, and those
    /// who wait before anybody else.
    pub fn recovered(&self, endpoint: &Arc<Endpoint>, now: Instant) {
        endpoint.latency().clear();
        let members = self.members();
        let mut others = members.iter().filter(|member| member.endpoint.id() != endpoint.id());
        if others.any(|member| member.endpoint.is_usable()) {
            endpoint.warm_up(self.terms().slow_start, now);
        }
        endpoint.offer();
    }

    /// What has happened to the endpoints of all pools.
    pub fn journal(&self) -> &Journal {
        self.endpoints.journal()
    }

    /// Writes down what happened to `endpoint`.
    pub fn note(&self, endpoint: &Endpoint, what: What, reason: String) {
        self.endpoints.journal().note(endpoint.id(), endpoint.as_str(), what, reason);
    }

    /// The requests of all but `endpoint`, so far.
    fn others_totals(&self, endpoint: &Endpoint) -> Totals {
        let members = self.members();
        let others = members.iter().filter(|member| member.endpoint.id() != endpoint.id());
        others.fold(Totals::default(), |sum, it| sum.and(it.endpoint.health().totals()))
    }

    /// Ejects `endpoint` if the pool can spare it.
    fn eject(&self, endpoint: &Endpoint, cause: Cause, policy: &config::Ejection, now: Instant) {
        let members = self.members();
        let others = members.iter().filter(|member| member.endpoint.id() != endpoint.id());
        // In an outage everybody comes here: look before anything is locked.
        if !others.clone().any(|member| member.endpoint.health().is_well()) {
            return;
        }
        let _court = self.endpoints.court();
        let seats: Vec<_> = others.map(|member| member.endpoint.health().seat()).collect();
        let totals = self.others_totals(endpoint);
        let since = endpoint.health().others_since(totals);
        if !grants(cause, endpoint.health().seat(), &seats, since, policy) {
            return;
        }
        if let Some(hold) = endpoint.health().eject(now, cause, policy, totals) {
            let hold = format_duration(Duration::from_millis(hold.as_millis() as u64));
            self.note(endpoint, What::Ejected, format!("{cause}; for {hold}"));
        }
    }
}
