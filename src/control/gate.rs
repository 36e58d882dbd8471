//! The gate before a deploy, as JSON: its verdict, what it is told, and what it keeps.
//!
//! Fields are added, never renamed; a reader takes those it misses for empty. An order with a field
//! that is not known is refused.

mod routes;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub(super) use routes::routes;

use super::Why;

/// Whether to ship.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GateView {
    /// `go`, `hold` or `unknown`.
    pub verdict: String,
    /// The worst state of the audiences: `green`, `yellow`, `red`, `frozen`; null when it is not
    /// known.
    pub state: Option<String>,
    /// For what it was asked: `normal` or `hotfix`.
    pub class: String,
    /// Why, a sentence each, the weightiest first.
    pub reasons: Vec<String>,
    /// Each audience that was asked about and has promises.
    pub audiences: Vec<GateAudienceView>,
    /// Overrides in force.
    pub overrides: Vec<OverrideView>,
    /// Incidents that somebody wrote down within the last 30 days.
    pub annotations: Vec<AnnotationView>,
}

/// One audience at the gate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GateAudienceView {
    /// Its name.
    pub audience: String,
    /// Its state; null when it is not known.
    pub state: Option<String>,
    /// Its promise with the least budget left.
    pub slo: Option<String>,
    /// What is left of that.
    pub budget_left: Option<f64>,
}

/// Somebody decided otherwise, for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OverrideView {
    /// What holds meanwhile: `go` or `hold`.
    pub verdict: String,
    /// For which audience; null for all.
    pub audience: Option<String>,
    /// Why.
    pub reason: String,
    /// Who.
    pub by: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// Until when (RFC 3339).
    pub until: String,
}

/// What happened elsewhere, for those who read why a budget went. It changes no number.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnnotationView {
    /// What happened.
    pub reason: String,
    /// To which audience; null for all.
    pub audience: Option<String>,
    /// Who says so.
    pub by: String,
    /// From when (RFC 3339).
    pub from: String,
    /// Until when (RFC 3339).
    pub until: String,
}

/// What is asked of the gate beside its verdict.
#[derive(Clone, Debug, PartialEq)]
pub enum GateOrder {
    /// Decide otherwise for a while.
    Override(OverrideOrder),
    /// End overrides.
    End(EndOrder),
    /// Write down what happened elsewhere.
    Annotate(AnnotationOrder),
}

/// Decide otherwise for a while.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OverrideOrder {
    /// `go` or `hold`.
    pub verdict: String,
    /// For which audience; null for all.
    pub audience: Option<String>,
    /// For how long.
    pub for_seconds: u64,
    /// Who says to ask, which nobody has checked.
    pub operator: Option<String>,
    /// Why; required.
    pub reason: Option<String>,
}

/// End the overrides of an audience, or those for all.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndOrder {
    /// For which audience; null for all.
    pub audience: Option<String>,
    /// Who says to ask, which nobody has checked.
    pub operator: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// Write down what happened elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnnotationOrder {
    /// From when (RFC 3339).
    pub from: String,
    /// Until when (RFC 3339).
    pub until: String,
    /// To which audience; null for all.
    pub audience: Option<String>,
    /// Who says to ask, which nobody has checked.
    pub operator: Option<String>,
    /// What happened; required.
    pub reason: Option<String>,
}

/// What the gate keeps over a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct GateKept {
    /// The state of each promise, by `AUDIENCE SLO`: what makes them sluggish.
    pub states: BTreeMap<String, String>,
    /// Overrides.
    pub overrides: Vec<OverrideView>,
    /// Annotations.
    pub annotations: Vec<AnnotationView>,
}

// === impl GateOrder ===

impl GateOrder {
    /// The word in the audit.
    pub const fn action(&self) -> &'static str {
        match self {
            GateOrder::Override(_) => "gate override",
            GateOrder::End(_) => "gate end",
            GateOrder::Annotate(_) => "gate annotate",
        }
    }

    /// For whom.
    pub fn audience(&self) -> Option<&str> {
        match self {
            GateOrder::Override(order) => order.audience.as_deref(),
            GateOrder::End(order) => order.audience.as_deref(),
            GateOrder::Annotate(order) => order.audience.as_deref(),
        }
    }

    /// Who says to ask, and why.
    pub fn why(&self) -> Why {
        let (operator, reason) = match self {
            GateOrder::Override(order) => (&order.operator, &order.reason),
            GateOrder::End(order) => (&order.operator, &order.reason),
            GateOrder::Annotate(order) => (&order.operator, &order.reason),
        };
        Why { operator: operator.clone(), reason: reason.clone() }
    }
}

impl GateKept {
    /// Reads what was kept.
    ///
    /// # Errors
    ///
    /// It is not what was written.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// As a file.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Texts only: there is nothing in it that JSON cannot say.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }
}
