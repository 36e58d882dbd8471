//! How promises stand, as JSON. `usher slo` and `usher gate` read it back.
//!
//! Fields are added, never renamed; a reader takes those it misses for empty.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::{
    slo::{Aim, Promise, Standing, WINDOWS},
    units::format_duration,
};

/// The most causes that are told of one promise.
const CAUSES_MAX: usize = 10;

/// How promises stand.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SloView {
    /// Who has counted: `replica`, this process alone, or `fleet`, all of them, by Prometheus.
    pub scope: String,
    /// A sentence about what that means.
    pub note: String,
    /// Whether it survives a restart.
    pub kept: bool,
    /// In the order of the configuration.
    pub promises: Vec<StandingView>,
    /// This process's own where `promises` are the fleet's.
    pub replica: Vec<StandingView>,
}

/// How one promise stands. Shares are between 0 and 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StandingView {
    /// Whom it was given.
    pub audience: String,
    /// Its label.
    pub slo: String,
    /// The share of good events that was promised.
    pub target: f64,
    /// What was promised to others.
    pub sla: Option<f64>,
    /// How soon an answer is to come, for a promise about that.
    pub within_ms: Option<f64>,
    /// Over how long it is held: `28d`.
    pub window: String,
    /// Since when there were events (RFC 3339).
    pub since: Option<String>,
    /// Good events in its window.
    pub good: u64,
    /// Bad events in its window.
    pub bad: u64,
    /// What is left of the budget: 1 is all of it, below 0 the promise is broken. Null without
    /// events.
    pub budget_left: Option<f64>,
    /// When it is used up if bad events go on as in the last hour; null where they may go on.
    pub exhausted_in_seconds: Option<f64>,
    /// Shorter windows, the shortest first.
    pub windows: Vec<WindowView>,
    /// What bad events were, the most frequent first.
    pub causes: Vec<CauseView>,
    /// The hour that cost most.
    pub worst_hour: Option<HourView>,
}

/// One window of a promise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct WindowView {
    /// `5m`
    pub window: String,
    /// Good events.
    pub good: u64,
    /// Bad events.
    pub bad: u64,
    /// How fast the budget went: at 1 it lasts exactly the promise's window. Null without events.
    pub burn: Option<f64>,
}

/// What bad events were.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CauseView {
    /// A fault's name, or `late`, `status_5xx`, `status_listed`, `said_bad`.
    pub cause: String,
    /// How often.
    pub count: u64,
}

/// An hour and what it cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HourView {
    /// When it began (RFC 3339).
    pub hour: String,
    /// Bad events in it.
    pub bad: u64,
}

// === impl StandingView ===

impl StandingView {
    /// How `promise` stands.
    pub fn new(promise: &Promise, standing: &Standing) -> Self {
        let sums = &standing.sums;
        let windows = WINDOWS.iter().zip(sums.windows).zip(standing.burn);
        let causes = sums.causes().into_iter().take(CAUSES_MAX);
        Self {
            audience: promise.audience.to_string(),
            slo: promise.label.to_string(),
            target: promise.target.ratio(),
            sla: promise.sla.map(|sla| sla.ratio()),
            within_ms: match promise.aim {
                Aim::Availability { .. } => None,
                Aim::Latency { within, .. } => Some(within.as_secs_f64() * 1e3),
            },
            window: format_duration(promise.window),
            since: sums.since.map(rfc3339),
            good: sums.whole.good,
            bad: sums.whole.bad,
            budget_left: standing.left,
            exhausted_in_seconds: standing.exhausted_in.map(|time| time.as_secs_f64()),
            windows: windows
                .map(|(((_, name), count), burn)| WindowView {
                    window: (*name).to_owned(),
                    good: count.good,
                    bad: count.bad,
                    burn,
                })
                .collect(),
            causes: causes.map(|(cause, count)| CauseView { cause, count }).collect(),
            worst_hour: sums.worst_hour().map(|(hour, bad)| HourView { hour: rfc3339(hour), bad }),
        }
    }

    /// The burn rate of the window `name`.
    pub fn burn(&self, name: &str) -> Option<f64> {
        self.windows.iter().find(|window| window.window == name)?.burn
    }
}

/// Seconds since 1970 as people write them.
fn rfc3339(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    jiff::Timestamp::try_from(time).map(|at| at.to_string()).unwrap_or_default()
}
