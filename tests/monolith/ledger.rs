//! What was sent and what must have been counted, by audience, pool, status and outcome.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::support::usher::Samples;

/// How many requests there were of each kind that is counted apart.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Ledger(pub BTreeMap<Entry, u64>);

/// One kind, as the labels of `usher_requests_total` say it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub audience: String,
    pub pool: String,
    pub status: String,
    pub outcome: String,
}

// === impl Ledger ===

impl Ledger {
    pub fn enter(&mut self, entry: Entry) {
        *self.0.entry(entry).or_default() += 1;
    }

    pub fn add(&mut self, other: Self) {
        for (entry, count) in other.0 {
            *self.0.entry(entry).or_default() += count;
        }
    }

    /// What `usher_requests_total` says; series at 0 are left out.
    pub fn counted(samples: &Samples) -> Self {
        let mut ledger = Self::default();
        for (name, value) in &samples.0 {
            let Some(labels) = name.strip_prefix("usher_requests_total{") else { continue };
            let label = |label: &str| {
                let (_, behind) = labels.split_once(&format!("{label}=\"")).expect("the label");
                behind.split('"').next().expect("a value").to_owned()
            };
            let [audience, pool, status, outcome] =
                ["audience", "pool", "status", "outcome"].map(label);
            assert!(value.fract() == 0.0, "{name} is {value}");
            if *value > 0.0 {
                ledger.0.insert(Entry { audience, pool, status, outcome }, *value as u64);
            }
        }
        ledger
    }

    /// What the access log says. A status of 499 is what the metrics call `none`.
    pub fn logged(log: &str) -> Self {
        let mut ledger = Self::default();
        for line in log.lines() {
            let line: Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            let text = |field: &str| line[field].as_str().expect("a text").to_owned();
            let status = match line["status"].as_u64().expect("a status") {
                499 => "none".to_owned(),
                status => status.to_string(),
            };
            let [audience, pool, outcome] = ["audience", "pool", "outcome"].map(text);
            ledger.enter(Entry { audience, pool, status, outcome });
        }
        ledger
    }

    /// All of them, or those that `fits`.
    pub fn sum(&self, fits: impl Fn(&Entry) -> bool) -> u64 {
        self.0.iter().filter(|(entry, _)| fits(entry)).map(|(_, count)| count).sum()
    }
}
