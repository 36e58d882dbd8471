//! What operators' verbs mean to one request: whether it may go on, how long it was held back, and
//! when it is of use to come back.

use std::time::{Duration, SystemTime};

use super::Exchange;
use crate::{fault::Fault, policy::rate::Refused, verbs::Turn};

/// When to come back after maintenance that has no end yet.
const MAINTENANCE: Duration = Duration::from_secs(60);

/// The soonest and the latest that a client is told to come back.
const COME_BACK_MIN: Duration = Duration::from_secs(1);
const COME_BACK_MAX: Duration = Duration::from_secs(3_600);

// === impl Exchange ===

impl Exchange {
    /// Whether the request may go where it was decided to go, now.
    pub fn admit(&mut self) -> Result<(), Fault> {
        match self.decision.fault {
            Some(fault) => Err(fault),
            None if self.worker.common.gates.in_force() => self.admit_past_gates(),
            None => Ok(()),
        }
    }

    /// Whether its audience and its client may ask as often as they do. Asked once: it counts.
    pub fn admit_by_rate(&mut self) -> Result<(), Fault> {
        let Some(rate) = &self.audience().rate else { return Ok(()) };
        let admitted = rate.meter.admit(&rate.limits, self.asked.client, self.arrived);
        let (fault, wait) = match admitted {
            Ok(()) => return Ok(()),
            Err(Refused::Client(wait)) => (Fault::ClientRateLimited, wait),
            // Those who were refused together do not come back together.
            Err(Refused::Audience(wait)) => {
                (Fault::RateLimited, wait + Duration::from_secs(fastrand::u64(..3)))
            }
        };
        self.come_back = Some(wait.clamp(COME_BACK_MIN, COME_BACK_MAX));
        Err(fault)
    }

    #[cold]
    fn admit_past_gates(&mut self) -> Result<(), Fault> {
        let Some(pool) = self.pool() else { return Ok(()) };
        let gates = &self.worker.common.gates;
        let closed = self.asked.closed(gates, &self.audience().name, &pool.name);
        let Some(closed) = closed else { return Ok(()) };
        self.come_back(closed.until);
        self.come_back.get_or_insert(MAINTENANCE);
        Err(Fault::Maintenance)
    }

    /// It was held back for so long.
    pub fn held(&mut self, time: Duration) {
        self.paused = Some(time);
    }

    /// It may go on; whoever waits behind it may when its slot is free again.
    pub fn goes_on(&mut self, turn: Turn) {
        self.turns.push(turn);
    }

    /// It is of no use to come back before `until`.
    pub fn come_back(&mut self, until: Option<SystemTime>) {
        let left = until.map(|until| until.duration_since(SystemTime::now()).unwrap_or_default());
        self.come_back = left.map(|left| left.clamp(COME_BACK_MIN, COME_BACK_MAX));
    }

    /// In how many seconds it is of use to come back, as far as is known.
    pub fn retry_after(&self) -> Option<u64> {
        self.come_back.map(|wait| wait.as_secs_f64().ceil() as u64)
    }
}
