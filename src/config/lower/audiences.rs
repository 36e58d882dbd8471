//! Audiences.

use std::collections::HashMap;

use super::{LoweredAudience, NAMES_MAX, RULES_MAX, bounded, promises, rules, versions};
use crate::{
    config::{
        Audience, Fallback, defaults,
        document::{self, At, Document, FilePath, Frequency, Many, NameLeaf, Reader, similar},
        source::Span,
    },
    name::Name,
    policy::rate,
};

const PAGE_BYTES_MAX: u64 = 256 << 10;

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
    shares_fit(audiences, reader);
    lowered
}

/// What audiences are guaranteed of one pool is there.
fn shares_fit(audiences: &At<Many<document::Audience>>, reader: &mut Reader) {
    let mut sums: HashMap<&Name, f64> = HashMap::new();
    for audience in audiences.value.items.iter().map(|at| &at.value) {
        let (Some(pool), Some(share)) = (&audience.pool, &audience.share) else { continue };
        let sum = sums.entry(&pool.value.name).or_default();
        let before = *sum;
        *sum += share.value.0.ratio();
        // The last digits of a sum of fractions are nobody's fault.
        if before <= 1.0 + 1e-9 && *sum > 1.0 + 1e-9 {
            let pool = &pool.value.name;
            let message = format!("the shares of pool `{pool}` come to more than 100%");
            reader.error_with(share.span, message, "lower this one or another");
        }
    }
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
    let only = audience.only.as_ref().map(|list| rules::lower_only(list, admits, reader));
    let timeouts = audience.timeouts.as_ref().map(|at| rules::overrides(at, reader));
    let objectives = promises::lower(audience.slo.as_ref(), reader);
    let page = audience.page.as_ref().and_then(|page| read_page(page, reader));
    if let Some(pool) = &audience.pool {
        pool_exists(pool, pools, reader);
    }
    let fallback = audience.fallback.as_ref().and_then(|at| fallback(at, audience, pools, reader));
    let name = audience.name.as_ref()?;
    Some(LoweredAudience {
        audience: Audience {
            name: name.value.name.clone(),
            rules: Vec::new(),
            only: only.into_iter().flatten().map(|rule| rule.spec).collect(),
            pool: audience.pool.as_ref()?.value.name.clone(),
            fallback,
            priority: audience.priority.as_ref().map_or(defaults::PRIORITY, |at| at.value.0),
            share: audience.share.as_ref().map(|at| at.value.0),
            objectives,
            page,
            timeouts: timeouts.unwrap_or_default(),
            rate_limit: rate_limits(audience.rate_limit.as_ref(), reader),
            versions: versions::lower(audience.versions.as_ref(), reader),
            rule_timeouts: rules
                .iter()
                .flatten()
                .enumerate()
                .filter_map(|(index, rule)| rule.timeouts.map(|(timeouts, _)| (index, timeouts)))
                .collect(),
        },
        name: name.span,
        rules: rules.unwrap_or_default(),
    })
}

fn fallback(
    at: &At<document::Fallback>,
    audience: &document::Audience,
    pools: &[&str],
    reader: &mut Reader,
) -> Option<Fallback> {
    let (pool, share) = (at.value.pool.as_ref()?, at.value.share.as_ref()?);
    pool_exists(pool, pools, reader);
    let own = audience.pool.as_ref().map(|own| &own.value.name);
    if own == Some(&pool.value.name) {
        let message = "the fallback is the audience's own pool";
        reader.error_with(pool.span, message, "name another pool, or leave `fallback` out");
    }
    if share.value.0.ratio() == 0.0 {
        let message = "a share of 0% lets nobody in";
        reader.error_with(share.span, message, "write at least `1%`, or leave `fallback` out");
    }
    Some(Fallback { pool: pool.value.name.clone(), share: share.value.0 })
}

fn rate_limits(at: Option<&At<document::RateLimits>>, reader: &mut Reader) -> rate::Limits {
    let Some(At { value: written, span, .. }) = at else { return rate::Limits::default() };
    if written.written.is_empty() {
        reader.error_with(*span, "there is no limit in it", "write `audience:`, `client:` or both");
    }
    let limit = |at: &Option<At<document::RateLimit>>| {
        let At { value: limit, .. } = at.as_ref()?;
        let Frequency(requests, per) = limit.rate.as_ref()?.value;
        let burst = limit.burst.as_ref().map(|at| at.value.0);
        let burst = burst.unwrap_or_else(|| rate::Limit::burst_of(requests, per));
        Some(rate::Limit { requests, per, burst })
    };
    rate::Limits { audience: limit(&written.audience), client: limit(&written.client) }
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

pub(super) fn read_page(at: &At<FilePath>, reader: &mut Reader) -> Option<String> {
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
