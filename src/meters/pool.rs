//! The meters of leases and retries.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::{cells::Cells, edges::Edges, histogram::Histogram, slots::SlotClock};

/// Counts the leases of one pool on one arm.
pub struct PoolMeter {
    leases: Arc<LeaseMeter>,
    pub(super) upstream: Histogram,
}

/// Why a request is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// No connection could be made; nothing was sent.
    ConnectFailed,
    /// A reused connection died before any byte of an answer, and sending again is safe.
    Replayed,
    /// A new connection ended before any byte of an answer, and sending again is safe.
    Broken,
    /// The answer did not begin in time, and sending again is safe.
    FirstByteTimeout,
    /// The monolith answered with a status that asks for it, and sending again is safe.
    Status,
}

/// The counter behind those of [`Retry`].
const REFUSED: usize = Retry::ALL.len();

/// What can happen to an endpoint of a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointEvent {
    /// It gets no requests for a while: those that it got went wrong.
    Ejected,
    /// It gets requests again after an ejection.
    Returned,
    /// Checks found it unusable.
    Down,
    /// Checks found it usable again.
    Up,
    /// Discovery found it.
    Added,
    /// Discovery does not find it any more: it finishes what it has.
    Removed,
}

/// How a TLS handshake with an endpoint ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretEnd {
    /// Whole.
    Full,
    /// With the session of an earlier one.
    Resumed,
    /// Not well: one side does not believe the other, or speaks no TLS.
    Failed,
}

/// What is rendered by pool alone.
pub(super) struct LeaseMeter {
    origin: Instant,
    clocks: Box<[SlotClock]>,
    /// The most that was ever read: a coarse clock must not make a counter fall.
    slot_us_read: AtomicU64,
    retries: Cells,
    events: Cells,
    handshakes: Cells,
    orphans: Cells,
}

// === impl PoolMeter ===

impl PoolMeter {
    pub(super) fn new(rows: usize, edges: Arc<Edges>, leases: Arc<LeaseMeter>) -> Self {
        Self { leases, upstream: Histogram::new(rows, edges) }
    }

    /// A lease has been taken at `at`.
    #[inline]
    pub fn lease_taken(&self, worker: usize, at: Instant) {
        self.leases.clocks[worker].take(self.leases.since_origin_us(at));
    }

    /// A lease of `worker` has come back at `at`, `took` after it was taken.
    #[inline]
    pub fn lease_returned(&self, worker: usize, took: Duration, at: Instant) {
        self.leases.clocks[worker].give_back(self.leases.since_origin_us(at));
        self.upstream.record(worker, took);
    }

    /// The request of a lease has gone; the lease stays until it is returned.
    pub fn lease_orphaned(&self, worker: usize) {
        self.leases.orphans.add(worker, 0, 1);
    }

    /// An orphaned lease is about to be returned.
    pub fn orphan_ended(&self, worker: usize) {
        self.leases.orphans.take(worker, 0);
    }

    /// Leases that are out, orphaned ones included.
    pub fn leases(&self) -> u64 {
        self.leases.clocks.iter().map(SlotClock::held).sum()
    }

    /// Leases whose request has gone.
    pub fn orphans(&self) -> u64 {
        self.leases.orphans.gauge(0)
    }

    /// A request is tried again because of `reason`.
    pub fn retried(&self, worker: usize, reason: Retry) {
        self.leases.retries.add(worker, reason as usize, 1);
    }

    /// A TLS handshake with an endpoint has ended.
    pub fn shook_hands(&self, worker: usize, end: SecretEnd) {
        self.leases.handshakes.add(worker, end as usize, 1);
    }

    /// A retry was wanted, and the budget was used up.
    pub fn retry_refused(&self, worker: usize) {
        self.leases.retries.add(worker, REFUSED, 1);
    }

    /// Something has happened to an endpoint; `worker` is who counts it.
    pub fn happened(&self, worker: usize, event: EndpointEvent) {
        self.leases.events.add(worker, event as usize, 1);
    }
}

impl std::fmt::Debug for PoolMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PoolMeter")
    }
}

// === impl Retry ===

impl Retry {
    /// Every reason there is.
    pub const ALL: [Retry; 5] = [
        Retry::ConnectFailed,
        Retry::Replayed,
        Retry::Broken,
        Retry::FirstByteTimeout,
        Retry::Status,
    ];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Retry::ConnectFailed => "connect_failed",
            Retry::Replayed => "replayed",
            Retry::Broken => "broken",
            Retry::FirstByteTimeout => "first_byte_timeout",
            Retry::Status => "status",
        }
    }
}

// === impl SecretEnd ===

impl SecretEnd {
    /// Every end there is.
    pub const ALL: [SecretEnd; 3] = [SecretEnd::Full, SecretEnd::Resumed, SecretEnd::Failed];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            SecretEnd::Full => "full",
            SecretEnd::Resumed => "resumed",
            SecretEnd::Failed => "failed",
        }
    }
}

// === impl EndpointEvent ===

impl EndpointEvent {
    /// Everything that can happen.
    pub const ALL: [EndpointEvent; 6] = [
        EndpointEvent::Ejected,
        EndpointEvent::Returned,
        EndpointEvent::Down,
        EndpointEvent::Up,
        EndpointEvent::Added,
        EndpointEvent::Removed,
    ];

    /// The word used in log, API and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            EndpointEvent::Ejected => "ejected",
            EndpointEvent::Returned => "returned",
            EndpointEvent::Down => "down",
            EndpointEvent::Up => "up",
            EndpointEvent::Added => "added",
            EndpointEvent::Removed => "removed",
        }
    }
}

// === impl LeaseMeter ===

impl LeaseMeter {
    pub(super) fn new(rows: usize, origin: Instant) -> Self {
        Self {
            origin,
            clocks: (0..rows).map(|_| SlotClock::default()).collect(),
            slot_us_read: AtomicU64::new(0),
            retries: Cells::new(rows, Retry::ALL.len() + 1),
            events: Cells::new(rows, EndpointEvent::ALL.len()),
            handshakes: Cells::new(rows, SecretEnd::ALL.len()),
            orphans: Cells::new(rows, 1),
        }
    }

    /// Slot-seconds until `now`, leases that still run included.
    pub(super) fn slot_seconds(&self, now: Instant) -> f64 {
        let now_us = self.since_origin_us(now);
        let slot_us = self.clocks.iter().map(|clock| clock.slot_us(now_us)).sum();
        let before = self.slot_us_read.fetch_max(slot_us, Relaxed);
        slot_us.max(before) as f64 / 1e6
    }

    pub(super) fn retries_refused(&self) -> u64 {
        self.retries.sum(REFUSED)
    }

    pub(super) fn retries(&self) -> impl Iterator<Item = (Retry, u64)> {
        Retry::ALL.into_iter().map(|reason| (reason, self.retries.sum(reason as usize)))
    }

    pub(super) fn events(&self) -> impl Iterator<Item = (EndpointEvent, u64)> {
        EndpointEvent::ALL.into_iter().map(|event| (event, self.events.sum(event as usize)))
    }

    pub(super) fn handshakes(&self) -> [(&'static str, u64); SecretEnd::ALL.len()] {
        SecretEnd::ALL.map(|end| (end.name(), self.handshakes.sum(end as usize)))
    }

    /// Microseconds, because nanoseconds × slots would soon not fit.
    fn since_origin_us(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        since.as_secs().saturating_mul(1_000_000).saturating_add(u64::from(since.subsec_micros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn slot_seconds_are_the_integral_of_leases_over_all_workers() {
        let origin = Instant::now();
        let leases = Arc::new(LeaseMeter::new(3, origin));
        let pool = PoolMeter::new(3, Arc::new(Edges::with(&[])), Arc::clone(&leases));
        pool.lease_taken(0, origin);
        pool.lease_taken(1, origin + SECOND);
        assert_eq!(leases.slot_seconds(origin + 2 * SECOND), 2.0 + 1.0);
        pool.lease_returned(1, 2 * SECOND, origin + 3 * SECOND);
        assert_eq!(leases.slot_seconds(origin + 10 * SECOND), 10.0 + 2.0);
        pool.lease_returned(0, 10 * SECOND, origin + 10 * SECOND);
        let read = pool.upstream.read();
        assert_eq!((read.count(), read.sum_seconds()), (2, 12.0));
    }

    #[test]
    fn slot_seconds_never_fall_when_a_lease_ended_before_it_was_said() {
        let origin = Instant::now();
        let leases = Arc::new(LeaseMeter::new(1, origin));
        let pool = PoolMeter::new(1, Arc::new(Edges::with(&[])), Arc::clone(&leases));
        pool.lease_taken(0, origin);
        assert_eq!(leases.slot_seconds(origin + 5 * SECOND), 5.0);
        pool.lease_returned(0, 4 * SECOND, origin + 4 * SECOND);
        assert_eq!(leases.slot_seconds(origin + 6 * SECOND), 5.0);
    }
}
