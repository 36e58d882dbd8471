//! What is known of one name, and when it is asked for again. Pure: time and chance are arguments.
//!
//! ```text
//!   new ──found──▶ good ──failed──▶ failing ──found──▶ good
//!    └──failed──▶ failing (no places)    └─ the places of before stay in use
//! ```

use std::time::{Duration, Instant, SystemTime};

use super::{Failure, Found, Place};

/// The longest wait after a failure: what has gone wrong may be mended at any moment.
const FAILED_WAIT_MAX: Duration = Duration::from_secs(10);

/// By how much a wait may be longer, so that many ushers do not ask at the same moment. Never
/// shorter: a cache on the way would give the old answer once more.
const JITTER: f64 = 0.1;

/// How soon and how late is asked again, whatever an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

/// What is known of one name.
#[derive(Clone, Debug)]
pub(super) struct Known {
    places: Vec<Place>,
    trouble: Option<Trouble>,
    due: Instant,
    tally: Tally,
    /// Whether the places are those of the process before, and no look-up has found any here.
    inherited: bool,
}

/// Since when look-ups have failed.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// When the first of them failed.
    pub since: SystemTime,
    /// Why the last one did.
    pub failure: Failure,
    failures: u32,
}

/// How look-ups have ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// With addresses.
    pub found: u64,
    /// With the word that there is none.
    pub nothing: u64,
    /// Nobody could say.
    pub failed: u64,
}

/// What a look-up has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) added: Vec<Place>,
    pub(super) removed: Vec<Place>,
    /// Look-ups begin to fail.
    pub(super) fails: bool,
    /// They work again.
    pub(super) recovered: bool,
}

// === impl Known ===

impl Known {
    /// Nothing is known of it, and it is due.
    pub(super) fn new(now: Instant) -> Self {
        let (places, tally) = Default::default();
        Self { places, trouble: None, due: now, tally, inherited: false }
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Takes over what another process knows of it, unless a look-up has found something here.
    pub(super) fn take_over(&mut self, places: Vec<Place>) -> bool {
        let takes = self.places.is_empty() && !places.is_empty();
        if takes {
            self.places = places;
            self.inherited = true;
        }
        takes
    }

    /// Whether the places are those of the process before.
    pub(super) fn is_inherited(&self) -> bool {
        self.inherited
    }

    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    pub(super) fn due(&self) -> Instant {
        self.due
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// It is not due before `due`.
    pub(super) fn put_off(&mut self, due: Instant) {
        self.due = due;
    }

    /// Takes note of what a look-up has come to at `now`; `swing` is drawn from 0 to 1.
    pub(super) fn note(
        &mut self,
        outcome: Result<Found, Failure>,
        bounds: Bounds,
        (now, at): (Instant, SystemTime),
        swing: f64,
    ) -> Change {
        let (change, wait) = match outcome {
            Ok(found) => {
                self.tally.found += 1;
                self.inherited = false;
                let lacks = |there: &[Place], place: &Place| !there.contains(place);
                let added = found.places.iter().filter(|it| lacks(&self.places, it)).copied();
                let removed = self.places.iter().filter(|it| lacks(&found.places, it)).copied();
                let (added, removed) = (added.collect(), removed.collect());
                let recovered = self.trouble.take().is_some();
                self.places = found.places;
                (Change { added, removed, fails: false, recovered }, found.ttl)
            }
            Err(failure) => {
                match failure {
                    Failure::Nothing => self.tally.nothing += 1,
                    _ => self.tally.failed += 1,
                }
                let before = self.trouble.take();
                let failures = before.as_ref().map_or(0, |trouble| trouble.failures);
                let since = before.as_ref().map_or(at, |trouble| trouble.since);
                self.trouble = Some(Trouble { since, failure, failures: failures + 1 });
                let change = Change { fails: before.is_none(), ..Change::default() };
                let doubled = bounds.min.saturating_mul(1 << failures.min(10));
                (change, doubled.min(FAILED_WAIT_MAX))
            }
        };
        let wait = wait.clamp(bounds.min, bounds.max.max(bounds.min));
        self.due = now + wait.mul_f64(1.0 + JITTER * swing);
        change
    }
}

// === impl Tally ===

impl Tally {
    /// Each count with its name.
    pub fn by_result(&self) -> [(&'static str, u64); 3] {
        [("found", self.found), ("nothing", self.nothing), ("failed", self.failed)]
    }
}

// === impl Change ===

impl Change {
    /// Whether it has other places than before.
    pub(super) fn moves(&self) -> bool {
        !self.added.is_empty() || !self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const BOUNDS: Bounds = Bounds { min: SECOND, max: Duration::from_secs(30) };

    fn place(last: u8) -> Place {
        Place { ip: [10, 0, 0, last].into(), port: None, weight: 1 }
    }

    fn found(last: &[u8], ttl: u64) -> Result<Found, Failure> {
        let places = last.iter().map(|&last| place(last)).collect();
        Found::of(places, Duration::from_secs(ttl))
    }

    struct Asked(Known, Instant);

    impl Asked {
        fn note(&mut self, outcome: Result<Found, Failure>) -> Change {
            self.0.note(outcome, BOUNDS, (self.1, SystemTime::UNIX_EPOCH), 0.0)
        }

        fn wait(&self) -> Duration {
            self.0.due() - self.1
        }
    }

    fn asked() -> Asked {
        let now = Instant::now();
        Asked(Known::new(now), now)
    }

    #[test]
    fn what_fails_takes_no_place_away_and_is_told_once() {
        let mut it = asked();
        assert_eq!(it.note(found(&[1, 2], 5)).added, [place(1), place(2)]);
        assert!(it.note(Err(Failure::TooLong)).fails);
        assert_eq!(it.note(Err(Failure::Nothing)), Change::default(), "it still fails");
        assert_eq!(it.0.places(), [place(1), place(2)]);
        assert_eq!(it.0.tally(), Tally { found: 1, nothing: 1, failed: 1 });
        let back = it.note(found(&[2, 3], 5));
        assert!(back.recovered && back.moves());
        assert_eq!((back.added, back.removed), (vec![place(3)], vec![place(1)]));
        assert!(it.0.trouble().is_none());
    }

    #[test]
    fn what_the_process_before_knew_counts_until_something_is_found_here() {
        let mut it = asked();
        it.note(Err(Failure::TooLong));
        assert!(!it.0.take_over(Vec::new()) && it.0.take_over(vec![place(1)]));
        assert!(!it.0.take_over(vec![place(2)]), "what is known is not known better elsewhere");
        it.note(Err(Failure::Nothing));
        assert_eq!((it.0.places(), it.0.is_inherited()), (&[place(1)][..], true));
        let change = it.note(found(&[3], 5));
        assert_eq!((change.added, change.removed), (vec![place(3)], vec![place(1)]));
        assert!(!it.0.is_inherited() && !it.0.take_over(vec![place(1)]));
    }

    #[test]
    fn it_is_asked_again_after_its_time_to_live_within_bounds() {
        let mut it = asked();
        for (ttl, wait) in [(0, 1), (1, 1), (7, 7), (600, 30)] {
            it.note(found(&[1], ttl));
            assert_eq!(it.wait(), wait * SECOND, "{ttl}");
        }
        let now = it.1;
        it.0.note(found(&[1], 10), BOUNDS, (now, SystemTime::UNIX_EPOCH), 1.0);
        assert!(it.wait() > 10 * SECOND && it.wait() <= 11 * SECOND, "later, never sooner");
    }

    #[test]
    fn after_failures_it_is_asked_less_and_less_often() {
        let mut it = asked();
        let waits: Vec<_> = (0..20)
            .map(|_| {
                it.note(Err(Failure::TooLong));
                it.wait().as_secs()
            })
            .collect();
        assert_eq!(waits[..6], [1, 2, 4, 8, 10, 10]);
        it.note(found(&[1], 3));
        it.note(Err(Failure::TooLong));
        assert_eq!(it.wait(), SECOND, "an answer in between forgets them");
    }
}
