//! Slow start: an endpoint that is new to a pool, or back in it, gets its slots one by one.
//!
//! A Rails process that has just started has cold caches and code that was not compiled yet: its
//! first requests are its slowest, and as many of them as it has threads make each other slower
//! still. Pure: time is an argument.

use std::time::{Duration, Instant};

/// An endpoint that is getting warm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Warming {
    since: Instant,
    over: Duration,
}

// === impl Warming ===

impl Warming {
    /// It begins at `since`, and is warm after `over`; nothing where that is no time at all.
    pub fn begin(since: Instant, over: Duration) -> Option<Self> {
        (!over.is_zero()).then_some(Self { since, over })
    }

    /// How long it has been getting warm at `now`, and how long it takes.
    pub fn spans(&self, now: Instant) -> (Duration, Duration) {
        (now.saturating_duration_since(self.since), self.over)
    }

    /// How many of `capacity` slots it has at `now`; `None`: it is warm.
    pub fn slots(self, capacity: u32, now: Instant) -> Option<u32> {
        let share =
            now.saturating_duration_since(self.since).as_secs_f64() / self.over.as_secs_f64();
        (share < 1.0).then(|| ((share * f64::from(capacity)).floor() as u32).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn slots_come_one_by_one_and_at_the_end_all_are_there() {
        let now = Instant::now();
        let warming = Warming::begin(now, 10 * SECOND).expect("it takes time");
        let slots = [0, 1, 2, 4, 9].map(|after| warming.slots(5, now + after * SECOND));
        assert_eq!(slots, [1, 1, 1, 2, 4].map(Some));
        assert_eq!(warming.slots(5, now + 10 * SECOND), None);
        assert_eq!(Warming::begin(now, Duration::ZERO), None);
    }
}
