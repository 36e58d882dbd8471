//! The lowest rate at which a body may arrive.
//!
//! A purse of waiting time: it holds [`GRACE`] at first and at most; waiting for the client takes
//! out of it, every byte that arrives pays in what it may cost at the lowest rate. Time in which
//! nobody asks for bytes is not the client's and costs nothing.

use std::time::Duration;

use tokio::time::Instant;

/// How long a client may send nothing at all.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// What is left of a client's waiting time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    bytes_per_second: u64,
    left: Duration,
    waiting_since: Option<Instant>,
}

// === impl Pace ===

impl Pace {
    /// A full purse.
    pub(super) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), left: GRACE, waiting_since: None }
    }

    /// Somebody waits for bytes from now on. The answer is when that is too long, if it began.
    pub(super) fn wait(&mut self, now: Instant) -> Option<Instant> {
        if self.waiting_since.is_some() {
            return None;
        }
        self.waiting_since = Some(now);
        Some(now + self.left)
    }

    /// Bytes have come. Without having been waited for they find a full purse or fill it up.
    pub(super) fn arrived(&mut self, bytes: usize, now: impl FnOnce() -> Instant) {
        if self.waiting_since.is_none() && self.left == GRACE {
            return;
        }
        let waited = self.waiting_since.take().map_or(Duration::ZERO, |since| now() - since);
        let earned = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        self.left = (self.left.saturating_sub(waited) + earned).min(GRACE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dribble_below_the_lowest_rate_ends_and_a_trickle_above_it_does_not() {
        let start = Instant::now();
        let seconds_until_late = |bytes: usize| {
            let mut pace = Pace::new(1000);
            for second in 0..600 {
                let now = start + Duration::from_secs(second);
                let late = pace.wait(now).expect("nobody waited yet");
                if late <= now + Duration::from_secs(1) {
                    return Some(second);
                }
                pace.arrived(bytes, || now + Duration::from_secs(1));
            }
            None
        };
        assert_eq!(seconds_until_late(0), Some(4));
        assert_eq!(seconds_until_late(500), Some(8));
        assert_eq!(seconds_until_late(1000), None);
    }
}
