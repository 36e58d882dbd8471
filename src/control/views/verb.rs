//! What is told about operators' verbs.

use serde::{Deserialize, Serialize};

/// What is in force for one target.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VerbView {
    /// `pause`, `maintenance` or `drain`.
    pub verb: String,
    /// `audience`, `pool` or `endpoint`.
    pub kind: String,
    /// Its name or address.
    pub target: String,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when (RFC 3339).
    pub since: String,
    /// Until when (RFC 3339); none: until somebody ends it.
    pub until: Option<String>,
    /// How long still.
    pub seconds_left: Option<u64>,
    /// Of a pause: how many requests wait now.
    pub waiting: Option<u64>,
    /// Of a pause: how many may.
    pub requests: Option<u64>,
    /// Of a pause: how long each may.
    pub wait_ms: Option<u64>,
    /// Of maintenance: the networks that pass.
    pub allow: Vec<String>,
    /// Of maintenance: the users that pass.
    pub allow_users: Vec<String>,
    /// Whether the configuration in use knows the target.
    pub known: bool,
}

/// What came of an order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderedView {
    /// `done`, or `unchanged` when there was nothing to end.
    pub result: String,
    /// What was in force for the target before.
    pub before: Vec<VerbView>,
    /// What is in force for it now.
    pub after: Vec<VerbView>,
    /// What an operator should know about it, a sentence each.
    pub notes: Vec<String>,
}

// === impl VerbView ===

impl VerbView {
    /// In one line, for people: `audience customer is paused by alice for 4m 12s more: failover`.
    pub fn line(&self, age: impl Fn(u64) -> String) -> String {
        let state = match self.verb.as_str() {
            "pause" => "paused",
            "maintenance" => "in maintenance",
            "drain" => "drained",
            other => other,
        };
        let left = match self.seconds_left {
            Some(seconds) => format!("for {} more", age(seconds)),
            None => "until it is ended".to_owned(),
        };
        let mut line = format!("{} {} is {state} {left}, by {}", self.kind, self.target, self.by);
        if let Some((waiting, requests)) = self.waiting.zip(self.requests) {
            line += &format!("; {waiting} of at most {requests} requests wait");
        }
        if !self.allow.is_empty() {
            line += &format!("; {} pass", self.allow.join(", "));
        }
        if !self.allow_users.is_empty() {
            let plural = if self.allow_users.len() == 1 { "user" } else { "users" };
            line += &format!("; {plural} {} pass", self.allow_users.join(", "));
        }
        if !self.known {
            line += "; the configuration knows no such target";
        }
        if let Some(reason) = &self.reason {
            line += &format!(": {reason}");
        }
        line
    }
}
