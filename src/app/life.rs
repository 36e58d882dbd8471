//! Signs of life, for a manager of services that waits for them: as long as every worker has some.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use crate::{proxy::Common, systemd};

/// How long a worker may do nothing before usher is not said to live.
const PULSE_WAIT: Duration = Duration::from_secs(5);

/// Watches whether all workers turn their loops.
#[derive(Debug)]
struct Vigil {
    /// How often each had beaten when all had since the look before.
    seen: Vec<u64>,
    /// For how long some have not.
    silent: Duration,
}

/// Shows systemd every `every` that usher lives.
pub(super) async fn show(every: Duration, common: Arc<Common>) {
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut vigil = Vigil::begin(common.pulse.read());
    loop {
        ticks.tick().await;
        match vigil.look(common.pulse.read(), every) {
            Ok(()) => systemd::alive(),
            Err(silent) => tracing::error!(?silent, "a worker does nothing any more"),
        }
    }
}

// === impl Vigil ===

impl Vigil {
    fn begin(pulse: Vec<u64>) -> Self {
        Self { seen: pulse, silent: Duration::ZERO }
    }

    /// Looks at how often each worker has beaten by now, `every` after the last look. Workers beat
    /// once a second, which may be less often than is looked.
    ///
    /// # Errors
    /// Some worker has not beaten for too long: for how long.
    fn look(&mut self, pulse: Vec<u64>, every: Duration) -> Result<(), Duration> {
        if self.seen.iter().zip(&pulse).all(|(seen, now)| seen != now) {
            *self = Self::begin(pulse);
        } else {
            self.silent += every;
        }
        if self.silent < PULSE_WAIT { Ok(()) } else { Err(self.silent) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn workers_that_beat_live_however_often_is_looked() {
        for looks in [1, 10] {
            let (every, mut vigil) = (SECOND / looks, Vigil::begin(vec![0, 0]));
            for look in 1..=20 * u64::from(looks) {
                let beats = look / u64::from(looks);
                assert_eq!(vigil.look(vec![beats, beats], every), Ok(()));
            }
        }
    }

    #[test]
    fn one_worker_that_does_nothing_is_enough_and_one_that_goes_on_lives_again() {
        let mut vigil = Vigil::begin(vec![7, 7]);
        for look in 1..=4 {
            assert_eq!(vigil.look(vec![7, 7 + look], SECOND), Ok(()));
        }
        for look in 5..=7 {
            let silent = Err(SECOND * u32::try_from(look).expect("few"));
            assert_eq!(vigil.look(vec![7, 7 + look], SECOND), silent);
        }
        assert_eq!(vigil.look(vec![8, 15], SECOND), Ok(()));
        assert_eq!(vigil.look(vec![8, 16], SECOND), Ok(()), "it is counted anew");
    }
}
