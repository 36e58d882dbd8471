//! The gate over some days.

use super::*;
use crate::{
    control::{EndOrder, Why},
    name::Name,
    slo::{Aim, Count, History, PATIENCE, StatusSet, Sums, WINDOW},
    units::Percent,
};

fn promise(audience: &str) -> Promise {
    let aim = Aim::Availability { patience: PATIENCE };
    Promise {
        audience: Name::parse(audience).expect("a name"),
        objective: 0,
        label: aim.label(None),
        aim,
        target: Percent::parse("99%").expect("a share"),
        window: WINDOW,
        sla: None,
        bad: StatusSet::default(),
    }
}

fn now() -> Timestamp {
    "2026-11-24T15:30:00Z".parse().expect("a time")
}

/// `bad` of 10,000 events were bad; 100 are allowed. None: no events at all.
fn standing(bad: Option<u64>) -> Standing {
    let seconds = now().as_second().unsigned_abs();
    let mut history = History::default();
    if let Some(bad) = bad {
        history.add(seconds, Count { good: 10_000 - bad, bad }, [("no_endpoint", bad)]);
    }
    let mut sums = Sums::default();
    sums.add(&history, seconds, WINDOW.as_secs());
    Standing::of(&promise("customer"), sums)
}

fn by(operator: &str) -> By {
    let why = Why { operator: Some(operator.to_owned()), reason: None };
    By { why, ..By::itself("loopback") }
}

/// A gate of customers and drivers of whose events so many were bad.
struct Scene {
    gate: Gate,
    promises: Vec<Promise>,
    standings: Vec<Standing>,
}

impl Scene {
    fn new(bad: [Option<u64>; 2]) -> Self {
        let promises = vec![promise("customer"), promise("driver")];
        let scene = Self { gate: Gate::open(None), promises, standings: Vec::new() };
        scene.with(bad)
    }

    fn with(mut self, bad: [Option<u64>; 2]) -> Self {
        self.standings = bad.map(standing).to_vec();
        self.gate.move_on(&self.promises, &self.standings, &Thresholds::default());
        self
    }

    fn ask(&self, audiences: &[&str], class: Class) -> GateView {
        self.gate.ask(audiences, class, &self.promises, &self.standings, now())
    }

    fn verdict(&self) -> String {
        self.ask(&[], Class::Normal).verdict
    }

    fn decide(&self, verdict: &str, audience: Option<&str>) -> Result<Deed, String> {
        let order = OverrideOrder {
            verdict: verdict.to_owned(),
            audience: audience.map(str::to_owned),
            for_seconds: 7_200,
            reason: Some("the sale begins".to_owned()),
            operator: None,
        };
        self.gate.tell(&GateOrder::Override(order), &by("alice"), now())
    }
}

#[test]
fn the_worst_audience_decides_and_says_when_and_on_what_the_budget_went() {
    let scene = Scene::new([Some(10), Some(95)]);
    let view = scene.ask(&[], Class::Normal);
    assert_eq!((view.verdict.as_str(), view.state.as_deref()), ("hold", Some("frozen")));
    let reason = &view.reasons[0];
    assert!(reason.starts_with("driver is frozen: 5.0% of the error budget"), "{reason}");
    assert!(
        reason.contains("95 no_endpoint") && reason.contains("2026-11-24T15:00:00Z"),
        "{reason}"
    );
    assert_eq!(scene.ask(&["customer"], Class::Normal).verdict, "go");
    let scene = scene.with([Some(10), Some(80)]);
    assert_eq!(scene.verdict(), "hold");
    assert_eq!(scene.ask(&[], Class::Hotfix).verdict, "go", "red lets hotfixes pass");
    let scene = scene.with([Some(10), Some(72)]);
    assert_eq!(scene.verdict(), "hold", "it is not better by the margin yet");
    assert_eq!(scene.with([Some(10), Some(69)]).verdict(), "go");
}

#[test]
fn what_is_not_known_is_not_green_and_keeps_its_state_for_later() {
    let scene = Scene::new([Some(10), None]);
    let view = scene.ask(&[], Class::Normal);
    assert_eq!((view.verdict.as_str(), view.state), ("unknown", None));
    assert!(view.reasons[0].contains("nothing is known"), "{:?}", view.reasons);
    let scene = scene.with([Some(10), Some(95)]).with([Some(10), None]);
    assert_eq!(scene.verdict(), "unknown");
    assert_eq!(scene.with([Some(10), Some(86)]).verdict(), "hold", "it was frozen before");
    let nobody = Gate::open(None).ask(&[], Class::Normal, &[], &[], now());
    assert_eq!(nobody.verdict, "unknown");
}

#[test]
fn an_override_has_a_reason_a_name_and_an_end_and_is_told() {
    let scene = Scene::new([Some(10), Some(95)]);
    let deed = scene.decide("go", Some("driver")).expect("a good order");
    assert_eq!(
        (deed.action.as_str(), deed.target.as_deref()),
        ("gate override", Some("audience:driver"))
    );
    assert_eq!((deed.before, &deed.after[0]["audience"]), (json!([]), &json!("driver")));
    let view = scene.ask(&[], Class::Normal);
    assert_eq!((view.verdict.as_str(), view.state.as_deref()), ("go", Some("frozen")));
    let said = "alice (loopback) decided go for driver until 2026-11-24T17:30:00Z: the sale begins";
    assert_eq!(view.reasons[0], said);
    let later: Timestamp = "2026-11-24T17:30:01Z".parse().expect("a time");
    let view = scene.gate.ask(&[], Class::Normal, &scene.promises, &scene.standings, later);
    assert_eq!(view.verdict, "hold");
    scene.decide("hold", None).expect("a good order");
    assert_eq!(scene.ask(&["customer"], Class::Hotfix).verdict, "hold");
    let end = |audience: Option<&str>| {
        let audience = audience.map(str::to_owned);
        let order = GateOrder::End(EndOrder { audience, ..EndOrder::default() });
        scene.gate.tell(&order, &by("bob"), now())
    };
    end(None).expect("there is one");
    end(Some("driver")).expect("there is one");
    assert!(end(None).is_err());
    assert_eq!(scene.verdict(), "hold");
}

#[test]
fn an_order_without_a_reason_or_an_end_is_refused() {
    let scene = Scene::new([Some(10), Some(10)]);
    let whole = OverrideOrder {
        verdict: "go".into(),
        for_seconds: 60,
        reason: Some("because".into()),
        ..OverrideOrder::default()
    };
    for wrong in [
        OverrideOrder { reason: Some("  ".into()), ..whole.clone() },
        OverrideOrder { for_seconds: 0, ..whole.clone() },
        OverrideOrder { for_seconds: 8 * 86_400, ..whole.clone() },
        OverrideOrder { verdict: "unknown".into(), ..whole },
    ] {
        let order = GateOrder::Override(wrong.clone());
        assert!(scene.gate.tell(&order, &by("alice"), now()).is_err(), "{wrong:?}");
    }
}

#[test]
fn an_annotation_changes_words_and_no_number() {
    let scene = Scene::new([Some(10), Some(95)]);
    let order = AnnotationOrder {
        from: "2026-11-24T14:00:00Z".into(),
        until: "2026-11-24T15:00:00Z".into(),
        reason: Some("the provider's network was down".into()),
        ..AnnotationOrder::default()
    };
    let tell = |order: &AnnotationOrder| {
        scene.gate.tell(&GateOrder::Annotate(order.clone()), &by("alice"), now())
    };
    scene.decide("hold", Some("customer")).expect("a good order");
    let before = scene.ask(&[], Class::Normal);
    let deed = tell(&order).expect("a good order");
    assert_eq!((deed.before, &deed.after["reason"]), (Value::Null, &json!(order.reason)));
    let after = scene.ask(&[], Class::Normal);
    assert_eq!((&after.verdict, &after.audiences), (&before.verdict, &before.audiences));
    assert!(after.reasons.iter().any(|it| it.contains("provider")), "{:?}", after.reasons);
    let backwards =
        AnnotationOrder { from: order.until.clone(), until: order.from.clone(), ..order };
    assert!(tell(&backwards).is_err());
}

#[test]
fn what_it_remembers_survives_a_restart_and_a_torn_file_holds_nothing_back() {
    let directory = tempfile::tempdir().expect("a directory");
    let scene = Scene { gate: Gate::open(Some(directory.path())), ..Scene::new([None, None]) };
    let scene = scene.with([Some(10), Some(95)]);
    scene.decide("go", Some("driver")).expect("a good order");
    scene.gate.keep();
    let again = Scene { gate: Gate::open(Some(directory.path())), ..Scene::new([None, None]) };
    let again = again.with([Some(10), Some(86)]);
    assert_eq!(again.verdict(), "go", "the override goes on");
    assert_eq!(again.ask(&[], Class::Normal).state.as_deref(), Some("frozen"), "so does the state");
    std::fs::write(directory.path().join(FILE), "{\"states\":").expect("writable");
    let torn = Scene { gate: Gate::open(Some(directory.path())), ..Scene::new([None, None]) };
    assert_eq!(torn.with([Some(10), Some(95)]).verdict(), "hold");
}
