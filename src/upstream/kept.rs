//! What is known of endpoints, as one process tells the next: JSON.
//!
//! ```json
//! [{ "address": "10.0.0.3:3000", "since_ms": 1764126247114, "reason": "it refused a connection",
//!    "ejection": { "is": "ejected", "for_ms": 3200, "connections": true }, "ejections": 1, … }]
//! ```
//!
//! Fields are added, never renamed; one that is missing is as with an endpoint that is new. Times
//! are spans, since the clocks of two processes have no beginning in common. Requests in progress
//! are not told: whoever has them gives their slots back.

use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

/// Longer spans are cut to this one: no clock runs over, whatever another process says.
pub const SPAN_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// What is known of one endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kept {
    /// Where it is, as the status shows it.
    pub address: String,
    /// Since when it stands as it does, in milliseconds since 1970.
    pub since_ms: u64,
    /// Why it stands as it does.
    pub reason: Option<String>,
    /// What is wrong according to the last check.
    pub complaint: Option<String>,
    /// How it stands by what became of requests.
    pub ejection: KeptEjection,
    /// Failures since the last answer.
    pub in_row: u32,
    /// How often it was ejected before it had been well for long enough.
    pub ejections: u32,
    /// For how long the last time.
    pub held_ms: u64,
    /// What checks say; nothing before the first one.
    pub up: Option<bool>,
    /// Checks in a row that contradict this.
    pub against: u32,
    /// How long it takes to begin an answer, in microseconds.
    pub latency_us: Option<u64>,
    /// For how long it has been getting its slots one by one, and over how long it does.
    pub warming_ms: Option<(u64, u64)>,
}

/// How an endpoint stands by what became of its requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum KeptEjection {
    /// It never was ejected, or that is forgotten.
    #[default]
    Well,
    /// It has been well for a while since it was ejected.
    Recovering {
        /// For how long.
        for_ms: u64,
    },
    /// It gets no requests.
    Ejected {
        /// For how long still.
        for_ms: u64,
        /// Whether that is for want of connections.
        connections: bool,
    },
    /// Its next request decides.
    OnTrial,
}

// === impl Kept ===

impl Kept {
    /// Whether it says no more than that there is such an endpoint.
    pub fn is_plain(&self) -> bool {
        let Self { address, since_ms, .. } = self;
        *self == Self { address: address.clone(), since_ms: *since_ms, ..Self::default() }
    }

    /// Since when it stands as it does.
    pub fn since(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(span(self.since_ms)).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// So many milliseconds.
pub fn span(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// `span` in milliseconds, rounded up: what is not over yet does not become so by being told.
pub fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// The moment that lies so many milliseconds ahead of `now`.
pub fn ahead(now: Instant, ms: u64) -> Instant {
    now + span(ms).min(SPAN_MAX)
}

/// The moment that lies so many milliseconds behind `now`; `now` itself where no clock goes back as
/// far.
pub fn behind(now: Instant, ms: u64) -> Instant {
    now.checked_sub(span(ms)).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        config,
        upstream::{Address, Cause, Endpoint, Endpoints, Evidence, Standing, Totals},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn endpoint() -> Arc<Endpoint> {
        let address = Address::Socket(([127, 0, 0, 1], 1).into());
        Endpoints::default().at(&address)
    }

    /// The endpoint in another process, at `now`.
    fn told(endpoint: &Endpoint, is_checked: bool, now: Instant) -> Arc<Endpoint> {
        let text = serde_json::to_string(&endpoint.keep(now)).expect("it has JSON");
        let kept: Kept = serde_json::from_str(&text).expect("it is what was written");
        let heir = self::endpoint();
        heir.take_over(&kept, is_checked, now);
        assert_eq!(heir.keep(now).ejection, kept.ejection, "nothing is lost on the way");
        heir
    }

    fn eject(endpoint: &Endpoint, cause: Cause, now: Instant) -> Duration {
        let ejected =
            endpoint.health().eject(now, cause, &config::Ejection::default(), Totals::default());
        ejected.expect("it was not ejected yet")
    }

    #[test]
    fn one_that_is_well_and_always_was_has_nothing_to_tell() {
        let endpoint = endpoint();
        assert!(endpoint.keep(Instant::now()).is_plain());
        eject(&endpoint, Cause::Refused, Instant::now());
        assert!(!endpoint.keep(Instant::now()).is_plain());
    }

    #[test]
    fn an_ejection_goes_on_for_as_long_as_it_had_to() {
        let (endpoint, now) = (endpoint(), Instant::now());
        let hold = eject(&endpoint, Cause::Refused, now);
        let heir = told(&endpoint, false, now + SECOND);
        let (before, after) = (endpoint.health().report(), heir.health().report());
        assert_eq!((after.standing, after.reason), (Standing::Ejected, before.reason));
        let apart = before.since.duration_since(after.since).expect("it is rounded down");
        assert!(apart < Duration::from_millis(2), "{apart:?}");
        assert!(!heir.health().pass(now + hold - SECOND / 2, SECOND));
        assert!(heir.health().pass(now + hold + SECOND / 2, SECOND));
        // It is on trial, and for twice as long the next time.
        let heir = told(&heir, false, now + hold + SECOND);
        let failed = heir.health().failed(
            0,
            Evidence::Status(500),
            &config::Ejection::default(),
            Totals::default,
        );
        let cause = failed.expect("the next failure is enough");
        assert_eq!(eject(&heir, cause, now + 2 * hold), 2 * hold);
    }

    #[test]
    fn a_check_ends_what_was_for_want_of_connections_and_nothing_else() {
        let policy = config::Health::default();
        let share = Cause::Share { share: 0.5, of: 10 };
        for (cause, expected) in [(Cause::Refused, Standing::Up), (share, Standing::Ejected)] {
            let (endpoint, now) = (endpoint(), Instant::now());
            eject(&endpoint, cause, now);
            let heir = told(&endpoint, true, now);
            heir.health().checked(true, "", &policy);
            assert_eq!(heir.health().standing(), expected);
        }
    }

    #[test]
    fn what_checks_said_counts_where_there_are_checks() {
        let (endpoint, now) = (endpoint(), Instant::now());
        endpoint.health().checked(false, "it answered 503", &config::Health::default());
        let heir = told(&endpoint, true, now);
        let report = heir.health().report();
        assert_eq!(report.standing, Standing::Down);
        assert_eq!(report.complaint.as_deref(), Some("it answered 503"));
        let unchecked = told(&endpoint, false, now);
        assert_eq!(unchecked.health().standing(), Standing::Up, "nobody would ever say otherwise");
    }

    #[test]
    fn how_fast_and_how_warm_it_is_is_told() {
        let (endpoint, now) = (endpoint(), Instant::now());
        endpoint.resize(8);
        endpoint.warm_up(8 * SECOND, now);
        endpoint.latency().note(SECOND, crate::upstream::clock_ms(now));
        let later = now + 4 * SECOND;
        let heir = self::endpoint();
        heir.resize(8);
        heir.take_over(&endpoint.keep(later), false, later);
        let leases: Vec<_> = std::iter::from_fn(|| heir.lease()).collect();
        assert_eq!(leases.len(), 4, "half of its time, half of its slots");
        let clock = crate::upstream::clock_ms(later);
        assert_eq!(heir.latency().micros(clock), endpoint.latency().micros(clock));
        heir.grow(now + 9 * SECOND);
        let others: Vec<_> = std::iter::from_fn(|| heir.lease()).collect();
        assert_eq!(others.len(), 4, "and then the others");
    }

    #[test]
    fn whatever_another_process_says_nothing_runs_over() {
        let worst = u64::MAX;
        for ejection in [
            KeptEjection::Well,
            KeptEjection::Recovering { for_ms: worst },
            KeptEjection::Ejected { for_ms: worst, connections: true },
            KeptEjection::OnTrial,
        ] {
            let kept = Kept {
                since_ms: worst,
                ejection,
                in_row: u32::MAX,
                ejections: u32::MAX,
                held_ms: worst,
                up: Some(false),
                against: u32::MAX,
                latency_us: Some(worst),
                warming_ms: Some((worst, worst)),
                ..Kept::default()
            };
            let (endpoint, now) = (endpoint(), Instant::now());
            endpoint.take_over(&kept, true, now);
            let policy = config::Ejection::default();
            endpoint.health().pass(now + SECOND, SECOND);
            endpoint.health().failed(0, Evidence::Refused, &policy, Totals::default);
            endpoint.health().checked(true, "", &config::Health::default());
            endpoint.health().answered(0);
            endpoint.keep(now + SECOND);
        }
        let kept: Kept = serde_json::from_str(r#"{"address":"a","mood":"good"}"#).expect("JSON");
        assert!(kept.is_plain(), "what is not known is passed over");
    }
}
