//! Whether a request is sent again after an attempt that brought no answer, or a bad one.
//!
//! Pure. A retry has to be *safe* (nothing was sent, or doing it twice is doing it once), *useful*
//! (there is an endpoint to try and time left), and *affordable*: within the pool's budget, so that
//! an outage is not multiplied by those who notice it. A replay on a fresh connection, because a
//! reused one had died of old age, is no retry and is not decided here.

mod budget;
mod routes;

use crate::units::Percent;

pub use budget::Budget;
pub use routes::SafeRoutes;

/// The most attempts that can be asked for.
pub const ATTEMPTS_MAX: u32 = 3;

/// When a pool's requests are sent again.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// The most attempts of one request, the first included. A replay is none.
    pub attempts: u32,
    /// When no connection could be made: nothing was sent.
    pub on_connect: bool,
    /// When the connection ended before the first byte of an answer.
    pub on_broken: bool,
    /// When the answer did not begin in time.
    pub on_first_byte: bool,
    /// When the monolith answered with one of these.
    pub on_statuses: Vec<u16>,
    /// The share of the pool's requests that may be retries, over ten seconds.
    pub budget: Percent,
    /// So many retries a second there may always be.
    pub per_second: u32,
}

/// Why an attempt is not the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Connect,
    /// The connection ended before the first byte of an answer.
    Broken,
    /// The answer did not begin in time.
    FirstByte,
    /// The monolith answered with this status.
    Status(u16),
}

/// What is known of a request when an attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Attempts so far, the failed one included.
    pub attempts: u32,
    /// Whether doing it twice is doing it once.
    pub repeatable: bool,
    /// Whether its body is still whole.
    pub body_whole: bool,
    /// Whether there is time left before the deadline of all attempts.
    pub in_time: bool,
}

// === impl Policy ===

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: ATTEMPTS_MAX,
            on_connect: true,
            on_broken: true,
            on_first_byte: true,
            on_statuses: Vec::new(),
            budget: Percent::of_share(0.2),
            per_second: 10,
        }
    }
}

impl Policy {
    /// Whether a request is sent again, if the budget allows it.
    pub fn wants(&self, failure: Failure, situation: Situation) -> bool {
        let Situation { attempts, repeatable, body_whole, in_time } = situation;
        self.covers(failure)
            && attempts < self.attempts
            && in_time
            && body_whole
            // What was never sent cannot be done twice.
            && (failure == Failure::Connect || repeatable)
    }

    fn covers(&self, failure: Failure) -> bool {
        match failure {
            Failure::Connect => self.on_connect,
            Failure::Broken => self.on_broken,
            Failure::FirstByte => self.on_first_byte,
            Failure::Status(status) => self.on_statuses.contains(&status),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Situation =
        Situation { attempts: 1, repeatable: true, body_whole: true, in_time: true };

    #[track_caller]
    fn check(failure: Failure, situation: Situation, expected: bool) {
        let policy = Policy { on_statuses: vec![503], ..Policy::default() };
        assert_eq!(policy.wants(failure, situation), expected, "{failure:?} {situation:?}");
    }

    #[test]
    fn what_was_never_sent_may_be_sent_and_the_rest_only_where_it_is_safe() {
        let unsafe_one = Situation { repeatable: false, ..FIRST };
        check(Failure::Connect, unsafe_one, true);
        for failure in [Failure::Broken, Failure::FirstByte, Failure::Status(503)] {
            check(failure, FIRST, true);
            check(failure, unsafe_one, false);
        }
        check(Failure::Status(500), FIRST, false);
    }

    #[test]
    fn there_are_so_many_attempts_and_they_need_time_and_a_body() {
        for failure in [Failure::Connect, Failure::Broken, Failure::FirstByte] {
            check(failure, Situation { attempts: 2, ..FIRST }, true);
            check(failure, Situation { attempts: 3, ..FIRST }, false);
            check(failure, Situation { in_time: false, ..FIRST }, false);
            check(failure, Situation { body_whole: false, ..FIRST }, false);
        }
    }

    #[test]
    fn what_is_not_listed_is_not_tried_again() {
        let none = Policy {
            on_connect: false,
            on_broken: false,
            on_first_byte: false,
            ..Policy::default()
        };
        for failure in [Failure::Connect, Failure::Broken, Failure::FirstByte] {
            assert!(!none.wants(failure, FIRST));
        }
    }
}
