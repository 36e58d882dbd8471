//! The ejection of a whole pool against a model that knows no state machine.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::{court::grants, *};
use crate::units::Percent;

const POLICY: fn() -> config::Ejection = || config::Ejection {
    consecutive: 3,
    hold: Duration::from_secs(2),
    hold_max: Duration::from_secs(10),
    share: Percent::of_share(0.5),
    ..config::Ejection::default()
};

/// Something that happens to a pool.
#[derive(Clone, Copy, Debug)]
enum Step {
    Answers(usize),
    Fails(usize, Evidence),
    Passes(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let evidence = prop_oneof![
        Just(Evidence::Refused),
        Just(Evidence::Unreachable),
        Just(Evidence::Broke),
        Just(Evidence::Late),
        Just(Evidence::Status(500)),
    ];
    prop_oneof![
        2 => (0_usize..5).prop_map(Step::Answers),
        4 => (0_usize..5, evidence).prop_map(|(of, evidence)| Step::Fails(of, evidence)),
        2 => (1_u64..4_000).prop_map(Step::Passes),
    ]
}

/// All that ever happened to one endpoint, in order: when, what, and its place among all there was.
#[derive(Clone, Debug, Default)]
struct Past(Vec<(Duration, Happened, usize)>);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Happened {
    Answered,
    Failed,
    Ejected,
}

impl Past {
    fn in_row(&self) -> u32 {
        let failed = self.0.iter().rev().take_while(|it| it.1 == Happened::Failed);
        failed.count() as u32
    }

    /// When the last ejection began and ends, unless an answer has ended it before.
    fn last_ejection(&self) -> Option<(Duration, Duration)> {
        let last = self.0.iter().rposition(|it| it.1 == Happened::Ejected)?;
        let begun = self.0[last].0;
        let answer = self.0[last..].iter().find(|it| it.1 == Happened::Answered);
        let hold = self.hold(last);
        Some((begun, answer.map_or(begun + hold, |it| it.0.min(begun + hold))))
    }

    /// How long the ejection at index `at` was to last: doubled for each one before it, back to
    /// one that was followed by as long a good time as it had lasted.
    fn hold(&self, at: usize) -> Duration {
        let before = self.0[..at].iter().rposition(|it| it.1 == Happened::Ejected);
        let base = POLICY().hold;
        let Some(before) = before else { return base };
        let held = self.hold(before);
        let answer = self.0[before..at].iter().find(|it| it.1 == Happened::Answered);
        let forgotten = answer.is_some_and(|it| self.0[at].0 >= it.0 + held);
        if forgotten { base } else { (held * 2).min(POLICY().hold_max) }
    }

    fn is_ejected(&self, now: Duration) -> bool {
        self.last_ejection().is_some_and(|(_, until)| now < until)
    }

    fn is_on_trial(&self, now: Duration) -> bool {
        let last = self.0.iter().rposition(|it| it.1 == Happened::Ejected);
        last.is_some_and(|last| {
            !self.is_ejected(now) && !self.0[last..].iter().any(|it| it.1 == Happened::Answered)
        })
    }

    /// The place of what others are compared since: the ejection that it is on trial for, else the
    /// first of its last failures.
    fn began(&self, now: Duration) -> usize {
        let last = self.0.iter().rposition(|it| it.1 == Happened::Ejected);
        let began = match last.filter(|_| self.is_on_trial(now)) {
            Some(ejected) => ejected,
            None => self.0.len() - self.in_row() as usize,
        };
        self.0[began].2
    }

    /// What became of its requests after that place.
    fn since(&self, place: usize) -> Totals {
        let count = |what| self.0.iter().filter(|it| it.2 > place && it.1 == what).count() as u64;
        Totals { good: count(Happened::Answered), failed: count(Happened::Failed) }
    }

    /// What would be asked for, had the endpoint just failed like this.
    fn cause(&self, now: Duration, last: Evidence) -> Option<Cause> {
        let count = self.in_row();
        if self.is_ejected(now) {
            None
        } else if last == Evidence::Refused {
            Some(Cause::Refused)
        } else if self.is_on_trial(now) {
            Some(Cause::InRow { count: 1, last })
        } else {
            count.is_multiple_of(POLICY().consecutive).then_some(Cause::InRow { count, last })
        }
    }
}

struct Run {
    start: Instant,
    now: Duration,
    endpoints: Vec<Ejection>,
    pasts: Vec<Past>,
    places: usize,
}

impl Run {
    fn new(size: usize) -> Self {
        let endpoints = vec![Ejection::default(); size];
        Self {
            start: Instant::now(),
            now: Duration::ZERO,
            endpoints,
            pasts: vec![Past::default(); size],
            places: 0,
        }
    }

    fn happened(&mut self, of: usize, happened: Happened) {
        self.places += 1;
        self.pasts[of].0.push((self.now, happened, self.places));
    }

    fn others(&self, of: usize, place: usize) -> Totals {
        let others = self.pasts.iter().enumerate().filter(|(it, _)| *it != of);
        others.fold(Totals::default(), |sum, (_, past)| sum.and(past.since(place)))
    }

    fn take(&mut self, step: Step) {
        let size = self.endpoints.len();
        match step {
            Step::Passes(milliseconds) => {
                // As the house does: often, so that no moment is missed.
                for _ in 0..milliseconds {
                    self.now += Duration::from_millis(1);
                    let now = self.start + self.now;
                    self.endpoints.iter_mut().for_each(|it| {
                        it.pass(now);
                    });
                }
            }
            Step::Answers(of) => {
                let of = of % size;
                self.endpoints[of].answered(self.start + self.now);
                self.happened(of, Happened::Answered);
            }
            Step::Fails(of, evidence) => self.fail(of % size, evidence),
        }
    }

    fn fail(&mut self, of: usize, evidence: Evidence) {
        self.happened(of, Happened::Failed);
        let expected = self.pasts[of].cause(self.now, evidence);
        let others = self.others(of, 0);
        let cause = self.endpoints[of].failed(evidence, &POLICY(), || others);
        assert_eq!(cause, expected);
        let Some(cause) = cause else { return };
        let seat = |it: &Ejection| Seat {
            well: !it.is_ejected(),
            ejected: it.is_ejected(),
            lately: Totals::default(),
        };
        let others: Vec<Seat> = (0..self.endpoints.len())
            .filter(|it| *it != of)
            .map(|it| seat(&self.endpoints[it]))
            .collect();
        let totals = self.others(of, 0);
        let since = self.endpoints[of].others_since(totals);
        assert_eq!(since, self.others(of, self.pasts[of].began(self.now)), "{cause:?}");
        if grants(cause, seat(&self.endpoints[of]), &others, since, &POLICY()) {
            assert!(others.iter().any(|seat| seat.well), "the last one stays");
            let ejected = others.iter().filter(|seat| seat.ejected).count() + 1;
            let half = ejected <= (self.endpoints.len() / 2).max(1);
            assert!(cause == Cause::Refused || half, "half of them stay");
            self.endpoints[of].eject(self.start + self.now, cause, &POLICY(), totals);
            self.happened(of, Happened::Ejected);
        }
    }

    fn check(&self) {
        for (endpoint, past) in self.endpoints.iter().zip(&self.pasts) {
            endpoint.check_invariants();
            assert_eq!(endpoint.is_ejected(), past.is_ejected(self.now), "{past:?}");
            let until = endpoint.ejected().map(|until| until - self.start);
            let model =
                past.last_ejection().map(|(_, until)| until).filter(|_| past.is_ejected(self.now));
            assert_eq!(until, model, "{past:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_pool_ejects_and_takes_back_as_its_past_says(
        size in 1_usize..6,
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut run = Run::new(size);
        for step in steps {
            run.take(step);
            run.check();
        }
    }
}

#[test]
fn pools_that_share_an_endpoint_share_what_is_known_of_it() {
    let health = Health::new(2);
    let now = Instant::now();
    assert!(health.is_well());
    health.eject(now, Cause::Refused, &POLICY(), Totals::default()).expect("it was well");
    assert_eq!((health.is_well(), health.standing()), (false, Standing::Ejected));
    assert!(
        health.eject(now, Cause::Refused, &POLICY(), Totals::default()).is_none(),
        "once is enough"
    );
    assert!(health.report().returns_in.is_some());
    assert!(!health.pass(now + Duration::from_secs(1), Duration::from_secs(10)));
    assert!(health.pass(now + Duration::from_secs(2), Duration::from_secs(10)));
    assert!(health.is_well());
    let again = health.failed(1, Evidence::Late, &POLICY(), Totals::default);
    assert_eq!(again, Some(Cause::InRow { count: 1, last: Evidence::Late }), "it is on trial");
    assert!(!health.answered(0), "no ejection is ended");
    assert_eq!(health.totals(), Totals { good: 1, failed: 1 });
}

#[test]
fn checks_and_requests_speak_apart() {
    let policy = config::Health { rise: 2, fall: 2, ..config::Health::default() };
    let health = Health::new(1);
    assert_eq!(health.checked(true, "", &policy), None);
    assert_eq!(health.checked(false, "answered 500", &policy), None);
    let down = health.checked(false, "answered 500", &policy);
    assert_eq!(down, Some((What::Down, "checks fail: answered 500".to_owned())));
    assert_eq!(health.standing(), Standing::Down);
    health.eject(Instant::now(), Cause::Refused, &POLICY(), Totals::default());
    assert_eq!(health.checked(true, "", &policy), None);
    assert_eq!(health.checked(true, "", &policy).map(|(what, _)| what), Some(What::Up));
    assert_eq!(health.standing(), Standing::Ejected);
    let returned = health.checked(true, "", &policy).map(|(what, _)| what);
    assert_eq!(returned, Some(What::Returned), "whoever answers a check can be reached");
    assert!(health.is_well());
    health.checked(false, "late", &policy);
    health.checked(false, "late", &policy);
    assert!(health.unchecked() && health.is_well());
}
