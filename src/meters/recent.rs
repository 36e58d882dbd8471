//! How audiences fared lately: the difference between a reading now and one a while ago.
//!
//! Pure: whoever reads the meters says when that was.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{
    fault::{Fault, Outcome},
    name::Name,
};

use super::{AudienceReading, histogram::Distribution};

/// Readings of the last while, oldest first.
#[derive(Debug)]
pub struct Recent {
    window: Duration,
    readings: VecDeque<(Instant, Vec<AudienceReading>)>,
}

/// How an audience fared lately.
#[derive(Clone, Debug)]
pub struct Lately {
    /// The audience.
    pub name: Name,
    /// Over how long.
    pub over: Duration,
    /// Requests that ended, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// Requests that failed or were answered with a known status of 500 or above.
    pub bad: u64,
    /// Faults that occurred, the most frequent first.
    pub faults: Vec<(Fault, u64)>,
    /// Requests that have begun and not ended, now.
    pub in_flight: u64,
    /// Upgraded connections that are open, now.
    pub tunnels: u64,
    /// Request read whole to the head of the monolith's answer.
    pub first_byte: Distribution,
}

// === impl Recent ===

impl Recent {
    /// Remembers readings of the last `window`. With a reading every so often, it holds as many
    /// as fit, and one more.
    pub fn new(window: Duration) -> Self {
        Self { window, readings: VecDeque::new() }
    }

    /// Remembers what was read at `at`, which is not before the last time.
    pub fn note(&mut self, at: Instant, readings: Vec<AudienceReading>) {
        self.readings.push_back((at, readings));
        // The second one is kept as long as the first is needed to reach back the whole window.
        while let Some((second, _)) = self.readings.get(1) {
            if at.saturating_duration_since(*second) < self.window {
                break;
            }
            self.readings.pop_front();
        }
    }

    /// How each audience of the last reading fared since the oldest one that knows it. Nothing
    /// can be said of an audience before its second reading.
    pub fn lately(&self) -> Vec<Lately> {
        let Some((now, readings)) = self.readings.back() else { return Vec::new() };
        let lately = readings.iter().map(|reading| {
            let earlier = self.readings.iter().find_map(|(at, earlier)| {
                Some((*at, earlier.iter().find(|earlier| earlier.name == reading.name)?))
            });
            // The reading itself is among them, so there is always one.
            let (since, earlier) = earlier.unwrap_or((*now, reading));
            Lately::between(earlier, reading, now.saturating_duration_since(since))
        });
        lately.collect()
    }
}

// === impl Lately ===

impl Lately {
    fn between(earlier: &AudienceReading, now: &AudienceReading, over: Duration) -> Self {
        let outcomes = std::array::from_fn(|index| {
            now.outcomes[index].saturating_sub(earlier.outcomes[index])
        });
        let faults = now.faults.iter().map(|(fault, count)| {
            let before = earlier.faults.get(fault).copied().unwrap_or(0);
            (*fault, count.saturating_sub(before))
        });
        let mut faults: Vec<(Fault, u64)> = faults.filter(|(_, count)| *count > 0).collect();
        faults.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Self {
            name: now.name.clone(),
            over,
            outcomes,
            bad: now.bad.saturating_sub(earlier.bad),
            faults,
            in_flight: now.in_flight,
            tunnels: now.tunnels,
            first_byte: now.first_byte.since(&earlier.first_byte),
        }
    }

    /// How many requests ended.
    pub fn requests(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// How many requests ended as `outcome`.
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }

    /// Requests that ended, per second.
    pub fn rate(&self) -> f64 {
        let seconds = self.over.as_secs_f64();
        if seconds > 0.0 { self.requests() as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;
    use crate::meters::{Arm, ExchangeMeter, Meters, Settled};

    const SECOND: Duration = Duration::from_secs(1);

    fn serve(meter: &ExchangeMeter, times: usize, first_byte: Duration) {
        for _ in 0..times {
            meter.open(0);
            meter.settle(
                0,
                &Settled {
                    status: Some(StatusCode::OK),
                    outcome: Outcome::Served,
                    fault: None,
                    first_byte: Some(first_byte),
                    duration: Some(first_byte),
                },
            );
        }
    }

    fn customer(meters: &Meters) -> std::sync::Arc<ExchangeMeter> {
        let name = Name::parse("customer").expect("a name");
        meters.exchange(&name, &name, Arm::Stable, &[])
    }

    #[test]
    fn only_the_window_counts() {
        let meters = Meters::new(1, &[]);
        let meter = customer(&meters);
        let mut recent = Recent::new(60 * SECOND);
        let start = Instant::now();
        for second in 0..=120 {
            recent.note(start + second * SECOND, meters.audiences());
            let first_byte = if second < 50 { SECOND } else { SECOND / 100 };
            serve(&meter, 5, first_byte);
        }
        let lately = recent.lately();
        assert_eq!((lately.len(), lately[0].over, lately[0].requests()), (1, 60 * SECOND, 300));
        assert!((lately[0].rate() - 5.0).abs() < f64::EPSILON);
        let p99 = lately[0].first_byte.quantile(0.99).expect("there were answers");
        assert!(p99 <= SECOND / 100, "{p99:?} remembers the first minute");
        assert!(recent.readings.len() <= 61);
    }

    #[test]
    fn a_new_audience_is_compared_with_its_own_first_reading() {
        let meters = Meters::new(1, &[]);
        let mut recent = Recent::new(60 * SECOND);
        let start = Instant::now();
        recent.note(start, meters.audiences());
        let meter = customer(&meters);
        serve(&meter, 7, SECOND);
        recent.note(start + 10 * SECOND, meters.audiences());
        assert_eq!(recent.lately()[0].requests(), 0);
        serve(&meter, 20, SECOND);
        recent.note(start + 20 * SECOND, meters.audiences());
        assert!((recent.lately()[0].rate() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn an_audience_that_has_gone_is_not_spoken_of() {
        let meters = Meters::new(1, &[]);
        let mut recent = Recent::new(60 * SECOND);
        let meter = customer(&meters);
        recent.note(Instant::now(), meters.audiences());
        drop(meter);
        recent.note(Instant::now(), meters.audiences());
        assert!(recent.lately().is_empty());
    }
}
