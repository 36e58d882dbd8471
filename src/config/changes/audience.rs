//! What changes for an audience.

use super::{labels, rules};
use crate::config::{Audience, Objective};

/// What changes from `old` to `new`, which have one name.
pub(super) fn audience(old: &Audience, new: &Audience) -> Vec<String> {
    // All fields, so that none is forgotten that comes later.
    let Audience {
        name: _,
        rules: taken,
        only,
        pool,
        fallback,
        priority,
        share,
        objectives,
        page,
        timeouts,
        rate_limit,
        versions,
        rule_timeouts,
    } = new;
    let mut lines = Vec::new();
    lines.extend(rules("rule", &old.rules, taken));
    lines.extend(rules("`only` rule", &old.only, only));
    if old.pool != *pool {
        lines.push(format!("pool {} → {pool}", old.pool));
    }
    let told = |versions: &Option<crate::config::Versions>| format!("{versions:?}");
    for (key, differs) in [
        ("fallback", old.fallback != *fallback),
        ("priority", old.priority != *priority),
        ("share", old.share != *share),
        ("promise", promises(&old.objectives) != promises(objectives)),
        ("timeouts", (old.timeouts, &old.rule_timeouts) != (*timeouts, rule_timeouts)),
        ("rate_limit", old.rate_limit != *rate_limit),
        ("app versions", told(&old.versions) != told(versions)),
        ("page", old.page != *page),
    ] {
        if differs {
            lines.push(format!("{key} changed"));
        }
    }
    lines
}

/// Promises as texts that differ where the promises do.
fn promises(objectives: &[Objective]) -> Vec<String> {
    let text = |objective: &Objective| {
        let Objective { name, only, availability, latency, sla, bad, exclude, window } = objective;
        let only = labels(only);
        let exclude: Vec<String> = exclude.iter().map(ToString::to_string).collect();
        format!("{:?}", (name, only, availability, latency, sla, bad, exclude, window))
    };
    objectives.iter().map(text).collect()
}
