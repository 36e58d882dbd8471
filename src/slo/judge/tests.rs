//! The cases of `docs/slo.md`, one by one.

use super::*;
use crate::{
    name::Name,
    slo::{PATIENCE, StatusSet, WINDOW},
    units::Percent,
};

const MS: Duration = Duration::from_millis(1);
const WITHIN: Duration = Duration::from_millis(300);

fn promise(aim: Aim) -> Promise {
    Promise {
        audience: Name::parse("customer").expect("a name"),
        objective: 0,
        label: aim.label(None),
        aim,
        target: Percent::parse("99.9%").expect("a share"),
        window: WINDOW,
        sla: None,
        bad: StatusSet::default(),
    }
}

fn ended(status: u16, first_byte: Option<Duration>, ended: Duration) -> Ended {
    Ended { status: StatusCode::from_u16(status).ok(), fault: None, first_byte, ended, said: None }
}

fn served(status: u16) -> Ended {
    ended(status, Some(10 * MS), 20 * MS)
}

fn faulted(fault: Fault, after: Duration) -> Ended {
    Ended { fault: Some(fault), ..ended(fault.status().as_u16(), None, after) }
}

/// What it amounts to for availability, for latency to the first byte, and to completion.
fn verdicts(ended: &Ended) -> [Option<Verdict>; 3] {
    let aims = [
        Aim::Availability { patience: PATIENCE },
        Aim::Latency { within: WITHIN, on: On::FirstByte },
        Aim::Latency { within: WITHIN, on: On::Completion },
    ];
    aims.map(|aim| promise(aim).judge(ended))
}

const GOOD: Option<Verdict> = Some(Verdict::Good);
const LATE: Option<Verdict> = Some(Verdict::Bad(Cause::Late));

fn by(fault: Fault) -> Option<Verdict> {
    Some(Verdict::Bad(Cause::Fault(fault)))
}

#[test]
fn what_the_monolith_answers_below_500_is_good() {
    for status in [101, 200, 204, 301, 304, 400, 401, 403, 404, 422, 429] {
        assert_eq!(verdicts(&served(status)), [GOOD; 3], "{status}");
    }
}

#[test]
fn what_it_answers_from_500_on_is_bad_however_fast() {
    for status in [500, 502, 503, 504, 599] {
        let expected = [Some(Verdict::Bad(Cause::ServerError)); 3];
        assert_eq!(verdicts(&served(status)), expected, "{status}");
    }
}

#[test]
fn in_time_is_up_to_within_to_the_nanosecond() {
    let nanosecond = Duration::from_nanos(1);
    let at = |first_byte, whole| verdicts(&ended(200, Some(first_byte), whole));
    assert_eq!(at(WITHIN, WITHIN), [GOOD; 3]);
    assert_eq!(at(WITHIN, WITHIN + nanosecond), [GOOD, GOOD, LATE]);
    assert_eq!(at(WITHIN + nanosecond, WITHIN + nanosecond), [GOOD, LATE, LATE]);
}

#[test]
fn faults_of_usher_and_of_the_monolith_are_bad_and_refusals_of_the_clients_are_not_counted() {
    for fault in Fault::ALL.iter().copied() {
        let expected = match (fault.blame(), fault.outcome()) {
            (Blame::Client, Outcome::Abandoned) => continue,
            (Blame::Client, _) => [None; 3],
            (Blame::Usher | Blame::Upstream, _) => [by(fault); 3],
        };
        assert_eq!(verdicts(&faulted(fault, MS)), expected, "{fault}");
        assert_eq!(verdicts(&faulted(fault, 60_000 * MS)), expected, "{fault} is not about time");
    }
}

#[test]
fn an_answer_that_was_cut_on_our_side_is_bad_though_its_head_came_in_time() {
    for fault in [Fault::UpstreamBroke, Fault::BetweenBytesTimeout, Fault::Draining] {
        let cut = Ended { fault: Some(fault), ..served(200) };
        assert_eq!(verdicts(&cut), [by(fault); 3]);
    }
}

#[test]
fn a_client_that_leaves_before_the_head_counts_once_it_has_waited_too_long() {
    let left = |after| verdicts(&faulted(Fault::ClientLeft, after));
    let gave_up = by(Fault::ClientLeft);
    assert_eq!(left(WITHIN), [None; 3]);
    assert_eq!(left(WITHIN + MS), [None, gave_up, gave_up]);
    assert_eq!(left(PATIENCE), [None, gave_up, gave_up]);
    assert_eq!(left(PATIENCE + MS), [gave_up; 3]);
}

#[test]
fn a_client_that_leaves_within_the_answer_leaves_what_had_come_by_then() {
    let leaves = |status, first_byte, after| {
        let ended = ended(status, Some(first_byte), after);
        verdicts(&Ended { fault: Some(Fault::ClientLeft), ..ended })
    };
    assert_eq!(leaves(200, MS, 2 * MS), [GOOD, GOOD, None]);
    assert_eq!(leaves(200, MS, 2 * WITHIN), [GOOD, GOOD, by(Fault::ClientLeft)]);
    assert_eq!(leaves(200, 2 * WITHIN, 3 * WITHIN), [GOOD, LATE, by(Fault::ClientLeft)]);
    let error = Some(Verdict::Bad(Cause::ServerError));
    assert_eq!(leaves(500, MS, 2 * MS), [error; 3]);
}

#[test]
fn a_client_that_takes_nothing_more_of_its_answer_does_not_make_it_late() {
    let stalled = Ended { fault: Some(Fault::ClientStalled), ..ended(200, Some(MS), 9 * PATIENCE) };
    assert_eq!(verdicts(&stalled), [GOOD, GOOD, None]);
    assert_eq!(verdicts(&faulted(Fault::ClientStalled, 9 * PATIENCE)), [None; 3]);
}

#[test]
fn the_monolith_has_a_word_in_it() {
    let says = |said, ended: Ended| verdicts(&Ended { said: Some(said), ..ended });
    assert_eq!(says(Said::Bad, served(200)), [Some(Verdict::Bad(Cause::Said)); 3]);
    assert_eq!(says(Said::Exclude, served(500)), [None; 3]);
    let cut = Ended { fault: Some(Fault::UpstreamBroke), ..served(200) };
    assert_eq!(says(Said::Exclude, cut), [None; 3]);
    assert_eq!(says(Said::Bad, cut), [by(Fault::UpstreamBroke); 3]);
    let words = [&b"bad"[..], b" Exclude ", b"BAD", b"good", b"", b"bad, exclude"];
    let read = words.map(Said::parse);
    assert_eq!(read, [Some(Said::Bad), Some(Said::Exclude), Some(Said::Bad), None, None, None]);
}

#[test]
fn more_statuses_can_be_bad() {
    let listed = |status| {
        let bad = StatusSet::one(404).expect("a status").with(StatusSet::class(1));
        let aim = Aim::Latency { within: WITHIN, on: On::FirstByte };
        Promise { bad, ..promise(aim) }.judge(&served(status))
    };
    let bad = Some(Verdict::Bad(Cause::ListedStatus));
    assert_eq!([404, 101, 403, 500].map(listed)[..3], [bad, bad, GOOD]);
}
