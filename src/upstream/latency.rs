//! How long an endpoint takes to begin its answers, as the choice between endpoints sees it.
//!
//! A peak-sensitive moving average (Finagle's "peak EWMA"): a slow answer counts at once and whole,
//! faster ones bring the estimate down by and by, and so does time in which there are none: an
//! endpoint that is avoided gets another chance. A failure counts as slow, however fast it came:
//! otherwise the endpoint that fails fastest would be the least busy one and get everything.
//!
//! One word, read and written without a lock: two answers at the same instant may lose one of them.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// In so much time half of an estimate is forgotten. Where others answer in 10 ms, an endpoint that
/// took three seconds gets another chance within nine; with a half-life of five seconds it was
/// left alone for most of a minute after it was well again.
const HALF_LIFE_MS: u64 = 1_000;

/// What a failure counts as, at the least.
const FAILURE_US: u64 = 1_000_000;

/// An estimate in microseconds in the upper half, and when it was made in the lower: milliseconds
/// since the process began to measure.
#[derive(Debug, Default)]
pub struct Latency(AtomicU64);

// === impl Latency ===

impl Latency {
    /// An answer began after `took`, at `now_ms`.
    pub fn note(&self, took: Duration, now_ms: u64) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.store(blend(self.micros(now_ms), took, self.age_ms(now_ms)), now_ms);
    }

    /// A request failed after `took`, at `now_ms`.
    pub fn note_failure(&self, took: Duration, now_ms: u64) {
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let counted = took.max(FAILURE_US).max(2 * self.micros(now_ms));
        self.store(counted.min(60 * FAILURE_US), now_ms);
    }

    /// Nothing is known any more: what it did while it was unwell says nothing of what it does now.
    pub fn clear(&self) {
        self.0.store(0, Relaxed);
    }

    /// The estimate in microseconds; 0 where nothing is known.
    pub fn micros(&self, now_ms: u64) -> u64 {
        let estimate = self.0.load(Relaxed) >> 32;
        if estimate == 0 { 0 } else { forget(estimate, self.age_ms(now_ms)) }
    }

    fn age_ms(&self, now_ms: u64) -> u64 {
        let made = self.0.load(Relaxed) & u64::from(u32::MAX);
        (now_ms & u64::from(u32::MAX)).saturating_sub(made)
    }

    fn store(&self, micros: u64, now_ms: u64) {
        let micros = micros.clamp(1, u64::from(u32::MAX));
        self.0.store(micros << 32 | now_ms & u64::from(u32::MAX), Relaxed);
    }
}

/// Milliseconds since the process began to measure.
pub fn clock_ms(now: Instant) -> u64 {
    static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let origin = *ORIGIN.get_or_init(|| now);
    u64::try_from(now.saturating_duration_since(origin).as_millis()).unwrap_or(u64::MAX)
}

/// A slower answer counts whole; a faster one by as much as the old estimate has been forgotten,
/// and by a thirty-second at the least, or many of them at once would say nothing.
fn blend(estimate: u64, took: u64, age_ms: u64) -> u64 {
    if took >= estimate {
        return took;
    }
    let share = (age_ms * 32 / HALF_LIFE_MS).clamp(1, 32);
    estimate - (estimate - took) * share / 32
}

/// Half for each half-life, and in between along the chord.
fn forget(estimate: u64, age_ms: u64) -> u64 {
    let halvings = (age_ms / HALF_LIFE_MS).min(63);
    let rest = age_ms % HALF_LIFE_MS;
    let halved = estimate >> halvings;
    halved - halved / 2 * rest / HALF_LIFE_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_slow_answer_counts_at_once_and_is_forgotten_by_and_by() {
        let latency = Latency::default();
        assert_eq!(latency.micros(0), 0, "nothing is known");
        latency.note(10 * MS, 0);
        latency.note(400 * MS, 0);
        assert_eq!(latency.micros(0), 400_000);
        assert_eq!(latency.micros(HALF_LIFE_MS), 200_000);
        assert!(latency.micros(20 * HALF_LIFE_MS) < 10);
        for _ in 0..200 {
            latency.note(10 * MS, 10);
        }
        assert!(latency.micros(10) < 12_000, "{}", latency.micros(10));
    }

    #[test]
    fn a_failure_counts_as_slow_however_fast_it_came() {
        let latency = Latency::default();
        latency.note(10 * MS, 0);
        latency.note_failure(MS, 0);
        assert_eq!(latency.micros(0), FAILURE_US);
        latency.note_failure(MS, 0);
        assert_eq!(latency.micros(0), 2 * FAILURE_US);
        for _ in 0..100 {
            latency.note_failure(MS, 0);
        }
        assert_eq!(latency.micros(0), 60 * FAILURE_US, "there is an end to it");
        assert!(latency.micros(20_000) < 1_000, "and it is not held against it for long");
        latency.clear();
        assert_eq!(latency.micros(0), 0);
    }
}
