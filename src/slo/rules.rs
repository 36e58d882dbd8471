//! Rules for Prometheus, and the same promises as others write them.
//!
//! Everything is made of `usher_slo_events_total` by summing increases over replicas, and only then
//! dividing: a ratio of sums weighs each event alike, an average of ratios weighs a quiet night
//! like a busy noon. The promise's own window is summed from increases of five minutes, which is
//! twenty times less to read than its raw counters.

mod foreign;
mod own;
mod promised;

use std::{collections::BTreeSet, fmt::Write as _};

pub use foreign::{openslo, sloth};

use super::Promise;

/// How alerts are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Alerting {
    /// By how much of the budget is gone: quiet at night.
    #[default]
    Count,
    /// By the ratio in each window, as in the SRE workbook.
    Classic,
}

/// What can be chosen.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// How alerts are asked for.
    pub alerting: Alerting,
    /// Matchers for every series of usher's, such as `job="usher"`; empty: all there are.
    pub selector: String,
    /// Where the runbooks are; `docs/slo.md` when empty.
    pub runbooks: String,
}

/// A file of rules under construction.
struct Rules<'a> {
    text: String,
    options: &'a Options,
}

/// A rule that records a series or alerts.
struct Rule<'a> {
    kind: &'static str,
    name: &'a str,
    expression: String,
    wait: Option<&'static str>,
    labels: Vec<(&'a str, String)>,
    annotations: Vec<(&'a str, String)>,
}

/// The rules for `promises` and for usher itself, as a file for Prometheus.
pub fn prometheus(promises: &[Promise], options: &Options) -> String {
    let mut rules = Rules { text: String::from(HEAD), options };
    if !promises.is_empty() {
        promised::windows(&mut rules, &periods(promises));
        promised::standings(&mut rules, promises);
        promised::alerts(&mut rules, promises);
        promised::as_sloth_names_them(&mut rules, promises);
    }
    own::alerts(&mut rules);
    rules.text
}

const HEAD: &str = "\
# Made by `usher rules`: change the configuration, not this file.
#
# usher:slo_total:increase*, usher:slo_bad:increase*   events of all replicas in a window
# usher:slo_total:expected*                            events of a whole window at the average rate
# usher:slo_budget_left:ratio                          1 is all of it, below 0 the promise is broken
# usher:slo_burn_rate:ratio1h                          at 1 the budget lasts exactly the window
groups:
";

/// The windows of promises, in days.
fn periods(promises: &[Promise]) -> BTreeSet<u64> {
    promises.iter().map(days).collect()
}

fn days(promise: &Promise) -> u64 {
    promise.window.as_secs() / 86_400
}

/// A number without the noise of binary fractions.
fn number(value: f64) -> String {
    let text = format!("{value:.9}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    text.to_owned()
}

// === impl Rules ===

impl Rules<'_> {
    /// Begins a group that is evaluated every `interval`.
    fn group(&mut self, name: &str, interval: &str) {
        let _ = writeln!(self.text, "  - name: {name}\n    interval: {interval}\n    rules:");
    }

    /// A series of usher's, with `matchers` and those that were chosen.
    fn series(&self, name: &str, matchers: &[&str]) -> String {
        let chosen = Some(self.options.selector.as_str()).filter(|it| !it.is_empty());
        let all: Vec<&str> = matchers.iter().copied().chain(chosen).collect();
        if all.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", all.join(",")) }
    }

    fn record(&mut self, name: &str, expression: String) {
        self.labelled(name, expression, Vec::new());
    }

    fn labelled(&mut self, name: &str, expression: String, labels: Vec<(&str, String)>) {
        let annotations = Vec::new();
        self.add(&Rule { kind: "record", name, expression, wait: None, labels, annotations });
    }

    fn add(&mut self, rule: &Rule<'_>) {
        let text = &mut self.text;
        let _ = writeln!(text, "      - {}: {}", rule.kind, rule.name);
        let _ = writeln!(text, "        expr: |-");
        for line in rule.expression.lines() {
            let _ = writeln!(text, "          {line}");
        }
        if let Some(wait) = rule.wait {
            let _ = writeln!(text, "        for: {wait}");
        }
        for (head, pairs) in [("labels", &rule.labels), ("annotations", &rule.annotations)] {
            if pairs.is_empty() {
                continue;
            }
            let _ = writeln!(text, "        {head}:");
            for (key, value) in pairs {
                let _ = writeln!(text, "          {key}: {}", quoted(value));
            }
        }
    }

    /// Where to read what to do about `alert`.
    fn runbook(&self, alert: &str) -> String {
        let base = self.options.runbooks.as_str();
        let base = if base.is_empty() { "docs/slo.md" } else { base };
        format!("{base}#{}", alert.to_ascii_lowercase())
    }
}

/// As a YAML scalar in double quotes, which JSON's are.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
pub(crate) mod tests;
