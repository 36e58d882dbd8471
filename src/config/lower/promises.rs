//! Objectives: what was promised to an audience.

use std::collections::HashSet;

use super::{bounded, rules};
use crate::{
    classify::PathPattern,
    config::{
        Latency, Objective,
        document::{self, At, OneOrMany, Or, Reader, Wait},
        source::Span,
    },
    slo::{self, Alerts, StatusSet},
    units::format_duration,
};

const OBJECTIVES_MAX: usize = 32;

/// The most statuses or paths of an objective.
const LISTED_MAX: usize = 1000;

/// Lowers those of one audience.
pub(super) fn lower(
    at: Option<&At<OneOrMany<document::Objective>>>,
    reader: &mut Reader,
) -> Vec<Objective> {
    let Some(at) = at else { return Vec::new() };
    bounded(at.value.items.len(), OBJECTIVES_MAX, "objectives", at.key, reader);
    let mut names = HashSet::new();
    let mut lowered = Vec::new();
    for objective in &at.value.items {
        let (objective, span) = lower_objective(objective, reader);
        if !names.insert(objective.name.clone()) {
            let message = match &objective.name {
                Some(name) => format!("two objectives of this audience are called `{name}`"),
                None => "two objectives of this audience have no name".to_owned(),
            };
            reader.error_with(span, message, "give each a `name:` of its own");
        }
        lowered.push(objective);
    }
    lowered
}

fn lower_objective(at: &At<document::Objective>, reader: &mut Reader) -> (Objective, Span) {
    let written = &at.value;
    let whole = "leave `only` out to speak about the whole audience";
    let only = written.only.as_ref().map(|list| rules::lower_only(list, whole, reader));
    let objective = Objective {
        name: written.name.as_ref().map(|name| name.value.name.clone()),
        only: only.into_iter().flatten().map(|rule| rule.spec).collect(),
        availability: written.availability.as_ref().map(|at| at.value.0),
        latency: written.latency.as_ref().and_then(|at| latency(&at.value, reader)),
        sla: written.sla.as_ref().map(|at| at.value.0),
        bad: bad(written.bad.as_ref(), reader),
        exclude: exclude(written, reader),
        window: window(written.window.as_ref(), reader),
    };
    if !["availability", "latency"].iter().any(|key| written.written.contains(key)) {
        let hint = "write `availability: 99.9%` or `latency: { within: 300ms, target: 99% }`";
        reader.error_with(at.span, "this objective promises nothing", hint);
    }
    for share in [&written.availability, &written.sla].into_iter().flatten() {
        reachable(share, reader);
    }
    laxer(written, &objective, reader);
    alarms(written, &objective, reader);
    let span = written.name.as_ref().map_or(at.span, |name| name.span);
    (objective, span)
}

/// What was promised to others lies below what one aims at.
fn laxer(written: &document::Objective, objective: &Objective, reader: &mut Reader) {
    let Some(sla) = &written.sla else { return };
    match objective.availability {
        Some(availability) if sla.value.0 >= availability => {
            let message = format!("the `sla` is not laxer than the objective, {availability}");
            let hint = "promise others less than you aim at, or the alarm comes after the damage";
            reader.warn(sla.span, message, hint);
        }
        Some(_) => {}
        None if written.written.contains(&"availability") => {}
        None => {
            let message = "`sla` speaks about availability, and this objective promises none";
            reader.warn(sla.key, message, "add `availability`, or take `sla` out");
        }
    }
}

/// A target so low that nothing could set its alerts off says so here, and not when it is too late.
fn alarms(written: &document::Objective, objective: &Objective, reader: &mut Reader) {
    let latency = written.latency.as_ref().and_then(|at| at.value.target.as_ref());
    let targets = [written.availability.as_ref(), latency];
    for at in targets.into_iter().flatten().filter(|at| at.value.0.percent() > 0.0) {
        if let Some(word) = Alerts::for_target(at.value.0, objective.window).word() {
            let hint = "raise the target, or watch something else of it: docs/slo.md, \"Alerts\"";
            reader.warn(at.span, word, hint);
        }
    }
}

fn bad(at: Option<&At<OneOrMany<document::Statuses>>>, reader: &mut Reader) -> StatusSet {
    let Some(at) = at else { return StatusSet::default() };
    if at.value.empty {
        reader.error_with(at.span, "an empty list of statuses", "take `bad` out");
    }
    bounded(at.value.items.len(), LISTED_MAX, "statuses", at.key, reader);
    for item in at.value.items.iter().filter(|item| item.value.0.iter().any(|it| it >= 500)) {
        let message = "statuses from 500 on are always bad";
        reader.warn(item.span, message, "name only those below 500");
    }
    let statuses = at.value.items.iter().map(|item| item.value.0);
    statuses.fold(StatusSet::default(), StatusSet::with)
}

/// An objective that says what it is about by `only` is about just that.
fn exclude(written: &document::Objective, reader: &mut Reader) -> Vec<PathPattern> {
    let Some(at) = &written.exclude else {
        let scoped = written.written.contains(&"only");
        return if scoped { Vec::new() } else { slo::excluded_by_default() };
    };
    let Or::Value(paths) = &at.value else { return Vec::new() };
    if paths.empty {
        let hint = "write `exclude: off` to count every path";
        reader.error_with(at.span, "an empty list of paths", hint);
    }
    bounded(paths.items.len(), LISTED_MAX, "paths", at.key, reader);
    paths.items.iter().map(|path| path.value.pattern.clone()).collect()
}

fn window(at: Option<&At<Wait>>, reader: &mut Reader) -> std::time::Duration {
    let Some(at) = at else { return slo::WINDOW };
    let window = at.value.0;
    let days = window.as_secs().is_multiple_of(86_400) && window.subsec_nanos() == 0;
    if !days || !(slo::WINDOW_MIN..=slo::WINDOW_MAX).contains(&window) {
        let message = format!("a window of {} is none", format_duration(window));
        let hint = "write whole days from `7d` to `30d`; `28d` holds as many weekends each time";
        reader.error_with(at.span, message, hint);
        return slo::WINDOW;
    }
    window
}

fn latency(written: &document::Latency, reader: &mut Reader) -> Option<Latency> {
    let (within, target) = (written.within.as_ref()?, written.target.as_ref()?);
    reachable(target, reader);
    let within = super::house::positive(Some(within), within.value.0, reader);
    let on = written.on.as_ref().map_or_else(Default::default, |on| on.value.0);
    Some(Latency { within, target: target.value.0, on })
}

fn reachable(share: &At<document::PercentLeaf>, reader: &mut Reader) {
    let percent = share.value.0.percent();
    if percent >= 100.0 {
        let message = "100% leaves no error budget: one bad answer breaks it";
        reader.warn(share.span, message, "write for example `99.9%`");
    } else if percent <= 0.0 {
        reader.error(share.span, "0% promises nothing");
    }
}
