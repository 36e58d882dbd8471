//! Recordings and alerts of what was promised.

use std::collections::BTreeSet;

use super::{Alerting, Rule, Rules, days, number};
use crate::{
    meters::names,
    slo::{Alert, Alerts, EVENTS_MIN, Promise, Severity},
};

const SHORT: [&str; 5] = ["5m", "30m", "1h", "2h", "6h"];
const LONG: [&str; 2] = ["1d", "3d"];

/// Increases of five minutes in a day.
const SLOTS_A_DAY: u64 = 288;

/// Events of all replicas in every window.
pub(super) fn windows(rules: &mut Rules<'_>, periods: &BTreeSet<u64>) {
    let events = names::SLO_EVENTS.name;
    let (total, bad) = (rules.series(events, &[]), rules.series(events, &["result=\"bad\""]));
    let record = |rules: &mut Rules<'_>, window: &str| {
        for (what, series) in [("total", &total), ("bad", &bad)] {
            let sum = format!("sum by (audience, slo) (increase({series}[{window}]))");
            rules.record(&format!("usher:slo_{what}:increase{window}"), sum);
        }
    };
    rules.group("usher-slo-windows", "30s");
    SHORT.iter().for_each(|window| record(rules, window));
    rules.group("usher-slo-days", "2m");
    LONG.iter().for_each(|window| record(rules, window));
    rules.group("usher-slo-periods", "1m");
    for days in periods {
        for what in ["total", "bad"] {
            let sum = format!("sum_over_time(usher:slo_{what}:increase5m[{days}d:5m])");
            rules.record(&format!("usher:slo_{what}:increase_{days}d"), sum);
        }
        // As long as there is less than a whole window of history, what there is is taken for the
        // rest: an average has no such end, and gaps weigh nothing in it.
        let slots = days * SLOTS_A_DAY;
        let mean = format!("avg_over_time(usher:slo_total:increase5m[{days}d:5m]) * {slots}");
        rules.record(&format!("usher:slo_total:expected_{days}d"), mean);
    }
}

/// Objective, burn rate and budget of each promise.
pub(super) fn standings(rules: &mut Rules<'_>, promises: &[Promise]) {
    rules.group("usher-slo-standings", "30s");
    for promise in promises {
        let of = selector(promise);
        let labels =
            || vec![("audience", promise.audience.to_string()), ("slo", promise.label.to_string())];
        let budget = number(promise.budget());
        let constant = |value: f64| format!("vector({})", number(value));
        rules.labelled("usher:slo_objective:ratio", constant(promise.target.ratio()), labels());
        rules.labelled("usher:slo_period:days", constant(days(promise) as f64), labels());
        for window in SHORT.iter().chain(&LONG) {
            let increase = |what: &str| format!("usher:slo_{what}:increase{window}{of}");
            let (bad, total) = (increase("bad"), increase("total"));
            let burn = format!("{bad}\n  / ({total} > 0)\n  / {budget}");
            rules.labelled(&format!("usher:slo_burn_rate:ratio{window}"), burn, labels());
        }
        let days = days(promise);
        let left = format!(
            "1 - usher:slo_bad:increase_{days}d{of}\n  \
             / ({budget} * (usher:slo_total:increase_{days}d{of} > 0))"
        );
        rules.labelled("usher:slo_budget_left:ratio", left, labels());
    }
}

/// Pages and tickets for each promise, and a ticket when its budget is used up.
pub(super) fn alerts(rules: &mut Rules<'_>, promises: &[Promise]) {
    rules.group("usher-slo-alerts", "30s");
    for promise in promises {
        match Alerts::of(promise) {
            Alerts::Feasible { alerts, .. } => {
                alerts.iter().for_each(|alert| burning(rules, promise, alert));
            }
            Alerts::Impossible { outage } => {
                let Promise { audience, label, target, .. } = promise;
                rules.text += &format!(
                    "      # {audience} {label}: no alert on its burn rate. With a target of \
                     {target} a full outage\n      # burns only {outage:.1} times as fast as \
                     allowed.\n"
                );
            }
        }
        exhausted(rules, promise);
    }
}

fn burning(rules: &mut Rules<'_>, promise: &Promise, alert: &Alert) {
    let expression = match rules.options.alerting {
        Alerting::Count => by_count(promise, alert),
        Alerting::Classic => by_ratio(promise, alert),
    };
    let name = match alert.severity {
        Severity::Page => "UsherErrorBudgetBurnFast",
        Severity::Ticket => "UsherErrorBudgetBurnSlow",
    };
    let long = alert.long;
    let (factor, share) = (alert.factor, alert.share * 100.0);
    let Promise { audience, label, target, .. } = promise;
    let summary = format!("{audience}: {label} {target} is being missed, seen over {long}");
    let description = format!(
        "The error budget of {days} days goes {factor:.1} times as fast as it may: about \
         {share:.1} % of it is gone within {long}. `usher slo` says on what.",
        days = days(promise),
    );
    let mut labels = whose(promise);
    labels.push(("severity", alert.severity.name().to_owned()));
    labels.push(("long_window", long.to_owned()));
    let annotations = vec![
        ("summary", summary),
        ("description", description),
        ("runbook_url", rules.runbook(name)),
    ];
    rules.add(&Rule { kind: "alert", name, expression, wait: None, labels, annotations });
}

/// So much of the budget that the whole window may spend, in both windows; and more than an
/// accident.
fn by_count(promise: &Promise, alert: &Alert) -> String {
    let (of, days) = (selector(promise), days(promise));
    let allowed = alert.share * promise.budget();
    let Alert { long, short, .. } = alert;
    let expected = format!("usher:slo_total:expected_{days}d{of}");
    let (long_share, short_share) = (number(allowed), number(allowed / 12.0));
    format!(
        "usher:slo_bad:increase{long}{of} >= {EVENTS_MIN}\n\
         and usher:slo_bad:increase{long}{of} >= {long_share} * {expected}\n\
         and usher:slo_bad:increase{short}{of} >= {short_share} * {expected}\n\
         and usher:slo_bad:increase{short}{of} > 0"
    )
}

fn by_ratio(promise: &Promise, alert: &Alert) -> String {
    let of = selector(promise);
    let Alert { long, short, factor, .. } = alert;
    let factor = number(*factor);
    format!(
        "usher:slo_burn_rate:ratio{long}{of} > {factor}\n\
         and usher:slo_burn_rate:ratio{short}{of} > {factor}"
    )
}

fn exhausted(rules: &mut Rules<'_>, promise: &Promise) {
    let name = "UsherErrorBudgetExhausted";
    let Promise { audience, label, target, .. } = promise;
    let summary = format!("{audience}: the error budget of {label} {target} is used up");
    let description = format!(
        "More went wrong in {} days than was promised. `usher gate` holds deploys back; `usher \
         slo` says on what it went.",
        days(promise)
    );
    let annotations = vec![
        ("summary", summary),
        ("description", description),
        ("runbook_url", rules.runbook(name)),
    ];
    let mut labels = whose(promise);
    labels.push(("severity", Severity::Ticket.name().to_owned()));
    rules.add(&Rule {
        kind: "alert",
        name,
        // A fresh promise is broken by its first bad event; that is no news for anybody.
        expression: format!(
            "usher:slo_budget_left:ratio{of} < 0\nand usher:slo_bad:increase_{days}d{of} >= \
             {EVENTS_MIN}",
            of = selector(promise),
            days = days(promise)
        ),
        wait: Some("5m"),
        labels,
        annotations,
    });
}

/// The series that Sloth makes, by the names that its dashboards know.
pub(super) fn as_sloth_names_them(rules: &mut Rules<'_>, promises: &[Promise]) {
    for promise in promises {
        let (service, slo) = (service(promise), promise.label.to_string());
        let id = format!("{service}-{slo}");
        rules.group(&format!("sloth-slo-sli-recordings-{id}"), "30s");
        let labels = |window: Option<&str>| {
            let mut labels = vec![
                ("sloth_id", id.clone()),
                ("sloth_service", service.clone()),
                ("sloth_slo", slo.clone()),
            ];
            labels.extend(window.map(|window| ("sloth_window", window.to_owned())));
            labels
        };
        let of = selector(promise);
        let period = format!("{}d", days(promise));
        let windows = SHORT.iter().chain(&LONG).map(|window| (*window, ""));
        for (window, joint) in windows.chain([(period.as_str(), "_")]) {
            let increase = |what: &str| format!("usher:slo_{what}:increase{joint}{window}{of}");
            let ratio = format!(
                "sum without (audience, slo) ({} / ({} > 0))",
                increase("bad"),
                increase("total")
            );
            let name = format!("slo:sli_error:ratio_rate{window}");
            rules.labelled(&name, ratio, labels(Some(window)));
        }
        rules.group(&format!("sloth-slo-meta-recordings-{id}"), "30s");
        sloth_meta(rules, promise, &id, &labels(None));
    }
}

fn sloth_meta(rules: &mut Rules<'_>, promise: &Promise, id: &str, labels: &[(&str, String)]) {
    let days = days(promise);
    let constant = |value: f64| format!("vector({})", number(value));
    let joined = format!(
        "on (sloth_id, sloth_slo, sloth_service) group_left ()\n\
         slo:error_budget:ratio{{sloth_id=\"{id}\"}}"
    );
    let burn =
        |window: &str| format!("slo:sli_error:ratio_rate{window}{{sloth_id=\"{id}\"}}\n/ {joined}");
    for (name, expression) in [
        ("slo:objective:ratio", constant(promise.target.ratio())),
        ("slo:error_budget:ratio", constant(promise.budget())),
        ("slo:time_period:days", constant(days as f64)),
        ("slo:current_burn_rate:ratio", format!("max without (sloth_window) (\n{}\n)", burn("5m"))),
        (
            "slo:period_burn_rate:ratio",
            format!("max without (sloth_window) (\n{}\n)", burn(&format!("{days}d"))),
        ),
        (
            "slo:period_error_budget_remaining:ratio",
            format!("1 - slo:period_burn_rate:ratio{{sloth_id=\"{id}\"}}"),
        ),
    ] {
        rules.labelled(name, expression, labels.to_vec());
    }
    let mut info = labels.to_vec();
    info.push(("sloth_mode", "usher".to_owned()));
    info.push(("sloth_spec", "prometheus/v1".to_owned()));
    info.push(("sloth_version", concat!("usher-", env!("CARGO_PKG_VERSION")).to_owned()));
    info.push(("sloth_objective", number(promise.target.percent())));
    rules.labelled("sloth_slo_info", "vector(1)".to_owned(), info);
}

/// Its labels. They are the expression's own; said once more, they tell rules of one name apart.
fn whose(promise: &Promise) -> Vec<(&'static str, String)> {
    vec![("audience", promise.audience.to_string()), ("slo", promise.label.to_string())]
}

/// The series of one promise.
fn selector(promise: &Promise) -> String {
    format!("{{audience=\"{}\",slo=\"{}\"}}", promise.audience, promise.label)
}

/// What an audience is called where other services have objectives as well.
pub(super) fn service(promise: &Promise) -> String {
    format!("usher-{}", promise.audience)
}
