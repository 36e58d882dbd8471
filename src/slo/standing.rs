//! How a promise stands: what is left of its budget, how fast it goes, and on what it went.

use std::{collections::BTreeMap, time::Duration};

use super::{
    Promise,
    history::{Causes, History, WINDOWS},
    ring::Count,
};

/// No promise leaves less room than this, so that one bad event of a promise of 100 % counts for
/// much and not for infinitely much.
const BUDGET_MIN: f64 = 1e-6;

/// Which of [`WINDOWS`] says how fast the budget goes now.
const HOUR_WINDOW: usize = 2;

/// What was counted for one promise, over all who counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sums {
    /// In each of [`WINDOWS`].
    pub windows: [Count; WINDOWS.len()],
    /// In the promise's own window.
    pub whole: Count,
    /// When the first event was counted, in seconds since 1970.
    pub since: Option<u64>,
    /// Bad events within the promise's window, by the hour.
    pub spent: BTreeMap<u64, Causes>,
}

/// How a promise stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing {
    /// What was counted.
    pub sums: Sums,
    /// How fast the budget went in each of [`WINDOWS`]: at 1 it lasts exactly the promise's window.
    /// Nothing can be said without events.
    pub burn: [Option<f64>; WINDOWS.len()],
    /// What is left of the budget: 1 is all of it, below 0 the promise is broken.
    pub left: Option<f64>,
    /// When it is used up, if bad events go on as in the last hour; none where they can go on.
    pub exhausted_in: Option<Duration>,
}

// === impl Sums ===

impl Sums {
    /// Adds what `history` holds at `now` for a promise whose window is `over` seconds.
    pub fn add(&mut self, history: &History, now: u64, over: u64) {
        for (sum, (seconds, _)) in self.windows.iter_mut().zip(WINDOWS) {
            *sum = sum.plus(history.sum(now, seconds));
        }
        self.whole = self.whole.plus(history.sum(now, over));
        self.since = [self.since, history.since].into_iter().flatten().min();
        for (hour, causes) in history.spent(now, over) {
            let sums = self.spent.entry(hour).or_default();
            for (cause, count) in causes {
                *sums.entry(cause.clone()).or_default() += count;
            }
        }
    }

    /// Bad events by cause, the most frequent first.
    pub fn causes(&self) -> Vec<(String, u64)> {
        let mut causes = Causes::new();
        for (cause, count) in self.spent.values().flatten() {
            *causes.entry(cause.clone()).or_default() += count;
        }
        let mut causes: Vec<(String, u64)> = causes.into_iter().collect();
        causes.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        causes
    }

    /// The hour that cost most, and how many bad events it had.
    pub fn worst_hour(&self) -> Option<(u64, u64)> {
        let hours = self.spent.iter().map(|(hour, causes)| (*hour, causes.values().sum()));
        hours.max_by_key(|(_, bad)| *bad).filter(|(_, bad): &(u64, u64)| *bad > 0)
    }
}

// === impl Standing ===

impl Standing {
    /// How `promise` stands after `sums`.
    pub fn of(promise: &Promise, sums: Sums) -> Self {
        let budget = promise.budget().max(BUDGET_MIN);
        let burn = sums.windows.map(|count| count.bad_share().map(|share| share / budget));
        let left = sums.whole.bad_share().map(|share| 1.0 - share / budget);
        let exhausted_in = exhausted_in(budget, &sums, burn[HOUR_WINDOW]);
        Self { sums, burn, left, exhausted_in }
    }
}

/// The bad events that are still allowed, at the rate of the last hour's.
fn exhausted_in(budget: f64, sums: &Sums, burn: Option<f64>) -> Option<Duration> {
    let allowed = budget * sums.whole.events() as f64 - sums.whole.bad as f64;
    if allowed <= 0.0 {
        return (sums.whole.bad > 0).then_some(Duration::ZERO);
    }
    // What is spent no faster than the budget grows never ends.
    burn.filter(|burn| *burn > 1.0)?;
    let bad_per_second = sums.windows[HOUR_WINDOW].bad as f64 / WINDOWS[HOUR_WINDOW].0 as f64;
    Duration::try_from_secs_f64(allowed / bad_per_second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::Name,
        slo::{Aim, PATIENCE, StatusSet, WINDOW},
        units::Percent,
    };

    fn promise(target: &str) -> Promise {
        let aim = Aim::Availability { patience: PATIENCE };
        Promise {
            audience: Name::parse("customer").expect("a name"),
            objective: 0,
            label: aim.label(None),
            aim,
            target: Percent::parse(target).expect("a share"),
            window: WINDOW,
            sla: None,
            bad: StatusSet::default(),
        }
    }

    fn standing(target: &str, history: &History, now: u64) -> Standing {
        let mut sums = Sums::default();
        sums.add(history, now, WINDOW.as_secs());
        Standing::of(&promise(target), sums)
    }

    fn close(one: Option<f64>, other: f64) -> bool {
        one.is_some_and(|one| (one - other).abs() < 1e-6)
    }

    #[test]
    fn without_events_nothing_can_be_said() {
        let standing = standing("99.9%", &History::default(), 1_000_000);
        assert_eq!((standing.left, standing.exhausted_in), (None, None));
        assert!(standing.burn.iter().all(Option::is_none));
    }

    #[test]
    fn the_budget_is_judged_from_the_first_event() {
        let mut history = History::default();
        history.add(1_000_000, Count { good: 999, bad: 1 }, [("late", 1)]);
        let now = standing("99.9%", &history, 1_000_001);
        assert!(close(now.left, 0.0) && close(now.burn[0], 1.0), "{now:?}");
        history.add(1_000_002, Count { good: 9_000, bad: 0 }, []);
        assert!(close(standing("99.9%", &history, 1_000_003).left, 0.9));
    }

    #[test]
    fn traffic_that_varies_weighs_by_its_events_and_not_by_its_hours() {
        // A night of 100 requests an hour with 10 % bad, a day of 1,000 an hour with none.
        let mut history = History::default();
        let (mut bad, mut events) = (0, 0);
        for hour in 0..28 * 24_u64 {
            let (of, wrong) = if hour % 24 < 12 { (100, 10) } else { (1_000, 0) };
            history.add(hour * 3_600, Count { good: of - wrong, bad: wrong }, [("late", wrong)]);
            (bad, events) = (bad + wrong, events + of);
        }
        let now = standing("99%", &history, (28 * 24 - 1) * 3_600);
        let expected = 1.0 - bad as f64 / (0.01 * events as f64);
        assert!(close(now.left, expected), "{:?} is not {expected}", now.left);
    }

    #[test]
    fn it_is_exhausted_when_what_is_allowed_has_gone_at_the_last_hours_rate() {
        let mut history = History::default();
        let start = 4_000_000;
        history.add(start, Count { good: 1_000_000, bad: 0 }, []);
        let now = start + 100_000;
        history.add(now, Count { good: 3_240, bad: 360 }, [("upstream_broke", 360)]);
        let standing = standing("99.9%", &history, now);
        // 1,003.6 are allowed, 360 were spent in an hour.
        let left = standing.exhausted_in.expect("it goes fast").as_secs_f64();
        assert!((left - 643.6 * 10.0).abs() < 1.0, "{left}");
        assert!(close(standing.burn[HOUR_WINDOW], 100.0));
        assert_eq!(standing.sums.worst_hour(), Some((now / 3_600 * 3_600, 360)));
        assert_eq!(standing.sums.causes(), [("upstream_broke".to_owned(), 360)]);
    }

    #[test]
    fn a_promise_of_everything_is_broken_by_one_event_and_its_numbers_stay_finite() {
        let mut history = History::default();
        history.add(1_000, Count { good: 10, bad: 0 }, []);
        assert!(close(standing("100%", &history, 1_000).left, 1.0));
        history.add(1_000, Count { good: 0, bad: 1 }, [("late", 1)]);
        let broken = standing("100%", &history, 1_000);
        assert!(broken.left.is_some_and(|left| left < -1.0 && left.is_finite()));
        assert_eq!(broken.exhausted_in, Some(Duration::ZERO));
    }
}
