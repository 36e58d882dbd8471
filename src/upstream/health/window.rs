//! How many requests of an endpoint went well and wrong lately.
//!
//! Requests are counted where they are served, in totals that only grow; here the totals are kept
//! as they stood at moments within the window, so that a difference says what happened since.
//!
//! Invariant: samples are in the order of time and of both totals, and none but the oldest is older
//! than the window.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// The most samples of a window, however long it is and however often it is sampled.
const SAMPLES_MAX: usize = 64;

/// Requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Those that the endpoint answered well.
    pub good: u64,
    /// Those that went wrong through its doing.
    pub failed: u64,
}

/// Totals as they stood at moments of the last while.
#[derive(Clone, Debug, Default)]
pub struct Window {
    samples: VecDeque<(Instant, Totals)>,
}

// === impl Totals ===

impl Totals {
    /// All of them.
    pub fn requests(self) -> u64 {
        self.good + self.failed
    }

    /// The share of them that failed, from 0 to 1; 0 of none.
    pub fn failed_share(self) -> f64 {
        if self.requests() == 0 { 0.0 } else { self.failed as f64 / self.requests() as f64 }
    }

    /// What came since `before`.
    pub fn since(self, before: Self) -> Self {
        Self {
            good: self.good.saturating_sub(before.good),
            failed: self.failed.saturating_sub(before.failed),
        }
    }

    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self { good: self.good + other.good, failed: self.failed + other.failed }
    }
}

// === impl Window ===

impl Window {
    /// Keeps `totals` as they stand at `now`, unless that was done just before, and forgets what is
    /// older than `length`.
    pub fn sample(&mut self, now: Instant, totals: Totals, length: Duration) {
        let step = length / SAMPLES_MAX as u32;
        let last = self.samples.back();
        if last.is_some_and(|(at, known)| {
            *at + step > now || known.good > totals.good || known.failed > totals.failed
        }) {
            return;
        }
        self.samples.push_back((now, totals));
        // The oldest one stays as long as the one after it is not old enough to compare with.
        let is_old = |at: Instant| now.saturating_duration_since(at) >= length;
        while self.samples.len() > SAMPLES_MAX
            || self.samples.get(1).is_some_and(|(at, _)| is_old(*at))
        {
            self.samples.pop_front();
        }
    }

    /// What came within the window, up to `totals`.
    pub fn lately(&self, totals: Totals) -> Totals {
        self.samples.front().map_or(totals, |(_, oldest)| totals.since(*oldest))
    }

    /// Begins anew at `totals`: what was before says nothing of what comes.
    pub fn restart(&mut self, now: Instant, totals: Totals) {
        self.samples.clear();
        self.samples.push_back((now, totals));
    }

    /// What must always hold.
    pub fn check_invariants(&self) {
        for (before, after) in self.samples.iter().zip(self.samples.iter().skip(1)) {
            assert!(before.0 <= after.0, "samples are in the order of time");
            assert!(before.1.good <= after.1.good && before.1.failed <= after.1.failed);
        }
        assert!(self.samples.len() <= SAMPLES_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_says_what_came_within_it() {
        let start = Instant::now();
        let second = |n: u64| start + Duration::from_secs(n);
        let length = Duration::from_secs(3);
        let mut window = Window::default();
        for n in 0..10 {
            window.sample(second(n), Totals { good: 10 * n, failed: n }, length);
            window.check_invariants();
        }
        let now = Totals { good: 95, failed: 9 };
        assert_eq!(window.lately(now), Totals { good: 35, failed: 3 });
        window.restart(second(10), now);
        assert_eq!(window.lately(Totals { good: 96, failed: 11 }), Totals { good: 1, failed: 2 });
    }

    #[test]
    fn totals_that_were_read_in_another_order_are_left_out() {
        let start = Instant::now();
        let mut window = Window::default();
        window.sample(start, Totals { good: 5, failed: 5 }, Duration::from_secs(1));
        window.sample(start, Totals { good: 4, failed: 6 }, Duration::from_secs(1));
        window.check_invariants();
        assert_eq!(window.lately(Totals { good: 5, failed: 6 }), Totals { good: 0, failed: 1 });
        assert!((Totals { good: 3, failed: 1 }.failed_share() - 0.25).abs() < f64::EPSILON);
        assert!(Totals::default().failed_share() == 0.0);
    }
}
