//! What is remembered of requests that have ended, for whoever has a request's id and a question.
//!
//! ```text
//! worker 0 ─ settle ─▶ shelf 0: [ went well ][ went wrong ] ┐
//! worker 1 ─ settle ─▶ shelf 1: [ went well ][ went wrong ] ├─ `usher why ID` looks through all
//! ```
//!
//! A worker writes to its own shelf, whose lock nobody else takes but a reader, for a few entries
//! at a time. An entry is a copy of fixed size: what a snapshot knows is held by a count of
//! references that belongs to the worker, and looked up when somebody asks. What went wrong has
//! places of its own, so that it is still there when thousands of requests have gone well since.
//!
//! Invariant: memory is bounded by the number of entries, whatever clients send and however often
//! the configuration changes.

mod brief;
mod shelf;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{Method, StatusCode};
use parking_lot::Mutex;

use crate::{
    classify::Operation,
    fault::{Fault, Outcome},
    peer::Client,
    snapshot::Told,
};

pub use brief::Brief;
use shelf::Shelf;

/// The most attempts that are told apart; there are never more of one request but its replays.
pub const TRIES_MAX: usize = 4;

/// Bytes of an entry, at most; what a request asked for is beside it.
pub const ENTRY_BYTES_MAX: usize = 264;

/// How many entries a reader looks at before it lets the worker go on.
const READ_AT_ONCE: usize = 256;

/// What all workers remember.
#[derive(Debug)]
pub struct Memory(Box<[crossbeam_utils::CachePadded<Mutex<Shelf>>]>);

/// A request that has ended.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// Its id.
    pub request_id: Brief<40>,
    /// Its path, without the query.
    pub path: Brief<56>,
    /// Its method, where it got so far.
    pub method: Brief<8>,
    /// What it asked for, where a rule wanted to know; shared with the request, and of bounded
    /// length.
    pub operation: Option<Arc<Operation>>,
    /// What the snapshot that decided it calls its audience, pool and rules.
    pub told: Arc<Told>,
    /// The rule that took it; `None` for the catch-all.
    pub rule: Option<u32>,
    /// When it ended.
    pub at: SystemTime,
    /// Who asked.
    pub client: Client,
    /// The status of its answer; `None` when there was none.
    pub status: Option<StatusCode>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why the monolith did not serve it as asked.
    pub fault: Option<Fault>,
    /// Bytes of its body.
    pub bytes_in: u64,
    /// Bytes of its answer's body.
    pub bytes_out: u64,
    /// How long what took.
    pub times: Times,
    /// Its attempts.
    pub tries: Tries,
    /// Whether it went to the pool that its audience falls back to.
    pub away: bool,
}

/// How long what took. What did not happen took no time at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// Held back because an operator had paused it.
    pub paused: Short,
    /// Waiting for slots.
    pub queue: Short,
    /// Connecting to endpoints.
    pub connect: Short,
    /// Request read whole to the answer's head.
    pub first_byte: Short,
    /// Holding slots.
    pub upstream: Short,
    /// Head read to the end.
    pub total: Short,
}

/// A time as microseconds, at most 71 minutes; or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Short(Option<std::num::NonZeroU32>);

/// The attempts of one request, in order.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tries {
    tries: [Try; TRIES_MAX],
    count: u8,
}

/// One attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Try {
    /// The number of the endpoint.
    pub endpoint: u32,
    /// How it ended.
    pub ended: Ended,
    /// Whether it was sent again on a new connection, because a reused one had died.
    pub replayed: bool,
    /// How long it held its slot.
    pub took: Short,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ended {
    /// It was still under way when the request ended.
    #[default]
    Open,
    /// With the head of an answer.
    Answered,
    /// No connection could be made; the endpoint has seen nothing.
    Unconnected,
    /// With this fault.
    Fault(Fault),
}

/// How far back it is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Every request that went well and ended since then; `None`: all of them since the start.
    pub well: Option<SystemTime>,
    /// The same for those that went wrong.
    pub wrong: Option<SystemTime>,
}

const _: () = assert!(size_of::<Remembered>() <= ENTRY_BYTES_MAX);

// === impl Memory ===

impl Memory {
    /// Room for `requests` over `workers` workers; none for 0.
    pub fn new(workers: usize, requests: usize) -> Self {
        let each = requests.div_ceil(workers.max(1));
        let shelves = if requests == 0 { 0 } else { workers };
        Self((0..shelves).map(|_| Mutex::new(Shelf::new(each)).into()).collect())
    }

    /// Whether anything is remembered; if not, no entry need be made.
    pub fn is_on(&self) -> bool {
        !self.0.is_empty()
    }

    /// Remembers `request`, which ended on `worker`.
    #[inline(always)]
    pub fn keep(&self, worker: usize, request: Remembered) {
        if let Some(shelf) = self.0.get(worker) {
            shelf.lock().keep(request);
        }
    }

    /// The requests with this id, the one that ended last first.
    pub fn find(&self, request_id: &str) -> Vec<Remembered> {
        let wanted = Brief::of(request_id.as_bytes());
        let mut found = Vec::new();
        for shelf in &self.0 {
            let mut from = 0;
            loop {
                let shelf = shelf.lock();
                let entries = shelf.entries(from, READ_AT_ONCE);
                found.extend(entries.filter(|it| it.request_id == wanted).cloned());
                from += READ_AT_ONCE;
                if from >= shelf.len() {
                    break;
                }
            }
        }
        found.sort_by_key(|it| std::cmp::Reverse(it.at));
        found
    }

    /// How far back it reaches, over all workers.
    pub fn reach(&self) -> Reach {
        let reaches = self.0.iter().map(|shelf| shelf.lock().reach());
        reaches.fold(Reach { well: None, wrong: None }, |one, other| Reach {
            well: one.well.max(other.well),
            wrong: one.wrong.max(other.wrong),
        })
    }
}

// === impl Remembered ===

impl Remembered {
    /// Whether somebody may come to ask why.
    fn went_wrong(&self) -> bool {
        self.fault.is_some() || self.status.is_some_and(|status| status.is_server_error())
    }
}

// === impl Short ===

impl Short {
    /// The time, when there was one.
    pub fn get(self) -> Option<Duration> {
        self.0.map(|micros| Duration::from_micros(u64::from(micros.get() - 1)))
    }
}

impl From<Option<Duration>> for Short {
    fn from(time: Option<Duration>) -> Self {
        let micros = time.map(|time| u32::try_from(time.as_micros()).unwrap_or(u32::MAX));
        Self(micros.and_then(|micros| std::num::NonZeroU32::new(micros.saturating_add(1))))
    }
}

// === impl Tries ===

impl Tries {
    /// Another attempt begins, at `endpoint`. Beyond the last place, the last one is forgotten.
    pub fn begin(&mut self, endpoint: u32) {
        let at = usize::from(self.count).min(TRIES_MAX - 1);
        self.tries[at] = Try { endpoint, ..Try::default() };
        self.count = (at + 1) as u8;
    }

    /// The attempt under way has ended. One that had ended before stays as it was: a request may
    /// find no endpoint for another one.
    pub fn end(&mut self, ended: Ended) {
        self.current(|it| it.ended = if it.ended == Ended::Open { ended } else { it.ended });
    }

    /// The attempt under way is sent again on a new connection.
    pub fn replay(&mut self) {
        self.current(|it| it.replayed = true);
    }

    /// The attempt under way has held its slot for so long.
    pub fn took(&mut self, time: Duration) {
        self.current(|it| it.took = Some(time).into());
    }

    /// All of them, in order.
    pub fn all(&self) -> &[Try] {
        &self.tries[..usize::from(self.count)]
    }

    fn current(&mut self, change: impl FnOnce(&mut Try)) {
        if let Some(at) = usize::from(self.count).checked_sub(1) {
            change(&mut self.tries[at]);
        }
    }
}

// === free functions ===

/// A method as it is kept.
pub fn brief_method(method: Option<&Method>) -> Brief<8> {
    Brief::of(method.map_or("", Method::as_str).as_bytes())
}

#[cfg(test)]
mod tests;
