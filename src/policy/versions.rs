//! Which versions of an audience's app are served, which are told that they grow old, and which are
//! told to upgrade. Pure: time is an argument, and so is where a client stands.
//!
//! ```text
//!        below min                min .. warn_below           from warn_below on
//!   |--------------------------|---------------------------|----------------------->
//!    refused: all, or a share    served, and told so         served
//!    that grows (a brown-out)
//! ```
//!
//! Those refused are always the same clients: a share takes whoever stands below it (see
//! [`Place`]), so that who was refused once stays refused while the share grows.

mod kept;
mod schedule;
mod sketch;
mod tally;

use std::time::Duration;

use super::sticky::Place;
use crate::{
    classify::{AppVersion, Version},
    meters::Band,
};

pub use kept::KeptTally;
pub use schedule::{Schedule, Step};
pub use tally::{ClientHasher, Counted, HOURS_MAX, HOURS_MIN, Reading, Tally, VERSIONS_MAX};

/// What was written for one audience.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Policy {
    /// Versions below this one are refused.
    pub min: Option<Version>,
    /// Versions below this one are told that they grow old.
    pub warn_below: Option<Version>,
    /// Whether requests without a version, or with something that is none, count as below `min`.
    pub unknown_is_old: bool,
    /// Which share of those below `min` is refused, and when; all of them without it.
    pub brownout: Option<Schedule>,
}

/// What becomes of a request because of its app's version.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// Nothing.
    Fine,
    /// It is told that its app grows old.
    Ageing,
    /// It is refused if its client is within the share that is refused. Without a place: always.
    Old(Option<Place>),
}

// === impl Policy ===

impl Policy {
    /// Where a version lies.
    pub fn band(&self, version: AppVersion) -> Band {
        match version {
            AppVersion::None => Band::None,
            AppVersion::Other => Band::Other,
            AppVersion::Known(version) if self.min.is_some_and(|min| version < min) => {
                Band::BelowMin
            }
            AppVersion::Known(version) if self.warn_below.is_some_and(|it| version < it) => {
                Band::BelowWarn
            }
            AppVersion::Known(_) => Band::Current,
        }
    }

    /// What becomes of a request whose version lies in `band`. `place` is asked where it matters.
    pub fn standing(&self, band: Band, place: impl FnOnce() -> Place) -> Standing {
        match band {
            _ if self.is_old(band) => Standing::Old(self.brownout.is_some().then(place)),
            Band::BelowWarn => Standing::Ageing,
            Band::BelowMin | Band::None | Band::Other | Band::Current => Standing::Fine,
        }
    }

    /// Whether versions in `band` are refused, once the share that is reaches their clients.
    pub fn is_old(&self, band: Band) -> bool {
        match band {
            Band::BelowMin => true,
            Band::None | Band::Other => self.unknown_is_old && self.min.is_some(),
            Band::BelowWarn | Band::Current => false,
        }
    }

    /// Whether a request with this standing is refused at `now`, counted from 1970.
    pub fn refuses(&self, standing: Standing, now: Duration) -> bool {
        match standing {
            Standing::Fine | Standing::Ageing => false,
            Standing::Old(None) => true,
            Standing::Old(Some(place)) => place.is_within(self.share(now)),
        }
    }

    /// The share of those below `min` that is refused at `now`, counted from 1970.
    pub fn share(&self, now: Duration) -> f64 {
        match (&self.min, &self.brownout) {
            (None, _) => 0.0,
            (Some(_), None) => 1.0,
            (Some(_), Some(schedule)) => schedule.share(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOUR: u64 = 3_600;

    fn version(text: &str) -> Version {
        Version::parse_exact(text).expect("a version")
    }

    fn known(text: &str) -> AppVersion {
        AppVersion::Known(version(text))
    }

    fn policy() -> Policy {
        Policy { min: Some(version("5.2")), warn_below: Some(version("5.6")), ..Policy::default() }
    }

    fn place(who: u32) -> Place {
        Place::of("versions/customer", &who.to_be_bytes())
    }

    fn grows(from: f64) -> Schedule {
        let until = Some((Duration::from_secs(10 * HOUR), 1.0));
        let step = Step { at: Duration::from_secs(HOUR), share: from, until };
        Schedule::new(vec![step]).expect("in order")
    }

    #[test]
    fn bounds_belong_to_what_lies_above_them() {
        for (text, band) in [
            ("0", Band::BelowMin),
            ("5.1.9", Band::BelowMin),
            ("5.2", Band::BelowWarn),
            ("5.2.0", Band::BelowWarn),
            ("5.5.9.9", Band::BelowWarn),
            ("5.6", Band::Current),
            ("5.20", Band::Current),
        ] {
            assert_eq!(policy().band(known(text)), band, "{text}");
        }
        assert_eq!(policy().band(AppVersion::None), Band::None);
        assert_eq!(policy().band(AppVersion::Other), Band::Other);
        assert_eq!(Policy::default().band(known("0")), Band::Current, "nothing is asked");
    }

    #[test]
    fn without_a_brownout_all_below_the_least_are_refused_at_once() {
        let refused = |policy: &Policy, version| {
            let standing = policy.standing(policy.band(version), || unreachable!("no share"));
            policy.refuses(standing, Duration::ZERO)
        };
        assert!(refused(&policy(), known("5.1")));
        assert!(!refused(&policy(), known("5.2")));
        assert!(!refused(&policy(), AppVersion::None), "a browser has none");
        let strict = Policy { unknown_is_old: true, ..policy() };
        assert!(refused(&strict, AppVersion::None) && refused(&strict, AppVersion::Other));
        let only_counted = Policy { unknown_is_old: true, ..Policy::default() };
        assert!(!refused(&only_counted, AppVersion::None), "there is nothing to be below of");
        assert_eq!(
            (policy().share(Duration::ZERO), only_counted.share(Duration::ZERO)),
            (1.0, 0.0)
        );
    }

    #[test]
    fn a_brownout_refuses_its_share_of_the_old_ones_and_nobody_else() {
        let policy = Policy { brownout: Some(grows(0.05)), ..policy() };
        let refused = |version, hour: u64| {
            let now = Duration::from_secs(hour * HOUR);
            let clients = (0..4_000).filter(|who| {
                let standing = policy.standing(policy.band(version), || place(*who));
                policy.refuses(standing, now)
            });
            clients.count()
        };
        assert_eq!(refused(known("5.1"), 0), 0, "it has not begun");
        assert!((150..250).contains(&refused(known("5.1"), 1)), "{}", refused(known("5.1"), 1));
        assert_eq!((refused(known("5.1"), 10), refused(known("5.1"), 99)), (4_000, 4_000));
        assert_eq!((refused(known("5.2"), 99), refused(AppVersion::None, 99)), (0, 0));
    }

    proptest! {
        #[test]
        fn who_is_refused_once_stays_refused_while_the_share_grows(
            who: u32, from in 0.0..=1.0, one in 0..200_000_u64, other in 0..200_000_u64,
        ) {
            let policy = Policy { brownout: Some(grows(from)), ..policy() };
            let standing = policy.standing(Band::BelowMin, || place(who));
            let refused = |secs| policy.refuses(standing, Duration::from_secs(secs));
            prop_assert!(!refused(one.min(other)) || refused(one.max(other)));
        }
    }
}
