//! The status on one screen, for people: the worst audience first.
//!
//! Pure text, so that `usher status` and the live tables show the same.

mod table;
mod words;

use super::views::{AudienceView, EndpointView, NameView, PoolView, StatusView};
use table::{Align, table};
pub(crate) use words::{age, cut, milliseconds, share};
use words::{rate, target};

/// The lines of a screen, without the one of the prompt.
const LINES_MAX: usize = 23;

/// The width below which nothing sensible can be shown.
const WIDTH_MIN: usize = 40;

/// The most audiences and pools that are shown; what is wrong gets the rest.
const AUDIENCES_MAX: usize = 8;
const POOLS_MAX: usize = 6;

/// The most faults that are named of one audience.
const FAULTS_MAX: usize = 3;

const HASH_LETTERS: usize = 12;

/// `view` in at most 23 lines of at most `width` characters.
pub fn screen(view: &StatusView, width: usize) -> String {
    let width = width.max(WIDTH_MIN);
    let mut lines = head(view);
    lines.push(String::new());
    lines.extend(audience_table(&view.audiences, AUDIENCES_MAX, width));
    lines.push(String::new());
    lines.extend(pool_table(&view.pools, POOLS_MAX, width));
    let room = LINES_MAX.saturating_sub(lines.len() + 1);
    let wrong = first(what_is_wrong(view), room, "and {} more: --format json has everything");
    if !wrong.is_empty() && room > 0 {
        lines.push(String::new());
        lines.extend(wrong);
    }
    lines.iter().map(|line| cut(line, width).trim_end().to_owned() + "\n").collect()
}

/// The audiences as a table, the one whose promise suffers most first, with at most `most` of
/// them and no line longer than `width`.
pub fn audience_table(audiences: &[AudienceView], most: usize, width: usize) -> Vec<String> {
    use Align::{Left, Right};
    let columns = [
        ("AUDIENCE", Left),
        ("REQ/S", Right),
        ("P50", Right),
        ("P99", Right),
        ("IN TIME", Right),
        ("PROMISE", Left),
        ("BAD", Right),
        ("BUSY", Right),
    ];
    let row = |audience: &AudienceView| {
        [
            audience.name.clone(),
            rate(audience.rate),
            milliseconds(audience.p50_ms),
            milliseconds(audience.p99_ms),
            share(audience.good),
            promise(audience),
            share(audience.bad),
            audience.in_flight.to_string(),
        ]
    };
    let rows: Vec<_> = worst_first(audiences).into_iter().map(row).collect();
    first(table(&columns, &rows, width), most + 1, "and {} more audiences")
}

/// The audiences, the one whose promise suffers most first; among equals, the busiest.
pub fn worst_first(audiences: &[AudienceView]) -> Vec<&AudienceView> {
    let mut ordered: Vec<&AudienceView> = audiences.iter().collect();
    ordered.sort_by(|a, b| b.burn().total_cmp(&a.burn()).then_with(|| b.rate.total_cmp(&a.rate)));
    ordered
}

fn head(view: &StatusView) -> Vec<String> {
    let draining = if view.draining { ", draining" } else { "" };
    let config = &view.config;
    let hash: String = config.hash.chars().take(HASH_LETTERS).collect();
    let path = config.path.as_deref().unwrap_or("no file");
    let mut lines = vec![
        format!("usher {}, up {}{draining}", view.version, age(view.uptime_seconds)),
        format!("configuration {hash}, generation {}, {path}", config.generation),
    ];
    let issuers = view.issuers.iter().map(|issuer| format!("{} {}", issuer.url, issuer.keys));
    let issuers: Vec<String> = issuers.collect();
    if !issuers.is_empty() {
        lines.push(format!("published keys: {}", issuers.join(", ")));
    }
    let tables = view.tables.iter().map(|table| format!("{} {}", table.name, table.lines));
    let tables: Vec<String> = tables.collect();
    if !tables.is_empty() {
        lines.push(format!("users in tables: {}", tables.join(", ")));
    }
    lines
}

fn promise(audience: &AudienceView) -> String {
    let Some(promise) = &audience.promise else { return "-".to_owned() };
    let available = promise.availability.map(target);
    let latency = promise
        .target
        .zip(promise.within_ms)
        .map(|(share, within)| format!("{} in {}", target(share), milliseconds(Some(within))));
    let parts: Vec<String> = available.into_iter().chain(latency).collect();
    parts.join(", ")
}

fn pool_table(pools: &[PoolView], most: usize, width: usize) -> Vec<String> {
    use Align::{Left, Right};
    let columns = [
        ("POOL", Left),
        ("SLOTS", Right),
        ("QUEUE", Right),
        ("ORPHANS", Right),
        ("ENDPOINTS", Left),
    ];
    let row = |pool: &PoolView| {
        [
            pool.name.clone(),
            format!("{}/{}", pool.in_flight + pool.orphans, pool.capacity),
            pool.queue_length.to_string(),
            pool.orphans.to_string(),
            format!("{} of {} up", pool.endpoints_up(), pool.endpoints.len()),
        ]
    };
    let mut ordered: Vec<&PoolView> = pools.iter().collect();
    // Stable: what is equally well stays in the order of the configuration.
    ordered.sort_by_key(|pool| {
        let down = pool.endpoints.len() - pool.endpoints_up();
        std::cmp::Reverse((down, pool.queue_length))
    });
    let rows: Vec<_> = ordered.into_iter().map(row).collect();
    let mut lines = first(table(&columns, &rows, width), most + 1, "and {} more pools");
    if pools.iter().any(|pool| pool.capacity_is_per_process) {
        lines.push("Slots are counted by this process alone.".to_owned());
    }
    lines
}

fn what_is_wrong(view: &StatusView) -> Vec<String> {
    let mut wrong: Vec<String> = view.verbs.iter().map(|verb| verb.line(age)).collect();
    for pool in &view.pools {
        // Who drained one is said above.
        let not_up = pool.endpoints.iter().filter(|endpoint| !endpoint.is_up());
        let down = not_up.filter(|endpoint| endpoint.state != "drained");
        wrong.extend(down.map(|endpoint| endpoint_line(pool, endpoint)));
        wrong.extend(pool.names.iter().filter_map(|name| name_line(pool, name)));
        wrong.extend(pool.odd_one_out().map(|(endpoint, others)| odd_line(pool, endpoint, others)));
    }
    for audience in worst_first(&view.audiences).into_iter().filter(|it| !it.faults.is_empty()) {
        let faults = audience.faults.iter().take(FAULTS_MAX);
        let faults: Vec<_> = faults.map(|it| format!("{} {}", it.count, it.fault)).collect();
        let over = audience.window_seconds.round();
        wrong.push(format!("{}: {} in {over} s", audience.name, faults.join(", ")));
    }
    wrong.extend(view.problems.iter().cloned());
    wrong
}

/// What stands out among endpoints that all take requests.
fn odd_line(pool: &PoolView, endpoint: &EndpointView, others: f64) -> String {
    format!(
        "{} {} is the odd one out: {} of its requests fail, {} at the others",
        pool.name,
        endpoint.address,
        share(endpoint.failed_lately),
        share(Some(others))
    )
}

fn endpoint_line(pool: &PoolView, endpoint: &EndpointView) -> String {
    let from = endpoint.resolved_from.as_ref().map(|name| format!(" ({name})"));
    let why = endpoint.reason.as_ref().or(endpoint.last_error.as_ref());
    let error = why.map(|why| format!(": {why}"));
    format!(
        "{} {}{} is {}{}",
        pool.name,
        endpoint.address,
        from.unwrap_or_default(),
        endpoint.state,
        error.unwrap_or_default(),
    )
}

/// A name that does not resolve while its addresses of before stay in use, or that is odd. One that
/// never resolved is a down endpoint, and stands there.
fn name_line(pool: &PoolView, name: &NameView) -> Option<String> {
    let kept = name.addresses.len();
    let trouble = name.trouble.as_ref().filter(|_| kept > 0);
    let before = if name.inherited { "the usher before" } else { "before" };
    let stale = trouble.map(|trouble| {
        let since = name.since.as_deref().unwrap_or("a while ago");
        let NameView { name, .. } = name;
        format!(
            "{} {name} does not resolve since {since}, {kept} of {before} stay: {trouble}",
            pool.name
        )
    });
    let inherited = name.inherited.then(|| {
        format!("{} {} is not resolved yet, {kept} of {before} stay", pool.name, name.name)
    });
    stale.or(inherited).or_else(|| Some(format!("{} {}", pool.name, name.warning.as_ref()?)))
}

/// At most `most` of `lines`; where some are left out, `rest` says how many.
fn first(mut lines: Vec<String>, most: usize, rest: &str) -> Vec<String> {
    if lines.len() > most && most > 0 {
        let left_out = lines.len() + 1 - most;
        lines.truncate(most - 1);
        lines.push(rest.replace("{}", &left_out.to_string()));
    }
    lines
}

#[cfg(test)]
mod tests;
