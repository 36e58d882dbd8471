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

#[test]
fn what_another_process_tells_again_replaces_what_it_told() {
    let mut ledger = Ledger::default();
    ledger.told("old", histories(5));
    ledger.told("old", histories(7));
    ledger.told("older", histories(1));
    assert_eq!(counted(&ledger), (8, 2));
    ledger.absorb("old");
    ledger.absorb("old");
    assert_eq!(counted(&ledger), (8, 2), "it only changes hands");
    assert_eq!(ledger.others().collect::<Vec<_>>(), ["older"]);
    ledger.forget("older");
    assert_eq!(counted(&ledger), (7, 1));
    assert_eq!(ledger.standing(&promise(), NOW).sums.since, Some(NOW - 1));
}

#[test]
fn a_promise_that_nobody_counts_for_has_no_standing() {
    let standing = Ledger::default().standing(&promise(), NOW);
    assert_eq!((standing.left, standing.sums.whole), (None, Count::default()));
}
