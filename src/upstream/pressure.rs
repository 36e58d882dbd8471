//! How hard those press who wait in a line: whether there is more demand than the pool can meet,
//! and how long it is any use to wait then. Pure: time is an argument.
//!
//! ```text
//!   in order ── not empty for `wait`, and for as long somebody has been refused ──> overloaded
//!            ── not empty for `wait`, and as many go without a slot as get one ───>
//! ```
//!
//! It lives for as long as the line is not empty, so that a pool is overloaded until it has been.
//!
//! A line that is not empty for a while is not yet more than the pool can do: a few long requests
//! that come together hold up the short ones, and everybody is served in order well within `wait`.
//! More than it can do shows in those who go without: they are refused, or they leave. Many of them
//! show it at once. Some show it when it lasts, since a moment's crowd is over by then.
//!
//! What was counted in the last two windows of `wait` tells how many of those who come can be
//! served, and patience is shortened to that share: with five times the demand that there are
//! slots for, a fifth. `ARCHITECTURE.md` has the figures that speak for it.

use std::time::{Duration, Instant};

/// Patience is divided by so much at most while a pool is overloaded.
const IMPATIENCE_MAX: u32 = 10;

/// Patience is not shortened below this: the next slot needs some time to come free.
const PATIENCE_MIN: Duration = Duration::from_millis(5);

/// What has become of those who came to a line since it was empty.
#[derive(Clone, Copy, Debug)]
pub struct Pressure {
    /// Since when the line has not been empty.
    since: Instant,
    /// Since when somebody has been refused.
    refused_since: Option<Instant>,
    overloaded: bool,
    window_since: Instant,
    window: Fates,
    window_before: Fates,
}

/// How those left who have left the line.
#[derive(Clone, Copy, Debug, Default)]
struct Fates {
    served: u32,
    missed: u32,
}

// === impl Pressure ===

impl Pressure {
    /// The first one has begun to wait.
    pub fn new(now: Instant) -> Self {
        let (window, window_before) = (Fates::default(), Fates::default());
        let (since, window_since) = (now, now);
        Self { since, refused_since: None, overloaded: false, window_since, window, window_before }
    }

    /// Whether there is more demand than can be met, in a pool where one may wait for `wait`.
    pub fn is_overloaded(&self, wait: Duration, now: Instant) -> bool {
        let mut then = *self;
        then.pass(wait, now);
        then.overloaded
    }

    /// How long one may wait as things stand, who may wait for `own` while all is well.
    pub fn patience(&self, own: Duration, wait: Duration, now: Instant) -> Duration {
        let mut then = *self;
        then.pass(wait, now);
        if !then.overloaded {
            return own;
        }
        let Fates { served, missed } = then.counted();
        let share = f64::from(served) / f64::from((served + missed).max(1));
        own.mul_f64(share).max(own / IMPATIENCE_MAX).max(PATIENCE_MIN).min(own)
    }

    /// Somebody got a slot.
    pub fn served(&mut self, wait: Duration, now: Instant) {
        self.pass(wait, now);
        self.window.served += 1;
        self.pass(wait, now);
    }

    /// So many were told that there is none for them.
    pub fn refused(&mut self, count: usize, wait: Duration, now: Instant) {
        if count == 0 {
            return;
        }
        self.refused_since.get_or_insert(now);
        self.missed(count, wait, now);
    }

    /// So many went without having been told.
    pub fn missed(&mut self, count: usize, wait: Duration, now: Instant) {
        self.pass(wait, now);
        self.window.missed += u32::try_from(count).unwrap_or(u32::MAX);
        self.pass(wait, now);
    }

    /// Time has passed, or something was counted: whatever that makes true stays true.
    fn pass(&mut self, wait: Duration, now: Instant) {
        let length = wait.max(PATIENCE_MIN);
        let passed = now.saturating_duration_since(self.window_since);
        let windows = u32::try_from(passed.as_nanos() / length.as_nanos()).unwrap_or(u32::MAX);
        if windows > 0 {
            let last = std::mem::take(&mut self.window);
            self.window_before = if windows == 1 { last } else { Fates::default() };
            self.window_since += length * windows;
        }
        let lasts = |since: Instant| now.saturating_duration_since(since) >= wait;
        let Fates { served, missed } = self.counted();
        let many = missed > 0 && missed >= served;
        self.overloaded |= lasts(self.since) && (many || self.refused_since.is_some_and(lasts));
    }

    fn counted(&self) -> Fates {
        let Self { window, window_before, .. } = self;
        Fates {
            served: window.served.saturating_add(window_before.served),
            missed: window.missed.saturating_add(window_before.missed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAIT: Duration = Duration::from_millis(1_000);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_line_that_serves_all_but_a_few_is_overloaded_once_that_has_lasted() {
        let start = Instant::now();
        let mut pressure = Pressure::new(start);
        let mut seen = None;
        // Somebody is served every 10 ms for four seconds, and one is refused after two.
        for step in 0..400_u32 {
            let now = start + step * 10 * MS;
            pressure.served(WAIT, now);
            pressure.refused(usize::from(step == 200), WAIT, now);
            seen = seen.or_else(|| pressure.is_overloaded(WAIT, now).then_some(step));
        }
        assert_eq!(seen, Some(300), "for a wait somebody has been refused");
    }

    #[test]
    fn as_many_that_leave_as_are_served_show_overload_at_once_and_fewer_never_do() {
        let start = Instant::now();
        let (mut half, mut third) = (Pressure::new(start), Pressure::new(start));
        for step in 0..400_u32 {
            let now = start + step * 10 * MS;
            half.served(WAIT, now);
            half.missed(1, WAIT, now);
            third.served(WAIT, now);
            third.missed(usize::from(step % 2 == 1), WAIT, now);
            assert_eq!(half.is_overloaded(WAIT, now), step >= 100, "{step}");
            assert!(!third.is_overloaded(WAIT, now), "{step}");
        }
    }

    #[test]
    fn patience_is_shortened_to_the_share_of_those_who_are_served_of_late() {
        let start = Instant::now();
        let now = start + 2_500 * MS;
        let mut pressure = Pressure::new(start);
        for (after_ms, served, missed) in [(0, 0, 90), (1_000, 1, 2), (2_400, 1, 6)] {
            let then = start + after_ms * MS;
            (0..served).for_each(|_| pressure.served(WAIT, then));
            pressure.missed(missed, WAIT, then);
        }
        assert_eq!(pressure.patience(WAIT, WAIT, now), WAIT / 5, "the first window is forgotten");
        assert_eq!(pressure.patience(3 * WAIT, WAIT, now), 3 * WAIT / 5);
        assert_eq!(pressure.patience(6 * MS, WAIT, now), 5 * MS, "a slot needs time to come free");
        assert_eq!(pressure.patience(2 * MS, WAIT, now), 2 * MS, "but nobody waits longer for it");
        pressure.refused(1_000, WAIT, now);
        assert_eq!(pressure.patience(WAIT, WAIT, now), WAIT / 10, "some patience there always is");
    }
}
