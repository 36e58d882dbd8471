//! What is counted once, and what is never counted twice.

use super::*;
use crate::{
    fault::Fault,
    meters::{Arm, Meters, Verdict},
    slo::{Aim, PATIENCE, StatusSet, WINDOW},
    units::Percent,
};

const NOW: u64 = 1_700_000_000;

fn promise() -> Promise {
    let aim = Aim::Availability { patience: PATIENCE };
    Promise {
        audience: Name::parse("customer").expect("a name"),
        objective: 0,
        label: aim.label(None),
        aim,
        target: Percent::parse("99%").expect("a share"),
        window: WINDOW,
        sla: None,
        bad: StatusSet::default(),
    }
}

fn counted(ledger: &Ledger) -> (u64, u64) {
    let sums = ledger.standing(&promise(), NOW).sums;
    assert!(sums.windows.iter().all(|window| *window == sums.whole), "{sums:?}");
    (sums.whole.good, sums.whole.bad)
}

#[test]
fn what_is_read_again_counts_by_its_difference_and_a_meter_that_returns_begins_anew() {
    let promise = promise();
    let meters = Meters::new(1, &[]);
    let mut ledger = Ledger::default();
    let meter = meters.promise(&promise.audience, &promise.label, Arm::Stable);
    let canary = meters.promise(&promise.audience, &promise.label, Arm::Canary);
    meter.count(0, Verdict::Good);
    ledger.take(NOW, meters.promises());
    ledger.take(NOW, meters.promises());
    assert_eq!(counted(&ledger), (1, 0));
    meter.count(0, Verdict::Bad(Cause::Fault(Fault::NoEndpoint)));
    canary.count(0, Verdict::Bad(Cause::Late));
    // Both go before they are read again, and one comes back.
    drop((meter, canary));
    let again = meters.promise(&promise.audience, &promise.label, Arm::Stable);
    again.count(0, Verdict::Good);
    ledger.take(NOW, meters.promises());
    ledger.take(NOW, meters.promises());
    assert_eq!(counted(&ledger), (2, 2));
    let causes = ledger.standing(&promise, NOW).sums.causes();
    assert_eq!(causes, [("late".to_owned(), 1), ("no_endpoint".to_owned(), 1)]);
}

fn histories(good: u64) -> Histories {
    let (promise, mut history) = (promise(), History::default());
    history.add(NOW - 1, Count { good, bad: 1 }, [("late", 1)]);
    [((promise.audience, promise.label), history)].into()
}

fn told(written: u64, good: u64) -> Told {
    Told { written, histories: histories(good) }
}

#[test]
fn what_is_told_twice_over_is_known_by_the_later_of_the_two() {
    let mut ledger = Ledger::default();
    ledger.told("old", told(NOW, 5), Extent::Whole);
    ledger.told("old", told(NOW - 3, 4), Extent::Whole);
    assert_eq!(counted(&ledger), (5, 1), "an old file");
    ledger.told("old", told(NOW, 6), Extent::Whole);
    ledger.told("old", told(NOW, 5), Extent::Changes);
    assert_eq!(counted(&ledger), (6, 1), "within a second what is more is later");
    ledger.told("old", Told { written: NOW + 1, ..Told::default() }, Extent::Changes);
    assert_eq!(counted(&ledger), (6, 1), "nothing has changed");
    ledger.told("old", told(NOW + 2, 9), Extent::Changes);
    assert_eq!(counted(&ledger), (9, 1));
    ledger.told("old", Told { written: NOW + 3, ..Told::default() }, Extent::Whole);
    assert_eq!(counted(&ledger), (0, 0), "all there is");
}

#[test]
fn what_is_contained_in_another_count_is_not_heard_any_more() {
    let mut ledger = Ledger::default();
    ledger.told("old", told(NOW, 5), Extent::Whole);
    ledger.absorb("old");
    ledger.told("old", told(NOW + 1, 6), Extent::Whole);
    assert_eq!(counted(&ledger), (5, 1));
    ledger.told("older", told(NOW, 2), Extent::Whole);
    ledger.contains("older");
    ledger.told("older", told(NOW + 1, 2), Extent::Whole);
    assert_eq!(counted(&ledger), (5, 1));
    ledger.absorb("unknown");
    ledger.told("unknown", told(NOW, 1), Extent::Whole);
    assert_eq!(counted(&ledger), (6, 2));
}

#[test]
fn what_has_no_room_is_said() {
    let mut ledger = Ledger::with_room_for(40);
    let readings = |ids: std::ops::Range<u64>| -> Vec<SloReading> {
        let reading = |id: u64| SloReading {
            key: (Name::parse("a").expect("a name"), id.to_string().into(), Arm::Stable),
            id,
            good: 1,
            bad: vec![(Cause::Late, 2)],
        };
        ids.map(reading).collect()
    };
    ledger.take(NOW, readings(0..40));
    assert_eq!(ledger.unkept(), 0);
    ledger.take(NOW, readings(40..42));
    assert_eq!(ledger.unkept(), 6);
    // Once the others have left every window there is room again.
    ledger.take(NOW + 40 * 86_400, readings(42..43));
    assert_eq!((ledger.unkept(), ledger.own().len()), (6, 1));
}

#[test]
fn what_another_process_tells_again_replaces_what_it_told() {
    let mut ledger = Ledger::default();
    ledger.told("old", told(NOW, 5), Extent::Whole);
    ledger.told("old", told(NOW + 1, 7), Extent::Whole);
    ledger.told("older", told(NOW, 1), Extent::Whole);
    assert_eq!(counted(&ledger), (8, 2));
    ledger.absorb("old");
    ledger.absorb("old");
    assert_eq!(counted(&ledger), (8, 2), "it only changes hands");
    assert_eq!(ledger.others().map(|(name, _)| name).collect::<Vec<_>>(), ["older"]);
    ledger.forget("older");
    assert_eq!(counted(&ledger), (7, 1));
    assert_eq!(ledger.standing(&promise(), NOW).sums.since, Some(NOW - 1));
}

#[test]
fn a_promise_that_nobody_counts_for_has_no_standing() {
    let standing = Ledger::default().standing(&promise(), NOW);
    assert_eq!((standing.left, standing.sums.whole), (None, Count::default()));
}
