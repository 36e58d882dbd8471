//! When an endpoint gets no requests for a while, because those that it got went wrong.
//!
//! Pure: time is an argument, and whether the pool can spare the endpoint is decided outside.
//!
//! ```text
//!            asks (failures in a row, a share, a refused connection), and is granted
//!   well ───────────────────────────────────────────────────────────────▶ ejected
//!    ▲  ▲                                                                 │   ▲
//!    │  └──────────────── an answer, or a check that refutes ─────────────┤   │
//!    │                                                    its time is over│   │ one failure,
//!    │                                                                    ▼   │ for twice as long
//!    └─────────────────────────── an answer ───────────────────────── on trial┘
//! ```
//!
//! Once it has been well for as long as it was ejected the last time, its past is forgotten.

use std::time::{Duration, Instant};

use super::{
    evidence::{Cause, Evidence},
    window::Totals,
};
use crate::{
    config,
    upstream::kept::{Kept, KeptEjection, SPAN_MAX, ahead, behind, millis, span},
};

/// How often a hold is doubled at most, whatever the longest one is.
const DOUBLINGS_MAX: u32 = 16;

/// The passive side of an endpoint's health.
#[derive(Clone, Debug)]
pub struct Ejection {
    state: State,
    /// Failures since the last answer.
    in_row: u32,
    /// How often it was ejected before it had been well for long enough.
    times: u32,
    /// For how long the last time.
    held: Duration,
    /// The requests of all others when its failures began, or when it was ejected.
    others: Totals,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Well { since: Option<Instant> },
    Ejected { until: Instant, unreachable: bool },
    OnTrial,
}

// === impl Ejection ===

impl Ejection {
    /// What another process has told, at `now`.
    pub fn of(kept: &Kept, now: Instant) -> Self {
        let state = match kept.ejection {
            KeptEjection::Well => State::Well { since: None },
            KeptEjection::Recovering { for_ms } => State::Well { since: Some(behind(now, for_ms)) },
            KeptEjection::Ejected { for_ms, connections } => {
                State::Ejected { until: ahead(now, for_ms), unreachable: connections }
            }
            KeptEjection::OnTrial => State::OnTrial,
        };
        // Whatever was told, what must always hold does.
        let times = if kept.ejection == KeptEjection::Well { 0 } else { kept.ejections.max(1) };
        let held = span(kept.held_ms).min(SPAN_MAX);
        Self { state, in_row: kept.in_row, times, held, others: Totals::default() }
    }

    /// Tells another process, at `now`.
    pub fn keep(&self, now: Instant, kept: &mut Kept) {
        kept.ejection = match self.state {
            State::Well { since: None } => KeptEjection::Well,
            State::Well { since: Some(since) } => {
                let span = now.saturating_duration_since(since);
                KeptEjection::Recovering { for_ms: millis(span) }
            }
            State::Ejected { until, unreachable } => {
                let for_ms = millis(until.saturating_duration_since(now));
                KeptEjection::Ejected { for_ms, connections: unreachable }
            }
            State::OnTrial => KeptEjection::OnTrial,
        };
        kept.in_row = self.in_row;
        kept.ejections = self.times;
        kept.held_ms = millis(self.held);
    }

    /// Whether it gets no requests.
    pub fn is_ejected(&self) -> bool {
        matches!(self.state, State::Ejected { .. })
    }

    /// Until when it gets no requests.
    pub fn ejected(&self) -> Option<Instant> {
        match self.state {
            State::Ejected { until, .. } => Some(until),
            State::Well { .. } | State::OnTrial => None,
        }
    }

    /// A request went wrong; a cause when that is reason enough to eject. `others` counts the
    /// requests of all others.
    pub fn failed(
        &mut self,
        evidence: Evidence,
        policy: &config::Ejection,
        others: impl FnOnce() -> Totals,
    ) -> Option<Cause> {
        if self.in_row == 0 && matches!(self.state, State::Well { .. }) {
            self.others = others();
        }
        self.in_row = self.in_row.saturating_add(1);
        match self.state {
            State::Ejected { .. } => None,
            _ if evidence == Evidence::Refused => Some(Cause::Refused),
            State::OnTrial => Some(Cause::InRow { count: 1, last: evidence }),
            // When it was not granted, it is asked again after as many failures more.
            State::Well { .. } => (self.in_row.is_multiple_of(policy.consecutive))
                .then_some(Cause::InRow { count: self.in_row, last: evidence }),
        }
    }

    /// What became of the requests of all others since this one began to fail.
    pub fn others_since(&self, others: Totals) -> Totals {
        others.since(self.others)
    }

    /// It gets no requests from `now` on; returns for how long.
    pub fn eject(
        &mut self,
        now: Instant,
        cause: Cause,
        policy: &config::Ejection,
        others: Totals,
    ) -> Duration {
        self.others = others;
        let doublings = self.times.min(DOUBLINGS_MAX);
        let hold = policy.hold.saturating_mul(1 << doublings).min(policy.hold_max);
        self.held = hold.max(policy.hold);
        self.times = self.times.saturating_add(1);
        self.in_row = 0;
        let unreachable = cause.is_unreachable();
        self.state = State::Ejected { until: now + self.held, unreachable };
        self.held
    }

    /// A request was answered well; true when that ends an ejection.
    pub fn answered(&mut self, now: Instant) -> bool {
        self.in_row = 0;
        match self.state {
            State::Well { .. } => false,
            State::OnTrial => {
                self.state = State::Well { since: Some(now) };
                false
            }
            State::Ejected { .. } => {
                self.state = State::Well { since: Some(now) };
                true
            }
        }
    }

    /// A check had an answer from it; true when that ends an ejection for want of connections.
    pub fn refuted(&mut self) -> bool {
        let refuted = matches!(self.state, State::Ejected { unreachable: true, .. });
        if refuted {
            self.state = State::OnTrial;
        }
        refuted
    }

    /// Time has gone by; true when it gets requests again from now on.
    pub fn pass(&mut self, now: Instant) -> bool {
        match self.state {
            State::Ejected { until, .. } if now >= until => {
                self.state = State::OnTrial;
                true
            }
            State::Well { since: Some(since) } if now >= since + self.held => {
                self.state = State::Well { since: None };
                self.times = 0;
                false
            }
            State::Well { .. } | State::Ejected { .. } | State::OnTrial => false,
        }
    }

    /// Whether an answer would change anything.
    pub fn has_memory(&self) -> bool {
        self.in_row > 0 || !matches!(self.state, State::Well { .. })
    }

    /// What must always hold.
    pub fn check_invariants(&self) {
        assert!(!self.is_ejected() || self.times > 0, "whoever is ejected was ejected once");
        let forgotten = matches!(self.state, State::Well { since: None });
        assert!(!forgotten || self.times == 0, "what is forgotten does not count");
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            state: State::Well { since: None },
            in_row: 0,
            times: 0,
            held: Duration::ZERO,
            others: Totals::default(),
        }
    }
}
