//! What changes from one configuration to another, in the words of a release note.
//!
//! One line says what changes for an audience, a pool or a listener; two configurations that decide
//! and serve alike have no lines, whatever else their files hold.

use std::{fmt, hash::Hash};

use rustc_hash::FxHashMap;

use super::{AddressSpec, Audience, Config, Listener, NamedTable, Objective, Pool};
use crate::{classify::RuleSpec, units::format_duration};

/// What changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// A line each: `audience driver: +1 rule`.
    pub applied: Vec<String>,
    /// What is written now and takes a restart to act.
    pub at_restart: Vec<String>,
}

/// What changes from `old` to `new`.
pub fn changes(old: &Config, new: &Config) -> Changes {
    let mut applied = Vec::new();
    listeners(&old.listeners, &new.listeners, &mut applied);
    if old.trusted_proxies != new.trusted_proxies {
        applied.push("trusted_proxies changed, for connections from now on".to_owned());
    }
    if old.fault_header != new.fault_header {
        applied.push("fault_header changed".to_owned());
    }
    if old.underscore_headers != new.underscore_headers {
        applied.push("underscore_headers changed, for connections from now on".to_owned());
    }
    if old.operators.tokens != new.operators.tokens {
        applied.push("control tokens changed".to_owned());
    }
    if old.gate != new.gate {
        applied.push("gate changed".to_owned());
    }
    if old.database != new.database {
        applied.push("database changed".to_owned());
    }
    if old.resolver != new.resolver {
        applied.push("resolver changed".to_owned());
    }
    if old.drain != new.drain {
        applied.push("drain changed".to_owned());
    }
    if old.identity != new.identity {
        applied.push("identity changed".to_owned());
    }
    if old.graphql != new.graphql {
        applied.push("graphql changed".to_owned());
    }
    if old.sticky != new.sticky {
        applied.push("sticky changed".to_owned());
    }
    named(&old.tables, &new.tables, "table", |t| t.name.as_str(), table, &mut applied);
    named(&old.audiences, &new.audiences, "audience", |a| a.name.as_str(), audience, &mut applied);
    let order = |config: &Config| -> Vec<String> {
        let kept = |a: &&Audience| find(old, &a.name).is_some() && find(new, &a.name).is_some();
        config.audiences.iter().filter(kept).map(|a| a.name.to_string()).collect()
    };
    if order(old) != order(new) {
        applied.push(format!("audiences are tried in another order: {}", order(new).join(", ")));
    }
    named(&old.pools, &new.pools, "pool", |p| p.name.as_str(), pool, &mut applied);
    Changes { applied, at_restart: at_restart(old, new) }
}

fn find<'a>(config: &'a Config, name: &crate::name::Name) -> Option<&'a Audience> {
    config.audiences.iter().find(|audience| audience.name == *name)
}

/// Lines about what was added, removed and changed among things with names.
fn named<T>(
    old: &[T],
    new: &[T],
    kind: &str,
    name: impl Fn(&T) -> &str,
    differences: impl Fn(&T, &T) -> Vec<String>,
    lines: &mut Vec<String>,
) {
    for gone in old.iter().filter(|o| !new.iter().any(|n| name(n) == name(o))) {
        lines.push(format!("{kind} {}: removed", name(gone)));
    }
    for now in new {
        match old.iter().find(|o| name(o) == name(now)) {
            None => lines.push(format!("{kind} {}: added", name(now))),
            Some(before) => {
                let differences = differences(before, now);
                if !differences.is_empty() {
                    lines.push(format!("{kind} {}: {}", name(now), differences.join(", ")));
                }
            }
        }
    }
}

fn audience(old: &Audience, new: &Audience) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(rules("rule", &old.rules, &new.rules));
    lines.extend(rules("`only` rule", &old.only, &new.only));
    if old.pool != new.pool {
        lines.push(format!("pool {} → {}", old.pool, new.pool));
    }
    let promises = |objectives: &[Objective]| -> Vec<String> {
        let text = |objective: &Objective| {
            let Objective { name, only, availability, latency, sla, bad, exclude, window } =
                objective;
            let only = labels(only);
            let exclude: Vec<String> = exclude.iter().map(ToString::to_string).collect();
            format!("{:?}", (name, only, availability, latency, sla, bad, exclude, window))
        };
        objectives.iter().map(text).collect()
    };
    if promises(&old.objectives) != promises(&new.objectives) {
        lines.push("promise changed".to_owned());
    }
    if (old.timeouts, &old.rule_timeouts) != (new.timeouts, &new.rule_timeouts) {
        lines.push("timeouts changed".to_owned());
    }
    let versions = |audience: &Audience| format!("{:?}", audience.versions);
    if versions(old) != versions(new) {
        lines.push("app versions changed".to_owned());
    }
    if old.page != new.page {
        lines.push("page changed".to_owned());
    }
    lines
}

fn table(old: &NamedTable, new: &NamedTable) -> Vec<String> {
    match (old.table.lines(), new.table.lines()) {
        _ if old.digest == new.digest => Vec::new(),
        (before, now) if before == now => vec!["changed".to_owned()],
        (before, now) => vec![format!("{before} → {now} users")],
    }
}

fn pool(old: &Pool, new: &Pool) -> Vec<String> {
    let mut lines = Vec::new();
    fn address(pool: &Pool) -> Vec<&AddressSpec> {
        pool.endpoints.iter().map(|endpoint| &endpoint.address).collect()
    }
    lines.extend(counted("endpoint", &address(old), &address(new)));
    let weights = |pool: &Pool| -> Vec<u32> { pool.endpoints.iter().map(|e| e.weight).collect() };
    if address(old) == address(new) && weights(old) != weights(new) {
        lines.push("weights changed".to_owned());
    }
    if old.capacity != new.capacity {
        lines.push(format!("capacity {} → {}", old.capacity, new.capacity));
    }
    let timeouts = [
        ("connect", old.timeouts.connect, new.timeouts.connect),
        ("first_byte", old.timeouts.first_byte, new.timeouts.first_byte),
        ("between_bytes", old.timeouts.between_bytes, new.timeouts.between_bytes),
        ("total", old.timeouts.total, new.timeouts.total),
        ("keep_alive.idle", old.keep_alive_idle, new.keep_alive_idle),
    ];
    for (key, before, now) in timeouts.into_iter().filter(|(_, before, now)| before != now) {
        let (before, now) = (format_duration(before), format_duration(now));
        lines.push(format!("{key} {before} → {now}"));
    }
    if old.buffer != new.buffer {
        lines.push("buffer changed".to_owned());
    }
    for (key, differs) in [
        ("tls", old.dialect.tls != new.dialect.tls),
        ("protocol", old.dialect.http2 != new.dialect.http2),
        ("proxy_protocol", old.dialect.proxy_protocol != new.dialect.proxy_protocol),
        ("health", old.health != new.health),
        ("ejection", old.ejection != new.ejection),
        ("when_unhealthy", old.when_unhealthy != new.when_unhealthy),
        ("retry", old.retry != new.retry),
        ("database connections", old.database != new.database),
    ] {
        if differs {
            lines.push(format!("{key} changed"));
        }
    }
    lines
}

fn listeners(old: &[Listener], new: &[Listener], lines: &mut Vec<String>) {
    for gone in old.iter().filter(|o| !new.iter().any(|n| n.bind == o.bind)) {
        lines.push(format!("listener {}: removed", gone.bind));
    }
    for now in new {
        match old.iter().find(|o| o.bind == now.bind) {
            None => lines.push(format!("listener {}: added", now.bind)),
            Some(before) => {
                let differences = listener(before, now);
                if !differences.is_empty() {
                    lines.push(format!("listener {}: {}", now.bind, differences.join(", ")));
                }
            }
        }
    }
}

fn listener(old: &Listener, new: &Listener) -> Vec<&'static str> {
    let mut lines = Vec::new();
    if old.limits != new.limits {
        lines.push("limits changed");
    }
    match (old.h2c, new.h2c) {
        (false, true) => lines.push("HTTP/2 without TLS from now on"),
        (true, false) => lines.push("no HTTP/2 without TLS any more"),
        (true, true) | (false, false) => {}
    }
    for (key, differs) in [
        ("rights changed", old.access != new.access),
        ("proxy_protocol changed", old.proxy_protocol != new.proxy_protocol),
        ("redirect changed", old.redirect != new.redirect),
        ("hsts changed", old.hsts != new.hsts),
    ] {
        if differs {
            lines.push(key);
        }
    }
    match (&old.tls, &new.tls) {
        (None, None) => {}
        (None, Some(_)) => lines.push("TLS from now on"),
        (Some(_), None) => lines.push("plain text from now on"),
        (Some(old), Some(new)) if old.certificates != new.certificates => {
            lines.push("certificates changed");
        }
        (Some(old), Some(new)) if old != new => lines.push("TLS changed"),
        (Some(_), Some(_)) => {}
    }
    lines
}

fn at_restart(old: &Config, new: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    let mut differs = |key: &str, differs: bool| {
        if differs {
            lines.push(format!("{key} takes a restart"));
        }
    };
    let audit = |config: &Config| config.operators.audit.clone();
    let control = |config: &Config| (config.control.clone(), config.control_access, audit(config));
    differs("control", control(old) != control(new));
    let metrics = |config: &Config| (config.metrics.clone(), config.metrics_access);
    differs("metrics", metrics(old) != metrics(new));
    differs("workers", old.workers != new.workers);
    differs("access_log", old.access_log != new.access_log);
    differs("why", old.why_requests != new.why_requests);
    differs("slo_source", old.slo_source != new.slo_source);
    differs("state_dir", old.state_dir != new.state_dir);
    let within = |config: &Config| {
        let objectives = config.audiences.iter().flat_map(|audience| &audience.objectives);
        let mut within: Vec<_> =
            objectives.filter_map(|o| o.latency).map(|latency| latency.within).collect();
        within.sort();
        within.dedup();
        within
    };
    let edges = within(old);
    let new_edge = within(new).iter().any(|edge| !edges.contains(edge));
    differs("a bucket edge of the histograms for a new `within`", new_edge);
    lines
}

fn labels(rules: &[RuleSpec]) -> Vec<&str> {
    rules.iter().map(|rule| &*rule.label).collect()
}

fn rules(what: &str, old: &[RuleSpec], new: &[RuleSpec]) -> Option<String> {
    counted(what, &labels(old), &labels(new))
}

/// `+1 rule`, `−2 endpoints`, `+1 −1 rules`, or that the order changed.
fn counted<T: Eq + Hash>(what: &str, old: &[T], new: &[T]) -> Option<String> {
    if old == new {
        return None;
    }
    let mut more: FxHashMap<&T, i64> = FxHashMap::default();
    old.iter().for_each(|item| *more.entry(item).or_default() -= 1);
    new.iter().for_each(|item| *more.entry(item).or_default() += 1);
    let added: i64 = more.values().filter(|more| **more > 0).sum();
    let removed: i64 = more.values().filter(|more| **more < 0).map(|less| -less).sum();
    let plural = |count: i64| if count == 1 { "" } else { "s" };
    match (added, removed) {
        (0, 0) => Some(format!("{what}s in another order")),
        (added, 0) => Some(format!("+{added} {what}{}", plural(added))),
        (0, removed) => Some(format!("−{removed} {what}{}", plural(removed))),
        (added, removed) => Some(format!("+{added} −{removed} {what}s")),
    }
}

// === impl Changes ===

impl Changes {
    /// Whether nothing changes.
    pub fn is_empty(&self) -> bool {
        self.applied.is_empty() && self.at_restart.is_empty()
    }
}

impl fmt::Display for Changes {
    /// A line each, those that take a restart last.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "nothing changes");
        }
        for line in &self.applied {
            writeln!(f, "{line}")?;
        }
        for line in &self.at_restart {
            writeln!(f, "not applied: {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{LoadOptions, parse_text};

    const BASE: &str = "listeners: [{ bind: 127.0.0.1:80 }]\n\
        audiences:\n\
        - { name: driver, pool: driver, match: [{ path: /d/** }, { header: { X-App: driver } }] }\n\
        - { name: customer, pool: customer }\n\
        pools:\n\
        \x20 customer: { endpoints: [10.0.0.1:1, 10.0.0.2:1], capacity: 5 }\n\
        \x20 driver: { endpoints: [10.0.0.3:1], capacity: 5 }\n";

    #[track_caller]
    fn check(edits: &[(&str, &str)], expected: &[&str]) {
        let parse = |text: &str| {
            let parsed = parse_text("test", text, &LoadOptions::default());
            parsed.unwrap_or_else(|problems| panic!("{problems}")).0
        };
        let edited = edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        let changes = changes(&parse(BASE), &parse(&edited));
        assert_eq!(changes.to_string().lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn the_same_changes_nothing() {
        check(&[], &["nothing changes"]);
    }

    #[test]
    fn rules_and_endpoints_are_counted() {
        check(
            &[("{ path: /d/** }", "{ path: /d/** }, { path: /e }")],
            &["audience driver: +1 rule"],
        );
        check(&[("10.0.0.1:1, ", "")], &["pool customer: −1 endpoint"]);
        check(
            &[("[10.0.0.3:1], capacity: 5", "[10.0.0.4:1], capacity: 2")],
            &["pool driver: +1 −1 endpoints, capacity 5 → 2"],
        );
        check(
            &[(
                "{ path: /d/** }, { header: { X-App: driver } }",
                "{ header: { X-App: driver } }, { path: /d/** }",
            )],
            &["audience driver: rules in another order"],
        );
    }

    #[test]
    fn what_is_added_and_removed_is_named() {
        let audience = "- { name: customer,";
        let more = "- { name: admin, pool: driver, match: [{ path: /a/** }] }\n- { name: customer,";
        check(&[(audience, more)], &["audience admin: added"]);
        check(
            &[("127.0.0.1:80", "127.0.0.1:81")],
            &["listener 127.0.0.1:80: removed", "listener 127.0.0.1:81: added"],
        );
        check(
            &[("pool: driver,", "pool: customer,")],
            &["audience driver: pool driver → customer"],
        );
    }

    #[test]
    fn what_takes_a_restart_says_so() {
        check(
            &[("audiences:", "workers: 7\naudiences:")],
            &["not applied: workers takes a restart"],
        );
    }
}
