//! The gate before a deploy: what is left of the budgets, what somebody decided, and why.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::{
    control::{
        AnnotationOrder, AnnotationView, By, Deed, GateAudienceView, GateKept, GateOrder, GateView,
        OverrideOrder, OverrideView,
    },
    durable,
    slo::{Class, Promise, Standing, State, Thresholds, Verdict, worst},
};

/// The longest an override holds: whoever needs more has to decide anew.
const OVERRIDE_MAX: Duration = Duration::from_secs(7 * 86_400);

/// How long annotations are remembered: as long as the longest budget.
const ANNOTATION_MAX: Duration = Duration::from_secs(30 * 86_400);

/// The most of each.
const LISTED_MAX: usize = 100;

const FILE: &str = "gate.json";

/// What the gate remembers.
pub(super) struct Gate {
    path: Option<PathBuf>,
    kept: Mutex<GateKept>,
}

// === impl Gate ===

impl Gate {
    /// What was kept in `state_dir`. What cannot be read is told, and begins anew: overrides are
    /// gone then, which holds back more and not less.
    pub(super) fn open(state_dir: Option<&Path>) -> Self {
        let path = state_dir.map(|directory| directory.join(FILE));
        let read = path.as_deref().and_then(|path| {
            let bytes = durable::read(path).and_then(|bytes| {
                let kept = bytes.map(|bytes| GateKept::from_bytes(&bytes));
                kept.transpose().map_err(std::io::Error::other)
            });
            bytes.unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "the gate begins anew");
                None
            })
        });
        Self { path, kept: Mutex::new(read.unwrap_or_default()) }
    }

    /// Moves the state of each promise on. Returns whether any has changed.
    pub(super) fn move_on(
        &self,
        promises: &[Promise],
        standings: &[Standing],
        thresholds: &Thresholds,
    ) -> bool {
        let mut kept = self.kept.lock();
        let mut changed = false;
        for (promise, standing) in promises.iter().zip(standings) {
            // What is not known leaves the state as it was, for the day when it is known again.
            let Some(left) = standing.left else { continue };
            let before = kept.states.get(&key(promise)).and_then(|name| State::parse(name));
            let now = State::after(before, left, thresholds);
            if before != Some(now) {
                kept.states.insert(key(promise), now.name().to_owned());
                changed = true;
            }
        }
        changed
    }

    /// Writes down what is remembered. Waits for the disk.
    pub(super) fn keep(&self) {
        let Some(path) = &self.path else { return };
        let bytes = self.kept.lock().to_bytes();
        if let Err(error) = durable::write(path, &bytes) {
            tracing::error!(path = %path.display(), %error, "the gate cannot be written down");
        }
    }

    /// All that is remembered.
    pub(super) fn pack(&self) -> Value {
        // What was written a moment ago can be read.
        serde_json::from_slice(&self.kept.lock().to_bytes()).unwrap_or_default()
    }

    /// Remembers what another process did, and nothing else.
    ///
    /// # Errors
    ///
    /// It is not what [`Gate::pack`] makes.
    pub(super) fn unpack(&self, section: &Value) -> Result<(), serde_json::Error> {
        *self.kept.lock() = GateKept::from_bytes(section.to_string().as_bytes())?;
        Ok(())
    }

    /// The state of each promise that is known, by its audience: the worst, and the promise.
    pub(super) fn states(
        &self,
        promises: &[Promise],
        standings: &[Standing],
    ) -> Vec<GateAudienceView> {
        let kept = self.kept.lock();
        let mut views: Vec<GateAudienceView> = Vec::new();
        for (promise, standing) in promises.iter().zip(standings) {
            let state = kept.states.get(&key(promise)).and_then(|name| State::parse(name));
            let state = state.filter(|_| standing.left.is_some());
            let view = GateAudienceView {
                audience: promise.audience.to_string(),
                state: state.map(|state| state.name().to_owned()),
                slo: Some(promise.label.to_string()),
                budget_left: standing.left,
            };
            match views.iter_mut().find(|known| known.audience == view.audience) {
                None => views.push(view),
                Some(known) if is_worse(&view, known) => *known = view,
                Some(_) => {}
            }
        }
        views
    }

    /// The verdict about `audiences`, for something of `class`, at `now`.
    pub(super) fn ask(
        &self,
        audiences: &[&str],
        class: Class,
        promises: &[Promise],
        standings: &[Standing],
        now: Timestamp,
    ) -> GateView {
        let asked = |name: &str| audiences.is_empty() || audiences.contains(&name);
        let mut views = self.states(promises, standings);
        views.retain(|view| asked(&view.audience));
        let (overrides, annotations) = {
            let kept = self.kept.lock();
            let overrides = kept.overrides.iter().filter(|it| is_ahead(&it.until, now));
            let overrides = overrides.filter(|it| it.audience.as_deref().is_none_or(asked));
            let known = kept.annotations.iter();
            let known = known.filter(|it| it.audience.as_deref().is_none_or(asked));
            (overrides.cloned().collect::<Vec<_>>(), known.cloned().collect::<Vec<_>>())
        };
        let states: Vec<Option<State>> = views.iter().map(state_of).collect();
        let verdict = verdict(&views, &states, class, &overrides);
        let mut reasons: Vec<String> = overrides.iter().map(override_reason).collect();
        let mut by_weight: Vec<&GateAudienceView> = views.iter().collect();
        by_weight.sort_by_key(|view| std::cmp::Reverse(weight(view)));
        for view in by_weight {
            let found = promises.iter().zip(standings).find(|(promise, _)| {
                promise.audience.as_str() == view.audience
                    && Some(&*promise.label) == view.slo.as_deref()
            });
            reasons.extend(found.map(|(promise, standing)| reason(view, promise, standing)));
        }
        if views.is_empty() {
            reasons.push("nothing was promised, so nothing is known".to_owned());
        }
        reasons.extend(annotations.iter().map(annotation_reason));
        let known = states.iter().flatten().max();
        GateView {
            verdict: verdict.name().to_owned(),
            state: known.filter(|_| verdict != Verdict::Unknown).map(|it| it.name().to_owned()),
            class: if class == Class::Hotfix { "hotfix" } else { "normal" }.to_owned(),
            reasons,
            audiences: views,
            overrides,
            annotations,
        }
    }

    /// Does what `by` asks for at `now`, and says what is to be written down about it.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with the order.
    pub(super) fn tell(&self, order: &GateOrder, by: &By, now: Timestamp) -> Result<Deed, String> {
        let mut kept = self.kept.lock();
        let before = match order {
            // It takes nothing's place.
            GateOrder::Annotate(_) => Value::Null,
            GateOrder::Override(_) | GateOrder::End(_) => json!(kept.overrides),
        };
        kept.overrides.retain(|it| is_ahead(&it.until, now));
        let old = now.checked_sub(signed(ANNOTATION_MAX)).unwrap_or(now);
        kept.annotations.retain(|it| is_ahead(&it.until, old));
        if kept.overrides.len().max(kept.annotations.len()) >= LISTED_MAX
            && !matches!(order, GateOrder::End(_))
        {
            return Err(format!("There are {LISTED_MAX} already."));
        }
        match order {
            GateOrder::Override(order) => {
                let new = override_view(order, by, now)?;
                kept.overrides.retain(|it| it.audience != new.audience);
                kept.overrides.push(new);
            }
            GateOrder::End(order) => {
                let count = kept.overrides.len();
                kept.overrides.retain(|it| it.audience != order.audience);
                if kept.overrides.len() == count {
                    return Err("There is no such override.".to_owned());
                }
            }
            GateOrder::Annotate(order) => kept.annotations.push(annotation_view(order, by, now)?),
        }
        let after = match order {
            GateOrder::Annotate(order) => json!(order),
            GateOrder::Override(_) | GateOrder::End(_) => json!(kept.overrides),
        };
        let target = order.audience().map(|name| format!("audience:{name}"));
        Ok(Deed { target, before, after, ..by.deed(order.action(), "done") })
    }
}

// === free functions ===

fn key(promise: &Promise) -> String {
    format!("{} {}", promise.audience, promise.label)
}

fn state_of(view: &GateAudienceView) -> Option<State> {
    view.state.as_deref().and_then(State::parse)
}

/// What is frozen or red comes before what is not known, and that before what may go.
fn weight(view: &GateAudienceView) -> (u8, Option<State>) {
    let state = state_of(view);
    match state {
        Some(State::Frozen | State::Red) => (2, state),
        None => (1, state),
        Some(State::Yellow | State::Green) => (0, state),
    }
}

fn is_worse(view: &GateAudienceView, known: &GateAudienceView) -> bool {
    let left = |view: &GateAudienceView| view.budget_left.unwrap_or(f64::INFINITY);
    let (one, other) = (weight(view), weight(known));
    one > other || (one == other && left(view) < left(known))
}

/// An override for all decides; one for an audience decides for that one alone.
fn verdict(
    views: &[GateAudienceView],
    states: &[Option<State>],
    class: Class,
    overrides: &[OverrideView],
) -> Verdict {
    let all = overrides.iter().filter(|it| it.audience.is_none());
    let said: Vec<Verdict> = all.filter_map(|it| Verdict::parse(&it.verdict)).collect();
    let of = |view: &GateAudienceView| {
        let one = overrides.iter().find(|it| it.audience.as_ref() == Some(&view.audience));
        one.and_then(|it| Verdict::parse(&it.verdict))
    };
    let held = views.iter().any(|view| of(view) == Some(Verdict::Hold));
    if held || said.contains(&Verdict::Hold) {
        return Verdict::Hold;
    }
    if said.contains(&Verdict::Go) {
        return Verdict::Go;
    }
    let left: Vec<Option<State>> = views
        .iter()
        .zip(states)
        .filter(|(view, _)| of(view) != Some(Verdict::Go))
        .map(|(_, state)| *state)
        .collect();
    if left.is_empty() && !views.is_empty() { Verdict::Go } else { worst(&left, class) }
}

/// When and on what the budget went, in words.
fn reason(view: &GateAudienceView, promise: &Promise, standing: &Standing) -> String {
    let (name, slo) = (&view.audience, &promise.label);
    let (Some(state), Some(left)) = (state_of(view), standing.left) else {
        return format!("{name}: nothing is known about {slo}, since there was no event");
    };
    let mut text = format!(
        "{name} is {}: {:.1}% of the error budget of {slo} {} is left ({})",
        state.name(),
        left * 100.0,
        promise.target,
        state.meaning()
    );
    let causes: Vec<String> = standing
        .sums
        .causes()
        .iter()
        .take(3)
        .map(|(cause, count)| format!("{count} {cause}"))
        .collect();
    if !causes.is_empty() {
        text += &format!("; it went on {}", causes.join(", "));
    }
    if let Some((hour, bad)) = standing.sums.worst_hour() {
        let share = bad as f64 / standing.sums.whole.bad.max(1) as f64 * 100.0;
        let hour = i64::try_from(hour).ok().and_then(|hour| Timestamp::from_second(hour).ok());
        let hour = hour.map(|hour| hour.to_string()).unwrap_or_default();
        text += &format!("; {share:.0}% of it in the hour from {hour}");
    }
    text
}

fn override_reason(it: &OverrideView) -> String {
    let whom = it.audience.as_deref().unwrap_or("all audiences");
    let OverrideView { verdict, by, until, reason, .. } = it;
    format!("{by} decided {verdict} for {whom} until {until}: {reason}")
}

fn annotation_reason(it: &AnnotationView) -> String {
    let whom = it.audience.as_deref().map_or(String::new(), |name| format!(" ({name})"));
    let AnnotationView { reason, by, from, until, .. } = it;
    format!("{by} noted for {from} to {until}{whom}: {reason}; the budget counts it all the same")
}

fn is_ahead(time: &str, now: Timestamp) -> bool {
    time.parse::<Timestamp>().is_ok_and(|time| time > now)
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

fn required(reason: Option<&str>) -> Result<String, String> {
    let reason = reason.map(str::trim).filter(|reason| !reason.is_empty());
    reason.map(str::to_owned).ok_or_else(|| "A reason is required.".to_owned())
}

fn override_view(order: &OverrideOrder, by: &By, now: Timestamp) -> Result<OverrideView, String> {
    let reason = required(order.reason.as_deref())?;
    match Verdict::parse(&order.verdict) {
        Some(Verdict::Go | Verdict::Hold) => {}
        Some(Verdict::Unknown) | None => return Err("`verdict` is `go` or `hold`.".to_owned()),
    }
    let lasts = Duration::from_secs(order.for_seconds);
    if lasts.is_zero() || lasts > OVERRIDE_MAX {
        return Err("An override lasts at least a second and at most 7 days.".to_owned());
    }
    Ok(OverrideView {
        verdict: order.verdict.clone(),
        audience: order.audience.clone(),
        reason,
        by: by.name(),
        since: format!("{now:.0}"),
        until: now.checked_add(signed(lasts)).map(|at| format!("{at:.0}")).unwrap_or_default(),
    })
}

fn annotation_view(
    order: &AnnotationOrder,
    by: &By,
    now: Timestamp,
) -> Result<AnnotationView, String> {
    let reason = required(order.reason.as_deref())?;
    let time = |text: &str| {
        let example = "Write times as `2026-11-24T14:00:00Z`.";
        text.parse::<Timestamp>().map_err(|_| format!("`{text}` is no time. {example}"))
    };
    let (from, until) = (time(&order.from)?, time(&order.until)?);
    let oldest = now.checked_sub(signed(ANNOTATION_MAX)).unwrap_or(now);
    if from >= until || until > now || from < oldest {
        let what = "An annotation is about the past, 30 days at most, and ends after it begins.";
        return Err(what.to_owned());
    }
    Ok(AnnotationView {
        reason,
        audience: order.audience.clone(),
        by: by.name(),
        from: from.to_string(),
        until: until.to_string(),
    })
}

#[cfg(test)]
mod tests;
