//! When an issuer is asked: pure, time and chance are arguments.

use std::time::{Duration, Instant};

/// However soon keys are said to be stale: they are not fetched anew before this, or `refresh`
/// where that is shorter.
const FRESH_MIN: Duration = Duration::from_secs(300);

/// The first wait after a failure, and the longest.
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);

/// How far apart fetches are that tokens with unknown keys have caused: whoever makes such tokens
/// up must not be able to flood an issuer through usher.
const ANEW_APART: Duration = Duration::from_secs(60);

/// By how much a wait is shortened at most, so that replicas that began together part.
const SWING: f64 = 0.1;

/// When an issuer is asked.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    refresh: Duration,
    due: Instant,
    /// Until when an answer is waited for.
    asked_until: Option<Instant>,
    /// When it was last asked only because a token named an unknown key.
    anew: Option<Instant>,
    failures: u32,
}

// === impl Schedule ===

impl Schedule {
    /// Longer than any answer may take.
    const ANSWER_MAX: Duration = Duration::from_secs(30);

    /// Due at once.
    pub(super) fn new(refresh: Duration, now: Instant) -> Self {
        Self { refresh, due: now, asked_until: None, anew: None, failures: 0 }
    }

    /// How long it is until it is to be asked. `wanted`: a token has named an unknown key.
    pub(super) fn due(&self, wanted: bool, now: Instant) -> Duration {
        let anew = wanted.then(|| self.anew.map_or(now, |at| at + ANEW_APART));
        let due = anew.map_or(self.due, |anew| anew.min(self.due));
        let due = self.asked_until.map_or(due, |until| until.max(due));
        due.saturating_duration_since(now)
    }

    /// It is being asked. Where nothing comes of that at all, it is asked again after a while.
    pub(super) fn begin(&mut self, wanted: bool, now: Instant) {
        if wanted && self.due > now {
            self.anew = Some(now);
        }
        self.asked_until = Some(now + Self::ANSWER_MAX);
    }

    /// It has answered well, and that is `fresh` for so long.
    pub(super) fn learn(&mut self, fresh: Option<Duration>, now: Instant, chance: f64) {
        let wait = fresh.unwrap_or(self.refresh).max(FRESH_MIN).min(self.refresh);
        self.due = now + wait.mul_f64(1.0 - SWING * chance);
        (self.asked_until, self.failures) = (None, 0);
    }

    /// It has not.
    pub(super) fn fail(&mut self, now: Instant, chance: f64) {
        let wait = RETRY_MIN.saturating_mul(1 << self.failures.min(6)).min(RETRY_MAX);
        self.due = now + wait.mul_f64(1.0 - SWING * chance);
        self.failures = self.failures.saturating_add(1);
        self.asked_until = None;
    }

    /// What is known was fetched so long ago.
    pub(super) fn resume(&mut self, age: Duration, now: Instant) {
        self.due = now + self.refresh.saturating_sub(age);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn keys_are_fetched_when_they_are_stale_within_bounds_and_a_little_earlier_by_chance() {
        let now = Instant::now();
        for (fresh, chance, wait) in [
            (None, 0.0, HOUR),
            (Some(secs(1200)), 0.0, secs(1200)),
            (Some(HOUR * 24), 0.0, HOUR),
            (Some(secs(0)), 0.0, FRESH_MIN),
            (None, 1.0, HOUR.mul_f64(0.9)),
        ] {
            let mut schedule = Schedule::new(HOUR, now);
            assert_eq!(schedule.due(false, now), Duration::ZERO);
            schedule.begin(false, now);
            schedule.learn(fresh, now, chance);
            assert_eq!(schedule.due(false, now), wait, "{fresh:?} {chance}");
        }
        let mut short = Schedule::new(secs(60), now);
        short.learn(Some(secs(0)), now, 0.0);
        assert_eq!(short.due(false, now), secs(60), "`refresh` is the upper bound");
    }

    #[test]
    fn a_failure_is_tried_again_soon_and_then_less_often() {
        let now = Instant::now();
        let mut schedule = Schedule::new(HOUR, now);
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            schedule.begin(false, now);
            schedule.fail(now, 0.0);
            assert_eq!(schedule.due(false, now), secs(wait));
        }
        schedule.learn(None, now, 0.0);
        schedule.fail(now, 0.0);
        assert_eq!(schedule.due(false, now), secs(1), "it begins anew");
    }

    #[test]
    fn an_unknown_key_is_asked_for_at_once_and_then_once_a_minute() {
        let now = Instant::now();
        let mut schedule = Schedule::new(HOUR, now);
        schedule.begin(true, now);
        schedule.learn(None, now, 0.0);
        assert_eq!(schedule.due(true, now), Duration::ZERO, "the first fetch was due anyway");
        schedule.begin(true, now);
        assert!(schedule.due(true, now) > secs(20), "it is being asked");
        schedule.learn(None, now, 0.0);
        assert_eq!(schedule.due(true, now), secs(60));
        assert_eq!(schedule.due(true, now + secs(59)), secs(1));
        assert_eq!(schedule.due(false, now + secs(60)), HOUR - secs(60));
        schedule.begin(true, now + secs(60));
        schedule.fail(now + secs(60), 0.0);
        assert_eq!(schedule.due(true, now + secs(60)), secs(1), "a failure is tried again sooner");
    }

    #[test]
    fn an_answer_that_never_comes_does_not_end_it() {
        let now = Instant::now();
        let mut schedule = Schedule::new(HOUR, now);
        schedule.begin(false, now);
        assert_eq!(schedule.due(false, now), Schedule::ANSWER_MAX);
        assert_eq!(schedule.due(true, now + Schedule::ANSWER_MAX), Duration::ZERO);
    }

    #[test]
    fn what_another_process_fetched_ages_from_then_on() {
        let now = Instant::now();
        let mut schedule = Schedule::new(HOUR, now);
        schedule.resume(secs(600), now);
        assert_eq!(schedule.due(false, now), secs(3000));
        schedule.resume(HOUR * 2, now);
        assert_eq!(schedule.due(false, now), Duration::ZERO);
    }
}
