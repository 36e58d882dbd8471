//! What changes from one configuration to another, in the words of a release note.
//!
//! One line says what changes for an audience, a pool or a listener; two configurations that decide
//! and serve alike have no lines, whatever else their files hold.

mod audience;
mod listeners;
mod pool;

use std::{fmt, hash::Hash};

use rustc_hash::FxHashMap;

use super::{Audience, Config, Fixed, NamedTable};
use crate::{classify::RuleSpec, stride::pause};

use audience::audience;
use listeners::listeners;
use pool::pool;

/// What changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// A line each: `audience driver: +1 rule`.
    pub applied: Vec<String>,
    /// What is written now and takes a restart to act: `workers takes a restart`.
    pub at_restart: Vec<String>,
}

/// What changes from `old` to `new` in a process for which `fixed` holds.
pub fn changes(old: &Config, new: &Config, fixed: &Fixed) -> Changes {
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
    Changes { applied, at_restart: fixed.waiting(new) }
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
        pause();
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

fn table(old: &NamedTable, new: &NamedTable) -> Vec<String> {
    match (old.table.lines(), new.table.lines()) {
        _ if old.digest == new.digest => Vec::new(),
        (before, now) if before == now => vec!["changed".to_owned()],
        (before, now) => vec![format!("{before} → {now} users")],
    }
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
    fn parse(text: &str) -> Config {
        let parsed = parse_text("test", text, &LoadOptions::default());
        parsed.unwrap_or_else(|problems| panic!("{problems}")).0
    }

    #[track_caller]
    fn check(edits: &[(&str, &str)], expected: &[&str]) {
        let edited = edits.iter().fold(BASE.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        });
        let (old, new) = (parse(BASE), parse(&edited));
        let changes = changes(&old, &new, &Fixed::of(&old));
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
    fn whatever_has_an_effect_is_named() {
        let driver = "name: driver, pool: driver,";
        for (key, written) in [
            ("priority", "priority: high"),
            ("share", "share: 50%"),
            ("rate_limit", "rate_limit: { client: { rate: 5/s } }"),
            ("fallback", "fallback: { pool: customer, share: 10% }"),
            ("promise", "slo: { availability: 99% }"),
            ("timeouts", "timeouts: { total: 9s }"),
        ] {
            let edited = format!("{driver} {written},");
            check(&[(driver, &edited)], &[&format!("audience driver: {key} changed")]);
        }
        let pool = "[10.0.0.3:1], capacity: 5";
        for (written, expected) in [
            ("queue: { length: 7 }", "queue changed"),
            ("balance: round_robin", "balance changed"),
            ("when_empty: wait", "when_empty changed"),
            ("event_streams: 5%", "event_streams changed"),
            ("buffer: { request: off }", "buffer changed"),
            ("retry: off", "retry changed"),
            ("ejection: off", "ejection changed"),
            ("slow_start: 9s", "slow_start 0s → 9s"),
            ("abandoned: { hold: 9s }", "abandoned.hold 30s → 9s"),
            ("keep_alive: { idle: 9s }", "keep_alive.idle 15s → 9s"),
        ] {
            let edited = format!("{pool}, {written}");
            check(&[(pool, &edited)], &[&format!("pool driver: {expected}")]);
        }
        let heavier = "{ address: 10.0.0.2:1, weight: 2 }, 10.0.0.9:1]";
        check(&[("10.0.0.2:1]", heavier)], &["pool customer: +1 endpoint, weights changed"]);
    }

    #[test]
    fn what_takes_a_restart_says_so() {
        check(
            &[("audiences:", "workers: 7\naudiences:")],
            &["not applied: workers takes a restart"],
        );
    }

    #[test]
    fn what_takes_a_restart_is_said_until_it_is_as_at_the_start() {
        let started = parse(BASE);
        let fixed = Fixed::of(&started);
        let (first, second) = (parse(&format!("workers: 7\n{BASE}")), parse(BASE));
        let third = parse(&format!("workers: 7\nfault_header: off\n{BASE}"));
        let waiting = ["workers takes a restart".to_owned()];
        assert_eq!(changes(&started, &first, &fixed).at_restart, waiting);
        assert_eq!(changes(&first, &third, &fixed).at_restart, waiting);
        assert!(changes(&third, &second, &fixed).at_restart.is_empty());
    }
}
