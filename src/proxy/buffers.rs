//! How much memory bodies occupy while usher keeps them, over the whole process, and its ceiling.
//!
//! Two kinds of bodies are kept: requests that are gathered before an endpoint is asked, and
//! answers that are read ahead of their clients. A body that only passes counts nothing.
//!
//! Whoever wants to keep more looks whether there is room, reads, and says what it has kept. A
//! worker does one after the other, so that the ceiling is exceeded by at most one read of each.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::allowance;

/// The part of the memory that the process may have which bodies may occupy, and its bounds.
const PART_OF_ALL: u64 = 4;
const AUTO_BYTES_MIN: u64 = 32 << 20;
const AUTO_BYTES_MAX: u64 = 1 << 30;

/// How long a shortage is worth telling about.
const RECENT: Duration = Duration::from_secs(60);

/// What is kept now.
#[derive(Debug, Default)]
pub struct Buffers {
    bytes: AtomicU64,
    shortages: [AtomicU64; Kind::ALL.len()],
    /// When there was one; locked only then.
    latest: Mutex<Option<Instant>>,
}

/// What is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A request that is gathered.
    Request,
    /// An answer that is read ahead.
    Answer,
}

/// What one body occupies. Dropping it gives that back.
#[derive(Debug)]
pub struct Share {
    bytes: u64,
    kind: Kind,
    /// The most that all may occupy for this one to be given more.
    ceiling: u64,
    short: bool,
    of: Arc<Buffers>,
}

// === impl Buffers ===

impl Buffers {
    /// The ceiling where none was written.
    pub fn auto_bytes() -> u64 {
        (allowance::memory_bytes() / PART_OF_ALL).clamp(AUTO_BYTES_MIN, AUTO_BYTES_MAX)
    }

    /// A share of nothing yet, which may grow while all are below `ceiling`.
    pub fn share(self: &Arc<Self>, kind: Kind, ceiling: u64) -> Share {
        Share { bytes: 0, kind, ceiling, short: false, of: self.clone() }
    }

    /// How much is kept, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// How many bodies have met the ceiling, by what they were.
    pub fn shortages(&self) -> [(&'static str, u64); Kind::ALL.len()] {
        Kind::ALL.map(|kind| (kind.name(), self.shortages[kind as usize].load(Relaxed)))
    }

    /// Whether a body has met the ceiling within the last minute.
    pub fn was_short_lately(&self) -> bool {
        self.latest.lock().is_some_and(|at| at.elapsed() < RECENT)
    }

    fn short(&self, kind: Kind) {
        self.shortages[kind as usize].fetch_add(1, Relaxed);
        *self.latest.lock() = Some(Instant::now());
    }
}

// === impl Kind ===

impl Kind {
    /// Every kind there is.
    pub const ALL: [Kind; 2] = [Kind::Request, Kind::Answer];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Request => "request",
            Kind::Answer => "answer",
        }
    }
}

// === impl Share ===

impl Share {
    /// Whether more may be kept. The first time that it may not is counted.
    pub fn may_grow(&mut self) -> bool {
        let fits = self.of.bytes() < self.ceiling;
        if !fits && !std::mem::replace(&mut self.short, true) {
            self.of.short(self.kind);
        }
        fits
    }

    /// What is kept of it, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// So much is kept of it from now on.
    pub fn set(&mut self, bytes: u64) {
        let (before, of) = (std::mem::replace(&mut self.bytes, bytes), &self.of.bytes);
        if bytes > before {
            of.fetch_add(bytes - before, Relaxed);
        } else if bytes < before {
            of.fetch_sub(before - bytes, Relaxed);
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_counted_over_all_and_given_back() {
        let buffers = Arc::new(Buffers::default());
        let (mut one, mut other) =
            (buffers.share(Kind::Request, 100), buffers.share(Kind::Answer, 100));
        assert!(one.may_grow() && other.may_grow());
        one.set(70);
        other.set(30);
        assert_eq!(buffers.bytes(), 100);
        assert!(!one.may_grow() && !other.may_grow() && !other.may_grow());
        assert_eq!(buffers.shortages(), [("request", 1), ("answer", 1)], "a body is counted once");
        one.set(20);
        assert_eq!((buffers.bytes(), one.bytes()), (50, 20));
        assert!(other.may_grow());
        drop((one, other));
        assert_eq!(buffers.bytes(), 0);
    }

    #[test]
    fn a_listener_may_have_a_lower_ceiling_than_others() {
        let buffers = Arc::new(Buffers::default());
        let mut much = buffers.share(Kind::Request, 1000);
        much.set(100);
        assert!(much.may_grow());
        assert!(!buffers.share(Kind::Request, 100).may_grow());
    }

    #[test]
    fn the_usual_ceiling_is_a_part_of_what_there_is() {
        assert!((AUTO_BYTES_MIN..=AUTO_BYTES_MAX).contains(&Buffers::auto_bytes()));
    }
}
