//! The meters of promises: good and bad events, and what the bad ones were.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use parking_lot::Mutex;

use super::{Arm, Meters, cells::Cells};
use crate::{fault::Fault, name::Name};

/// What a request amounts to for one promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was served as promised.
    Good,
    /// It was not.
    Bad(Cause),
}

/// Why an event is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The answer came, too late.
    Late,
    /// The monolith answered with a status from 500 on.
    ServerError,
    /// The monolith answered with a status that the objective's `bad:` names.
    ListedStatus,
    /// The monolith said so.
    Said,
    /// The monolith did not serve it as asked.
    Fault(Fault),
}

/// Whose events these are: audience, label and arm.
pub type PromiseKey = (Name, Arc<str>, Arm);

/// Counts the events of one promise on one arm.
pub struct SloMeter {
    key: PromiseKey,
    /// No two meters of a process have the same.
    id: u64,
    events: Cells,
    departed: Arc<Departed>,
}

/// What a meter had counted by some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SloReading {
    /// Whose events.
    pub key: PromiseKey,
    /// Which meter: one that goes and comes back begins at 0 again, and is another.
    pub id: u64,
    /// Good events.
    pub good: u64,
    /// Bad events by cause, where there were any.
    pub bad: Vec<(Cause, u64)>,
}

/// What meters had counted when they went, until somebody reads it. Bounded: whoever reads does so
/// every second, and meters go with a reload at most.
#[derive(Default)]
pub(super) struct Departed(Mutex<Vec<SloReading>>);

const GOOD: usize = 0;
const CAUSES: usize = 1;
const FAULTS: usize = CAUSES + 4;
const SLOTS: usize = FAULTS + Fault::ALL.len();
const DEPARTED_MAX: usize = 100_000;

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

// === impl Cause ===

impl Cause {
    /// The word used where causes are told: a fault's name, or one of its own.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Late => "late",
            Cause::ServerError => "status_5xx",
            Cause::ListedStatus => "status_listed",
            Cause::Said => "said_bad",
            Cause::Fault(fault) => fault.name(),
        }
    }

    const fn slot(self) -> usize {
        match self {
            Cause::Late => CAUSES,
            Cause::ServerError => CAUSES + 1,
            Cause::ListedStatus => CAUSES + 2,
            Cause::Said => CAUSES + 3,
            Cause::Fault(fault) => FAULTS + fault as usize,
        }
    }

    fn all() -> impl Iterator<Item = Cause> {
        let own = [Cause::Late, Cause::ServerError, Cause::ListedStatus, Cause::Said];
        own.into_iter().chain(Fault::ALL.iter().map(|fault| Cause::Fault(*fault)))
    }
}

// === impl SloMeter ===

impl SloMeter {
    /// Counts one event.
    #[inline]
    pub fn count(&self, worker: usize, verdict: Verdict) {
        let slot = match verdict {
            Verdict::Good => GOOD,
            Verdict::Bad(cause) => cause.slot(),
        };
        self.events.add(worker, slot, 1);
    }

    pub(super) fn read(&self) -> SloReading {
        let bad = Cause::all().map(|cause| (cause, self.events.sum(cause.slot())));
        SloReading {
            key: self.key.clone(),
            id: self.id,
            good: self.events.sum(GOOD),
            bad: bad.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

impl Drop for SloMeter {
    fn drop(&mut self) {
        let mut departed = self.departed.0.lock();
        if departed.len() < DEPARTED_MAX {
            departed.push(self.read());
        }
    }
}

impl std::fmt::Debug for SloMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SloMeter({:?})", self.key)
    }
}

// === impl SloReading ===

impl SloReading {
    /// Bad events, whatever their cause.
    pub fn bad_events(&self) -> u64 {
        self.bad.iter().map(|(_, count)| count).sum()
    }
}

// === impl Meters ===

impl Meters {
    /// The meter of what `audience` was promised under `label`, for requests on `arm`; asked
    /// again, the same one.
    pub fn promise(&self, audience: &Name, label: &Arc<str>, arm: Arm) -> Arc<SloMeter> {
        let key = (audience.clone(), label.clone(), arm);
        self.promises.hold(key.clone(), || SloMeter {
            key,
            id: NEXT_ID.fetch_add(1, Relaxed),
            events: Cells::new(self.rows, SLOTS),
            departed: self.departed.clone(),
        })
    }

    /// What every promise's meter has counted so far, those included that have gone since the last
    /// time: they come first, and once.
    pub fn promises(&self) -> Vec<SloReading> {
        // In this order: a meter that goes in between is read twice, and its last words count.
        let live: Vec<SloReading> =
            self.promises.live().into_iter().map(|(_, meter)| meter.read()).collect();
        let mut readings = std::mem::take(&mut *self.departed.0.lock());
        let gone: Vec<u64> = readings.iter().map(|gone| gone.id).collect();
        readings.extend(live.into_iter().filter(|live| !gone.contains(&live.id)));
        readings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_meter_counted_is_read_once_more_when_it_has_gone() {
        let meters = Meters::new(2, &[]);
        let (audience, label) = (Name::parse("driver").expect("a name"), "availability".into());
        let meter = meters.promise(&audience, &label, Arm::Stable);
        assert!(Arc::ptr_eq(&meter, &meters.promise(&audience, &label, Arm::Stable)));
        meter.count(0, Verdict::Good);
        meter.count(1, Verdict::Bad(Cause::Late));
        meter.count(2, Verdict::Bad(Cause::Fault(Fault::BetweenBytesTimeout)));
        let read = meters.promises();
        let causes = [(Cause::Late, 1), (Cause::Fault(Fault::BetweenBytesTimeout), 1)];
        assert_eq!((read.len(), read[0].good, &read[0].bad[..]), (1, 1, &causes[..]));
        meter.count(0, Verdict::Good);
        drop(meter);
        let last = meters.promises();
        assert_eq!((last.len(), last[0].id, last[0].good), (1, read[0].id, 2));
        assert!(meters.promises().is_empty());
        let again = meters.promise(&audience, &label, Arm::Stable);
        assert_ne!(meters.promises()[0].id, last[0].id, "it begins at 0, as another");
        drop(again);
    }

    #[test]
    fn every_cause_has_a_place_and_a_name_of_its_own() {
        let slots: std::collections::BTreeSet<usize> = Cause::all().map(Cause::slot).collect();
        let names: std::collections::BTreeSet<&str> = Cause::all().map(Cause::name).collect();
        assert_eq!((slots.len(), names.len()), (SLOTS - 1, SLOTS - 1));
        assert_eq!(slots.last(), Some(&(SLOTS - 1)));
    }
}
