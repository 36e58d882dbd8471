//! Which share is refused, and when.

use std::time::Duration;

/// Shares over time: each step holds until the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule(Box<[Step]>);

/// From a moment on a share, which may grow. Moments are counted from 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// The share then, between 0 and 1.
    pub share: f64,
    /// Until when it grows evenly, and to what.
    pub until: Option<(Duration, f64)>,
}

// === impl Schedule ===

impl Schedule {
    /// These steps; nothing unless there are any, each after the one before it and what that says.
    pub fn new(steps: Vec<Step>) -> Option<Self> {
        let ends = |step: &Step| step.until.map_or(step.at, |(until, _)| until);
        let each = steps.iter().all(|step| step.until.is_none_or(|(until, _)| step.at < until));
        let all = steps.windows(2).all(|pair| {
            let [before, after] = pair else { return true };
            ends(before) <= after.at && before.at < after.at
        });
        (!steps.is_empty() && each && all).then(|| Self(steps.into()))
    }

    /// The share at `now`: none before the first step.
    pub fn share(&self, now: Duration) -> f64 {
        let begun = self.0.partition_point(|step| step.at <= now);
        let Some(step) = begun.checked_sub(1).and_then(|last| self.0.get(last)) else { return 0.0 };
        match step.until {
            None => step.share,
            Some((until, to)) if now >= until => to,
            Some((until, to)) => {
                let part = (now - step.at).as_secs_f64() / (until - step.at).as_secs_f64();
                step.share + (to - step.share) * part
            }
        }
    }

    /// When it begins.
    pub fn begins(&self) -> Duration {
        self.0.first().map_or(Duration::ZERO, |step| step.at)
    }

    /// The share that holds in the end, and from when on.
    pub fn ends(&self) -> (Duration, f64) {
        let last = self.0.last().map(|step| step.until.unwrap_or((step.at, step.share)));
        last.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn step(at: u64, share: f64) -> Step {
        Step { at: secs(at), share, until: None }
    }

    fn grows(at: u64, share: f64, until: u64, to: f64) -> Step {
        Step { at: secs(at), share, until: Some((secs(until), to)) }
    }

    #[test]
    fn a_step_holds_until_the_next() {
        let steps = vec![step(10, 0.05), step(20, 0.5), step(21, 0.0), step(30, 1.0)];
        let schedule = Schedule::new(steps).expect("in order");
        let shares = [0, 9, 10, 19, 20, 21, 29, 30, 9_999].map(|now| schedule.share(secs(now)));
        assert_eq!(shares, [0.0, 0.0, 0.05, 0.05, 0.5, 0.0, 0.0, 1.0, 1.0]);
        assert_eq!((schedule.begins(), schedule.ends()), (secs(10), (secs(30), 1.0)));
    }

    #[test]
    fn a_step_may_grow_evenly() {
        let schedule = Schedule::new(vec![grows(10, 0.25, 20, 1.0), step(30, 0.5)]).expect("fine");
        let shares = [9, 10, 15, 20, 29, 30].map(|now| schedule.share(secs(now)));
        assert_eq!(shares, [0.0, 0.25, 0.625, 1.0, 1.0, 0.5]);
        assert_eq!(schedule.ends(), (secs(30), 0.5));
    }

    #[test]
    fn steps_stand_one_after_the_other() {
        for steps in [
            vec![],
            vec![step(10, 0.1), step(10, 0.2)],
            vec![step(20, 0.1), step(10, 0.2)],
            vec![grows(10, 0.1, 10, 1.0)],
            vec![grows(10, 0.1, 5, 1.0)],
            vec![grows(10, 0.1, 30, 1.0), step(20, 0.2)],
        ] {
            assert_eq!(Schedule::new(steps.clone()), None, "{steps:?}");
        }
        assert!(Schedule::new(vec![grows(10, 0.1, 20, 1.0), step(20, 0.2)]).is_some());
    }
}
