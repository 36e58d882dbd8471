//! The meters of requests.
//!
//! An [`ExchangeMeter`] counts for one (audience, pool, arm). What is rendered with fewer labels
//! lies in meters of its own that several of them share: when an audience moves to another pool,
//! its histograms go on instead of falling back, which Prometheus would take for a restart.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use http::StatusCode;

use crate::fault::{Blame, Fault, Outcome};

use super::{cells::Cells, edges::Edges, histogram::Histogram, status};

/// Counts the requests of one audience that go to one pool on one arm.
pub struct ExchangeMeter {
    pub(super) audience: Arc<AudienceMeter>,
    answers: Arc<AnswerMeter>,
    place: Arc<PlaceMeter>,
    /// By status and outcome.
    requests: Cells,
}

/// What is known of a request at its end.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// The status of its answer; none when it got none.
    pub status: Option<StatusCode>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why the monolith did not serve it as asked.
    pub fault: Option<Fault>,
    /// Request read whole to the answer's head. Only for answers of the monolith.
    pub first_byte: Option<Duration>,
    /// Head read to last byte handed to the connection. Only for answers of the monolith.
    pub duration: Option<Duration>,
}

/// Why a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TunnelEnd {
    /// One side said that it was done.
    Closed,
    /// One side's connection broke.
    Broke,
    /// Neither side said anything for too long.
    Idle,
    /// One side took nothing for too long.
    Stalled,
    /// usher is stopping, and has closed it as it should.
    Drained,
    /// usher is stopping, and its time was over.
    Cut,
}

/// What is rendered by audience alone.
pub(super) struct AudienceMeter(Cells);

/// What is rendered by audience and arm.
pub(super) struct AnswerMeter {
    pub(super) first_byte: Histogram,
    pub(super) duration: Histogram,
}

/// What is rendered by audience and pool.
pub(super) struct PlaceMeter {
    pub(super) queue_wait: Histogram,
    faults: Cells,
    /// One bit for each fault that is rendered even at 0.
    possible: AtomicU64,
}

const _: () = assert!(Fault::ALL.len() <= 64, "the possible faults are bits of one word");

const BLAMES: [Blame; 3] = [Blame::Client, Blame::Usher, Blame::Upstream];

/// The slots of an [`AudienceMeter`].
const IN_FLIGHT: usize = 0;
const TUNNELS: usize = 1;
const FIELDS_DROPPED: usize = 2;
const VISITORS_TOLD: usize = 3;
const TUNNELS_CLOSED: usize = 4;

// === impl ExchangeMeter ===

impl ExchangeMeter {
    pub(super) fn new(
        rows: usize,
        audience: Arc<AudienceMeter>,
        answers: Arc<AnswerMeter>,
        place: Arc<PlaceMeter>,
    ) -> Self {
        Self { audience, answers, place, requests: Cells::new(rows, status::SLOTS) }
    }

    /// A request has begun. It is settled on the same meter.
    #[inline]
    pub fn open(&self, worker: usize) {
        self.audience.0.add(worker, IN_FLIGHT, 1);
    }

    /// A request that was opened here is another audience's after all, and opened there.
    pub fn leave(&self, worker: usize) {
        self.audience.0.take(worker, IN_FLIGHT);
    }

    /// Fields of a request were dropped because of a `_` in their names.
    pub fn fields_dropped(&self, worker: usize, count: u64) {
        self.audience.0.add(worker, FIELDS_DROPPED, count);
    }

    /// A visitor was told in a cookie by what it is known again.
    pub fn visitor_told(&self, worker: usize) {
        self.audience.0.add(worker, VISITORS_TOLD, 1);
    }

    /// A lease was granted or a wait refused after `wait`, 0 included.
    #[inline]
    pub fn waited(&self, worker: usize, wait: Duration) {
        self.place.queue_wait.record(worker, wait);
    }

    /// A request that was opened has ended.
    #[inline]
    pub fn settle(&self, worker: usize, settled: &Settled) {
        self.audience.0.take(worker, IN_FLIGHT);
        self.requests.add(worker, status::slot(settled.status, settled.outcome), 1);
        if let Some(fault) = settled.fault {
            self.place.faults.add(worker, fault as usize, 1);
        }
        if let Some(first_byte) = settled.first_byte {
            self.answers.first_byte.record(worker, first_byte);
        }
        if let Some(duration) = settled.duration {
            self.answers.duration.record(worker, duration);
        }
    }

    /// A request has become a tunnel. Its owner holds this meter until it has ended.
    pub fn tunnel_opened(&self, worker: usize) {
        self.audience.0.add(worker, TUNNELS, 1);
    }

    /// A tunnel that was opened on this meter has ended.
    pub fn tunnel_closed(&self, worker: usize, reason: TunnelEnd, blame: Blame) {
        self.audience.0.take(worker, TUNNELS);
        let slot = reason as usize * BLAMES.len() + blame as usize;
        self.audience.0.add(worker, TUNNELS_CLOSED + slot, 1);
    }

    /// How many requests ended with each status label and outcome; a 200 that was served is
    /// among them even at 0.
    pub(super) fn requests(&self) -> impl Iterator<Item = (String, Outcome, u64)> {
        let first = status::slot(Some(StatusCode::OK), Outcome::Served);
        let counts = (0..status::SLOTS).map(|slot| (slot, self.requests.sum(slot)));
        counts.filter(move |(slot, count)| *count > 0 || *slot == first).map(|(slot, count)| {
            let (status, outcome) = status::labels(slot);
            (status, outcome, count)
        })
    }

    /// How many requests ended in each way, in the order of [`Outcome::ALL`].
    pub(super) fn outcomes(&self) -> [u64; Outcome::ALL.len()] {
        let mut outcomes = [0; Outcome::ALL.len()];
        for slot in 0..status::SLOTS {
            outcomes[slot % Outcome::ALL.len()] += self.requests.sum(slot);
        }
        outcomes
    }

    /// How many requests failed or were answered with a known status of 500 or above.
    pub(super) fn bad(&self) -> u64 {
        let bad = (0..status::SLOTS).filter(|slot| status::is_bad(*slot));
        bad.map(|slot| self.requests.sum(slot)).sum()
    }
}

impl std::fmt::Debug for ExchangeMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ExchangeMeter")
    }
}

// === impl TunnelEnd ===

impl TunnelEnd {
    /// Every reason there is.
    pub const ALL: [TunnelEnd; 6] = [
        TunnelEnd::Closed,
        TunnelEnd::Broke,
        TunnelEnd::Idle,
        TunnelEnd::Stalled,
        TunnelEnd::Drained,
        TunnelEnd::Cut,
    ];

    /// The word used in log and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            TunnelEnd::Closed => "closed",
            TunnelEnd::Broke => "broke",
            TunnelEnd::Idle => "idle",
            TunnelEnd::Stalled => "stalled",
            TunnelEnd::Drained => "drained",
            TunnelEnd::Cut => "cut",
        }
    }
}

// === impl AudienceMeter ===

impl AudienceMeter {
    pub(super) fn new(rows: usize) -> Self {
        Self(Cells::new(rows, TUNNELS_CLOSED + TunnelEnd::ALL.len() * BLAMES.len()))
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.0.gauge(IN_FLIGHT)
    }

    pub(super) fn tunnels(&self) -> u64 {
        self.0.gauge(TUNNELS)
    }

    pub(super) fn fields_dropped(&self) -> u64 {
        self.0.sum(FIELDS_DROPPED)
    }

    pub(super) fn visitors_told(&self) -> u64 {
        self.0.sum(VISITORS_TOLD)
    }

    /// How many tunnels ended for each reason and by whose doing, where there are any.
    pub(super) fn tunnels_closed(&self) -> impl Iterator<Item = (TunnelEnd, Blame, u64)> {
        let pairs = TunnelEnd::ALL.into_iter().flat_map(|end| BLAMES.map(|blame| (end, blame)));
        let counts = pairs
            .enumerate()
            .map(|(slot, (end, blame))| (end, blame, self.0.sum(TUNNELS_CLOSED + slot)));
        counts.filter(|(_, _, count)| *count > 0)
    }
}

// === impl AnswerMeter ===

impl AnswerMeter {
    pub(super) fn new(rows: usize, edges: Arc<Edges>) -> Self {
        let first_byte = Histogram::new(rows, Arc::clone(&edges));
        Self { first_byte, duration: Histogram::new(rows, edges) }
    }
}

// === impl PlaceMeter ===

impl PlaceMeter {
    pub(super) fn new(rows: usize, edges: Arc<Edges>) -> Self {
        Self {
            queue_wait: Histogram::new(rows, edges),
            faults: Cells::new(rows, Fault::ALL.len()),
            possible: AtomicU64::new(0),
        }
    }

    /// Has `faults` rendered from now on, at 0 until they occur.
    pub(super) fn expect(&self, faults: &[Fault]) {
        let bits = faults.iter().fold(0, |bits, fault| bits | 1 << *fault as u64);
        self.possible.fetch_or(bits, Relaxed);
    }

    /// How often each fault occurred, where it did or can.
    pub(super) fn faults(&self) -> impl Iterator<Item = (Fault, u64)> {
        let possible = self.possible.load(Relaxed);
        let counts = Fault::ALL.iter().map(|fault| (*fault, self.faults.sum(*fault as usize)));
        counts.filter(move |(fault, count)| *count > 0 || possible >> *fault as u64 & 1 == 1)
    }
}
