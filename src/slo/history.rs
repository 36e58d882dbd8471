//! What became of one promise: rings of ever longer slots, and what the budget went on.
//!
//! | slots | remember | for windows of |
//! |---|---|---|
//! | 5 s | 5 min | 5 min |
//! | 1 min | 2 h | 30 min, 1 h, 2 h |
//! | 10 min | 3 d | 6 h, 1 d, 3 d |
//! | 1 h | 30 d | the promise's own |
//!
//! Some 1,350 slots a promise, whatever the traffic. A window is exact to its slot.

use std::collections::BTreeMap;

use super::ring::{Count, Ring};

/// The windows that are always told, in seconds, with their names.
pub const WINDOWS: [(u64, &str); 7] = [
    (300, "5m"),
    (1_800, "30m"),
    (3_600, "1h"),
    (7_200, "2h"),
    (21_600, "6h"),
    (86_400, "1d"),
    (259_200, "3d"),
];

/// Slots and what they remember, in seconds.
const RINGS: [(u64, u64); 4] = [(5, 300), (60, 7_200), (600, 259_200), (HOUR, 30 * 86_400)];

const HOUR: u64 = 3_600;

/// The most causes of one hour; there are fewer, unless a file says otherwise. What is beyond them
/// is counted as [`OTHER_CAUSES`].
const CAUSES_MAX: usize = 64;

/// What causes are called that had no room of their own.
const OTHER_CAUSES: &str = "other_causes";

/// Events by cause.
pub type Causes = BTreeMap<String, u64>;

/// What became of one promise.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub(super) rings: [Ring; RINGS.len()],
    /// When its first event was counted, in seconds since 1970.
    pub(super) since: Option<u64>,
    /// What bad events were, by the hour in which they were counted.
    pub(super) spent: BTreeMap<u64, Causes>,
}

// === impl History ===

impl History {
    /// Counts `count`, of which the bad ones were `causes`, at `now`.
    pub fn add<'a>(
        &mut self,
        now: u64,
        count: Count,
        causes: impl IntoIterator<Item = (&'a str, u64)>,
    ) {
        if count.events() == 0 {
            return;
        }
        for ring in &mut self.rings {
            ring.add(now, count);
        }
        self.since.get_or_insert(now);
        for (cause, count) in causes {
            self.spend(now / HOUR * HOUR, cause, count);
        }
        let oldest = now.saturating_sub(RINGS[3].1 + HOUR);
        while self.spent.first_key_value().is_some_and(|(hour, _)| *hour < oldest) {
            self.spent.pop_first();
        }
    }

    /// What was counted in the last `over` seconds.
    pub fn sum(&self, now: u64, over: u64) -> Count {
        let ring = self.rings.iter().find(|ring| ring.reaches(over));
        ring.map_or(Count::default(), |ring| ring.sum(now, over))
    }

    /// Takes in all that `other` holds.
    pub(super) fn merge(&mut self, other: &History) {
        for (ring, other) in self.rings.iter_mut().zip(&other.rings) {
            ring.merge(other);
        }
        self.since = [self.since, other.since].into_iter().flatten().min();
        for (hour, causes) in &other.spent {
            for (cause, count) in causes {
                self.spend(*hour, cause, *count);
            }
        }
    }

    fn spend(&mut self, hour: u64, cause: &str, count: u64) {
        let hour = self.spent.entry(hour).or_default();
        let room = hour.len() < CAUSES_MAX || hour.contains_key(cause);
        *hour.entry(if room { cause } else { OTHER_CAUSES }.to_owned()).or_default() += count;
    }

    /// How far it has come: of two that began as the same, the later one has more.
    pub(super) fn progress(&self) -> (u64, u64) {
        let [finest, .., longest] = &self.rings;
        let events = longest.backwards().map(Count::events);
        (finest.newest(), events.fold(0, u64::saturating_add))
    }

    /// Whether anything was counted at `since` or later, in seconds since 1970.
    pub fn has_changed(&self, since: u64) -> bool {
        let [finest, ..] = &self.rings;
        (finest.newest() + 1) * finest.step() > since
    }

    /// Whether all that it holds is older than any window.
    pub fn is_over(&self, now: u64) -> bool {
        self.rings[3].sum(now, RINGS[3].1).events() == 0
    }

    /// Bad events by hour and cause within the last `over` seconds.
    pub(super) fn spent(&self, now: u64, over: u64) -> impl Iterator<Item = (u64, &Causes)> {
        let from = now.saturating_sub(over) / HOUR * HOUR;
        self.spent.range(from..).map(|(hour, causes)| (*hour, causes))
    }
}

impl Default for History {
    fn default() -> Self {
        Self {
            rings: RINGS.map(|(step, span)| Ring::new(step, span)),
            since: None,
            spent: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_has_a_ring_whose_slots_are_short_for_it() {
        let history = History::default();
        let spans = WINDOWS.iter().map(|(seconds, _)| *seconds);
        for over in spans.chain([7 * 86_400, 28 * 86_400, 30 * 86_400]) {
            let ring = history.rings.iter().find(|ring| ring.reaches(over));
            let step = ring.expect("a ring that reaches").step();
            assert!(step * 30 <= over, "{step} s for {over}");
        }
        let slots: u64 = RINGS.iter().map(|(step, span)| span / step + 2).sum();
        assert!(slots < 1_400);
    }

    #[test]
    fn what_the_budget_went_on_is_remembered_by_the_hour_and_bounded() {
        let mut history = History::default();
        for hour in 0..2_000_u64 {
            for cause in 0..200 {
                let cause = format!("cause{cause}");
                history.add(hour * HOUR, Count { good: 0, bad: 1 }, [(cause.as_str(), 1)]);
            }
        }
        assert!(history.spent.len() <= 722 && history.spent.values().all(|it| it.len() <= 65));
        let last = history.spent.last_key_value().expect("an hour").1;
        assert_eq!((last[OTHER_CAUSES], last.values().sum::<u64>()), (136, 200), "none is lost");
        let now = 1_999 * HOUR;
        assert_eq!(history.spent(now, 2 * HOUR).count(), 3);
        assert_eq!(history.sum(now, 300).bad, 200);
        assert!(!history.is_over(now) && history.is_over(now + 40 * 86_400));
    }
}
