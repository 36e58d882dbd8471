//! Audiences and their promises.

use std::collections::{HashMap, HashSet};

use super::{LoweredAudience, NAMES_MAX, RULES_MAX, bounded, no_effect_yet, rules};
use crate::{
    config::{
        Audience, Latency, Objective,
        document::{self, At, Document, FilePath, Many, NameLeaf, Reader, similar},
        source::Span,
    },
    name::Name,
};

const PAGE_BYTES_MAX: u64 = 256 << 10;
const OBJECTIVES_MAX: usize = 32;

/// Lowers all of them.
pub(super) fn lower(
    audiences: &At<Many<document::Audience>>,
    document: &Document,
    reader: &mut Reader,
) -> Vec<LoweredAudience> {
    bounded(audiences.value.items.len(), NAMES_MAX, "audiences", audiences.key, reader);
    let pools = document.pools.iter().flat_map(|pools| &pools.value.entries);
    let pools: Vec<&str> = pools.map(|(name, _)| name.value.as_str()).collect();
    let mut names: HashMap<Name, Span> = HashMap::new();
    let mut lowered = Vec::new();
    for audience in &audiences.value.items {
        let audience = lower_audience(audience, &pools, reader);
        if let Some(audience) = audience {
            let name = &audience.audience.name;
            if let Some(first) = names.insert(name.clone(), audience.name) {
                let place = reader.place(first, audience.name);
                let message = format!("two audiences are called `{name}`, the first {place}");
                reader.error_with(audience.name, message, "merge the two or rename one of them");
            }
            lowered.push(audience);
        }
    }
    let rules = lowered.iter().map(|audience| audience.rules.len()).sum();
    bounded(rules, RULES_MAX, "rules", audiences.key, reader);
    one_takes_the_rest(audiences, reader);
    lowered
}

/// Exactly one audience has no rules, and it is the last.
fn one_takes_the_rest(audiences: &At<Many<document::Audience>>, reader: &mut Reader) {
    let Some((last, others)) = audiences.value.items.split_last() else {
        if audiences.value.empty {
            reader.error(audiences.span, "usher needs at least one audience");
        }
        return;
    };
    for audience in others.iter().filter(|audience| !audience.value.written.contains(&"match")) {
        let message = format!(
            "{} has no `match` and takes all that is left: nothing reaches those after it",
            called(&audience.value),
        );
        reader.error_with(name_span(audience), message, "give it rules, or move it to the end");
    }
    if last.value.written.contains(&"match") {
        let message = "no audience takes what is left";
        let hint = "add one without `match` at the end, for example `- { name: public, pool: … }`";
        reader.error_with(name_span(last), message, hint);
    }
}

fn called(audience: &document::Audience) -> String {
    match &audience.name {
        Some(At { value: NameLeaf { name, .. }, .. }) => format!("audience `{name}`"),
        None => "this audience".to_owned(),
    }
}

fn name_span(audience: &At<document::Audience>) -> Span {
    audience.value.name.as_ref().map_or(audience.span, |name| name.span)
}

fn lower_audience(
    at: &At<document::Audience>,
    pools: &[&str],
    reader: &mut Reader,
) -> Option<LoweredAudience> {
    let audience = &at.value;
    let catch_all = "leave `match` out for the audience that takes all that is left";
    let rules = audience.r#match.as_ref().map(|list| rules::lower(list, catch_all, reader));
    let admits = "leave `only` out to admit everyone";
    let only = audience.only.as_ref().map(|list| rules::lower(list, admits, reader));
    let objectives = objectives(audience.slo.as_ref(), reader);
    let page = audience.page.as_ref().and_then(|page| read_page(page, reader));
    if let Some(pool) = &audience.pool {
        pool_exists(pool, pools, reader);
    }
    let name = audience.name.as_ref()?;
    Some(LoweredAudience {
        audience: Audience {
            name: name.value.name.clone(),
            rules: Vec::new(),
            only: only.into_iter().flatten().map(|rule| rule.spec).collect(),
            pool: audience.pool.as_ref()?.value.name.clone(),
            objectives,
            page,
        },
        name: name.span,
        rules: rules.unwrap_or_default(),
    })
}

fn pool_exists(at: &At<NameLeaf>, pools: &[&str], reader: &mut Reader) {
    let NameLeaf { name, shown } = &at.value;
    let name = name.as_str();
    if pools.contains(&name) {
        return;
    }
    let message = match similar(name, pools.iter().copied()) {
        Some(similar) => format!("there is no pool `{shown}`, did you mean `{similar}`?"),
        None => format!("there is no pool `{shown}`"),
    };
    let hint = match pools {
        [] => "add it under `pools:`".to_owned(),
        _ => format!("add it under `pools:`, or write one of {}", pools.join(", ")),
    };
    reader.error_with(at.span, message, hint);
}

fn objectives(
    at: Option<&At<document::OneOrMany<document::Objective>>>,
    reader: &mut Reader,
) -> Vec<Objective> {
    let hint = "objectives are shown by `usher status`; nothing is counted against them yet";
    no_effect_yet(at, "slo", hint, reader);
    let Some(at) = at else { return Vec::new() };
    bounded(at.value.items.len(), OBJECTIVES_MAX, "objectives", at.key, reader);
    let mut names = HashSet::new();
    let mut lowered = Vec::new();
    for objective in &at.value.items {
        let objective = lower_objective(objective, reader);
        if let (objective, span) = &objective
            && !names.insert(objective.name.clone())
        {
            let message = match &objective.name {
                Some(name) => format!("two objectives of this audience are called `{name}`"),
                None => "two objectives of this audience have no name".to_owned(),
            };
            reader.error_with(*span, message, "give each a `name:` of its own");
        }
        lowered.push(objective.0);
    }
    lowered
}

fn lower_objective(at: &At<document::Objective>, reader: &mut Reader) -> (Objective, Span) {
    let written = &at.value;
    let whole = "leave `only` out to speak about the whole audience";
    let only = written.only.as_ref().map(|list| rules::lower(list, whole, reader));
    let objective = Objective {
        name: written.name.as_ref().map(|name| name.value.name.clone()),
        only: only.into_iter().flatten().map(|rule| rule.spec).collect(),
        availability: written.availability.as_ref().map(|at| at.value.0),
        latency: written.latency.as_ref().and_then(|at| latency(&at.value, reader)),
        sla: written.sla.as_ref().map(|at| at.value.0),
    };
    if !["availability", "latency"].iter().any(|key| written.written.contains(key)) {
        let hint = "write `availability: 99.9%` or `latency: { within: 300ms, target: 99% }`";
        reader.error_with(at.span, "this objective promises nothing", hint);
    }
    for share in [&written.availability, &written.sla].into_iter().flatten() {
        reachable(share, reader);
    }
    if let (Some(sla), Some(availability)) = (&written.sla, &objective.availability)
        && sla.value.0 >= *availability
    {
        let message = format!("the `sla` is not laxer than the objective, {availability}");
        let hint = "promise others less than you aim at, or the alarm comes after the damage";
        reader.warn(sla.span, message, hint);
    }
    let span = written.name.as_ref().map_or(at.span, |name| name.span);
    (objective, span)
}

fn latency(written: &document::Latency, reader: &mut Reader) -> Option<Latency> {
    let (within, target) = (written.within.as_ref()?, written.target.as_ref()?);
    reachable(target, reader);
    let within = super::house::positive(Some(within), within.value.0, reader);
    Some(Latency { within, target: target.value.0 })
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

fn read_page(at: &At<FilePath>, reader: &mut Reader) -> Option<String> {
    let looked_at = reader.path(at.span, &at.value.text);
    reader.looked_at.push(looked_at);
    let path = reader.file_is_there(at.span, &at.value.text)?;
    let too_large = path.metadata().is_ok_and(|about| about.len() > PAGE_BYTES_MAX);
    if too_large {
        reader.error(at.span, format!("a page has at most {} KiB", PAGE_BYTES_MAX >> 10));
        return None;
    }
    match std::fs::read_to_string(&path) {
        Ok(page) => Some(page),
        Err(error) => {
            reader.error(at.span, format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}
