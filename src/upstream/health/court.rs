//! Whether a pool can spare an endpoint that has given cause to be ejected.
//!
//! Pure. Ejecting helps while others do better. When all fail alike (a database that stands still,
//! an application that answers 500) it only makes the rest fail faster, so an endpoint has to stand
//! out; and however many do, some of a pool always stay.

use super::{evidence::Cause, window::Totals};
use crate::config;

/// How an endpoint of the pool fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seat {
    /// Whether it takes requests.
    pub well: bool,
    /// Whether it is ejected.
    pub ejected: bool,
    /// Its requests of the last while.
    pub lately: Totals,
}

/// Whether the endpoint that fares as `accused` is ejected for `cause`, given `others` of its pool
/// and what became of their requests `since` this one began to fail.
pub fn grants(
    cause: Cause,
    accused: Seat,
    others: &[Seat],
    since: Totals,
    policy: &config::Ejection,
) -> bool {
    let well: Vec<&Seat> = others.iter().filter(|seat| seat.well).collect();
    if well.is_empty() {
        return false;
    }
    match cause {
        // Nobody listens there: no request that goes there is served.
        Cause::Refused => true,
        Cause::InRow { .. } => spares(others, policy) && stands_out(since),
        Cause::Share { .. } => spares(others, policy) && does_worse(accused, &well),
    }
}

/// Whether one more may be ejected.
fn spares(others: &[Seat], policy: &config::Ejection) -> bool {
    let ejected = others.iter().filter(|seat| seat.ejected).count() + 1;
    let members = others.len() + 1;
    let allowed = (policy.share.ratio() * members as f64).floor().max(1.0);
    policy.share.ratio() > 0.0 && ejected as f64 <= allowed
}

/// Whether most requests elsewhere went well meanwhile.
fn stands_out(since: Totals) -> bool {
    since.good > since.failed
}

/// Whether the others fail at most half as often.
fn does_worse(accused: Seat, others: &[&Seat]) -> bool {
    let lately = others.iter().fold(Totals::default(), |sum, seat| sum.and(seat.lately));
    lately.failed_share() * 2.0 <= accused.lately.failed_share()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{units::Percent, upstream::health::Evidence};

    const IN_ROW: Cause = Cause::InRow { count: 5, last: Evidence::Status(500) };

    fn well(good: u64, failed: u64) -> Seat {
        Seat { well: true, lately: Totals { good, failed }, ..Seat::default() }
    }

    fn ejected() -> Seat {
        Seat { ejected: true, ..Seat::default() }
    }

    const FINE: Totals = Totals { good: 1, failed: 0 };

    #[track_caller]
    fn check(cause: Cause, others: &[Seat], since: Totals, expected: bool) {
        let policy = config::Ejection::default();
        assert_eq!(grants(cause, well(50, 50), others, since, &policy), expected);
    }

    #[test]
    fn the_last_one_is_never_ejected() {
        for cause in [Cause::Refused, IN_ROW, Cause::Share { share: 1.0, of: 100 }] {
            check(cause, &[], FINE, false);
            check(cause, &[ejected(), ejected()], FINE, false);
        }
    }

    #[test]
    fn one_that_refuses_goes_while_another_is_usable_and_others_while_the_share_lasts() {
        check(Cause::Refused, &[ejected(), ejected(), well(1, 0)], Totals::default(), true);
        check(IN_ROW, &[ejected(), ejected(), well(1, 0)], FINE, false);
        check(IN_ROW, &[ejected(), well(1, 0), well(1, 0)], FINE, true);
        check(IN_ROW, &[well(1, 0)], FINE, true);
        let none =
            config::Ejection { share: Percent::of_share(0.0), ..config::Ejection::default() };
        assert!(!grants(IN_ROW, well(0, 5), &[well(1, 0)], FINE, &none));
    }

    #[test]
    fn when_all_fail_alike_none_is_ejected() {
        let others = [well(9, 0), well(9, 0)];
        check(IN_ROW, &others, Totals { good: 2, failed: 2 }, false);
        check(IN_ROW, &others, Totals { good: 0, failed: 0 }, false);
        check(IN_ROW, &others, Totals { good: 3, failed: 2 }, true);
        let share = Cause::Share { share: 0.5, of: 100 };
        check(share, &[well(60, 40)], FINE, false);
        check(share, &[well(80, 20)], FINE, true);
        check(share, &[well(0, 0)], FINE, true);
    }
}
