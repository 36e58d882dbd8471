//! Whether an endpoint takes requests, and why not.
//!
//! Two things speak about it, each a pure state machine: what became of requests ([`Ejection`]),
//! and what checks say ([`Checked`]). It belongs to the endpoint and not to a pool, so that pools
//! that share an address share what is known of it; how much evidence is enough is the pool's to
//! say.
//!
//! Reading it costs one relaxed load of a word that is written when something changes; counting a
//! good answer costs a store into memory of the worker alone.

mod check;
mod checked;
mod court;
mod ejection;
mod evidence;
mod journal;
mod window;

use std::{
    sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed},
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use crate::{
    config,
    meters::{Cells, EndpointEvent as What},
};

pub use check::{Complaint, check};
pub use court::{Seat, grants};
pub use evidence::{Cause, Evidence};
pub use journal::{Event, Journal};
pub use window::Totals;

use super::kept::Kept;

use checked::Checked;
use ejection::Ejection;
use window::Window;

/// Bits of [`Health::ailments`].
const EJECTED: u8 = 1;
const DOWN: u8 = 2;

/// Counters of a worker's row.
const GOOD: usize = 0;
const FAILED: usize = 1;
const COUNTERS: usize = 2;

/// Whether an endpoint takes requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// It does.
    Up,
    /// Not for a while: requests went wrong.
    Ejected,
    /// Not until checks pass.
    Down,
}

/// What is known of one endpoint.
pub struct Health {
    /// Nothing when it takes requests. Written only when that changes.
    ailments: AtomicU8,
    /// Whether a good answer would change anything in `record`.
    remembers: AtomicBool,
    counts: Cells,
    record: Mutex<Record>,
}

#[derive(Debug)]
struct Record {
    ejection: Ejection,
    checked: Checked,
    window: Window,
    /// Since when it stands as it does.
    since: SystemTime,
    /// Why it stands as it does; nothing of one that always was well.
    reason: Option<String>,
    /// What is wrong according to the last check; nothing when it passed or there was none.
    complaint: Option<String>,
}

/// Health for people.
#[derive(Clone, Debug)]
pub struct Report {
    /// How it stands.
    pub standing: Standing,
    /// Since when.
    pub since: SystemTime,
    /// Why.
    pub reason: Option<String>,
    /// What is wrong according to the last check.
    pub complaint: Option<String>,
    /// For how long it stays ejected.
    pub returns_in: Option<Duration>,
    /// Requests of the last while.
    pub lately: Totals,
}

// === impl Standing ===

impl Standing {
    /// The word used in API and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Standing::Up => "up",
            Standing::Ejected => "ejected",
            Standing::Down => "down",
        }
    }
}

// === impl Health ===

impl Health {
    /// Of an endpoint that `rows` threads count at.
    pub fn new(rows: usize) -> Self {
        let record = Record {
            ejection: Ejection::default(),
            checked: Checked::default(),
            window: Window::default(),
            since: SystemTime::now(),
            reason: None,
            complaint: None,
        };
        Self {
            ailments: AtomicU8::new(0),
            remembers: AtomicBool::new(false),
            counts: Cells::new(rows, COUNTERS),
            record: Mutex::new(record),
        }
    }

    /// Whether it takes requests.
    #[inline]
    pub fn is_well(&self) -> bool {
        self.ailments.load(Relaxed) == 0
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        let ailments = self.ailments.load(Relaxed);
        if ailments & DOWN != 0 {
            Standing::Down
        } else if ailments & EJECTED != 0 {
            Standing::Ejected
        } else {
            Standing::Up
        }
    }

    /// A request was answered well; true when that ends an ejection.
    #[inline]
    pub fn answered(&self, row: usize) -> bool {
        self.counts.add(row, GOOD, 1);
        self.remembers.load(Relaxed) && self.remember_answer(Instant::now())
    }

    fn remember_answer(&self, now: Instant) -> bool {
        let mut record = self.record.lock();
        let returned = record.ejection.answered(now);
        if returned {
            record.now("it answered while it was ejected".to_owned());
        }
        self.publish(&record);
        returned
    }

    /// A request went wrong; a cause when that is reason enough to eject. `others` counts the
    /// requests of all others, and takes no lock.
    pub fn failed(
        &self,
        row: usize,
        evidence: Evidence,
        policy: &config::Ejection,
        others: impl FnOnce() -> Totals,
    ) -> Option<Cause> {
        self.counts.add(row, FAILED, 1);
        let mut record = self.record.lock();
        let cause = record.ejection.failed(evidence, policy, others);
        self.publish(&record);
        cause
    }

    /// A request went wrong where nothing is ever ejected.
    pub fn failed_without_consequence(&self, row: usize) {
        self.counts.add(row, FAILED, 1);
    }

    /// How it fares, for a decision about another one of its pool.
    pub fn seat(&self) -> Seat {
        let totals = self.totals();
        let record = self.record.lock();
        Seat {
            well: self.is_well(),
            ejected: record.ejection.is_ejected(),
            lately: record.window.lately(totals),
        }
    }

    /// Ejects it, unless somebody else just has; returns for how long.
    pub fn eject(
        &self,
        now: Instant,
        cause: Cause,
        policy: &config::Ejection,
        others: Totals,
    ) -> Option<Duration> {
        let totals = self.totals();
        let mut record = self.record.lock();
        if record.ejection.is_ejected() {
            return None;
        }
        let hold = record.ejection.eject(now, cause, policy, others);
        record.window.restart(now, totals);
        record.now(cause.to_string());
        self.publish(&record);
        Some(hold)
    }

    /// Time has gone by: samples what was counted. True when it is ejected no longer.
    pub fn pass(&self, now: Instant, window: Duration) -> bool {
        let totals = self.totals();
        let mut record = self.record.lock();
        record.window.sample(now, totals, window);
        let returned = record.ejection.pass(now);
        if returned {
            record.window.restart(now, totals);
            record.now("its time was over".to_owned());
        }
        self.publish(&record);
        returned
    }

    /// A check has had an answer and passed, or has not; what follows from that.
    pub fn checked(
        &self,
        passed: bool,
        why: &str,
        policy: &config::Health,
    ) -> Option<(What, String)> {
        let mut record = self.record.lock();
        record.complaint = (!passed).then(|| why.to_owned());
        let verdict = record.checked.note(passed, policy);
        if cfg!(debug_assertions) {
            record.checked.check_invariants(policy);
        }
        let change = match verdict {
            Some(true) => Some((What::Up, format!("{} checks in a row passed", policy.rise))),
            Some(false) => Some((What::Down, format!("checks fail: {why}"))),
            None if passed && !record.checked.is_down() && record.ejection.refuted() => {
                Some((What::Returned, "a check had an answer".to_owned()))
            }
            None => None,
        };
        if let Some((_, reason)) = &change {
            record.now(reason.clone());
        }
        self.publish(&record);
        change
    }

    /// No pool checks it any more: what checks said does not count. True when it was down.
    pub fn unchecked(&self) -> bool {
        let mut record = self.record.lock();
        let was_down = record.checked.is_down();
        record.checked = Checked::default();
        record.complaint = None;
        if was_down {
            record.now("it is not checked any more".to_owned());
        }
        self.publish(&record);
        was_down
    }

    /// What became of the requests of all others, which are `others` now, since this one began to
    /// fail.
    pub fn others_since(&self, others: Totals) -> Totals {
        self.record.lock().ejection.others_since(others)
    }

    /// Requests so far.
    pub fn totals(&self) -> Totals {
        Totals { good: self.counts.sum(GOOD), failed: self.counts.sum(FAILED) }
    }

    /// Requests of the last while.
    pub fn lately(&self) -> Totals {
        let totals = self.totals();
        self.record.lock().window.lately(totals)
    }

    /// For people.
    pub fn report(&self) -> Report {
        let totals = self.totals();
        let record = self.record.lock();
        let ejected = record.ejection.ejected();
        Report {
            standing: self.standing(),
            since: record.since,
            reason: record.reason.clone(),
            complaint: record.complaint.clone(),
            returns_in: ejected.map(|until| until.saturating_duration_since(Instant::now())),
            lately: record.window.lately(totals),
        }
    }

    /// Tells another process, at `now`.
    pub fn keep(&self, now: Instant, kept: &mut Kept) {
        let record = self.record.lock();
        record.ejection.keep(now, kept);
        record.checked.keep(kept);
        let since = record.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        kept.since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        kept.reason.clone_from(&record.reason);
        kept.complaint.clone_from(&record.complaint);
    }

    /// Takes over what another process has told, at `now`; what checks said of it only where it is
    /// checked here as well.
    pub fn take_over(&self, kept: &Kept, is_checked: bool, now: Instant) {
        let mut record = self.record.lock();
        record.ejection = Ejection::of(kept, now);
        record.since = kept.since();
        record.reason.clone_from(&kept.reason);
        if is_checked {
            record.checked = Checked::of(kept);
            record.complaint.clone_from(&kept.complaint);
        } else if kept.up == Some(false) {
            record.now("it is not checked any more".to_owned());
        }
        self.publish(&record);
    }

    /// Makes what the record says readable without its lock, which the caller holds.
    fn publish(&self, record: &Record) {
        if cfg!(debug_assertions) {
            record.ejection.check_invariants();
            record.window.check_invariants();
        }
        let ejected = if record.ejection.is_ejected() { EJECTED } else { 0 };
        let down = if record.checked.is_down() { DOWN } else { 0 };
        let ailments = ejected | down;
        if self.ailments.load(Relaxed) != ailments {
            self.ailments.store(ailments, Relaxed);
        }
        let remembers = record.ejection.has_memory();
        if self.remembers.load(Relaxed) != remembers {
            self.remembers.store(remembers, Relaxed);
        }
    }
}

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("standing", &self.standing()).finish_non_exhaustive()
    }
}

// === impl Record ===

impl Record {
    fn now(&mut self, reason: String) {
        self.since = SystemTime::now();
        self.reason = Some(reason);
    }
}

#[cfg(test)]
mod tests;
