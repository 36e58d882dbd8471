//! Which versions of apps came, as JSON. `usher versions` reads it back.
//!
//! Fields are added, never renamed; a reader takes those it misses for empty.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{RawQuery, State},
    http::{HeaderValue, StatusCode, header::CACHE_CONTROL},
    response::{IntoResponse, Response},
    routing::get,
};
use serde::{Deserialize, Serialize};

use super::{Sight, answer::Problem};
use crate::classify::Version;

/// Which versions of apps came lately, to this replica.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionsView {
    /// A sentence about what that means.
    pub note: String,
    /// Audiences that look at versions, in the order of the configuration.
    pub audiences: Vec<AppView>,
}

/// Which versions of one audience's app came.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppView {
    /// The audience.
    pub audience: String,
    /// Where its requests say their version, in the order in which it is looked for.
    pub from: Vec<String>,
    /// Versions below this one are refused.
    pub min: Option<String>,
    /// Versions below this one are told that they grow old.
    pub warn_below: Option<String>,
    /// The share of clients below `min` that is refused now.
    pub refused_share: f64,
    /// Over how many seconds what follows was counted, until now.
    pub over_seconds: u64,
    /// Requests in that time.
    pub requests: u64,
    /// About how many clients they came from.
    pub clients: u64,
    /// The versions that came most, the newest first.
    pub versions: Vec<VersionView>,
    /// Requests of versions that were too many to keep.
    pub rest: u64,
    /// Whom the least version that was asked about would lock out.
    pub if_min: Option<LockedOutView>,
}

/// What came of one version.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionView {
    /// The version; `none` for requests without one, `other` for what is none.
    pub version: String,
    /// `below_min`, `below_warn`, `current`, `none` or `other`.
    pub band: String,
    /// Requests.
    pub requests: u64,
    /// Their share of all.
    pub requests_share: f64,
    /// About how many clients they came from.
    pub clients: u64,
    /// Their share of all.
    pub clients_share: f64,
}

/// Whom a least version would lock out.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LockedOutView {
    /// The least version.
    pub min: String,
    /// Requests that would be refused, had it held.
    pub requests: u64,
    /// Their share of all; null where none came.
    pub requests_share: Option<f64>,
    /// About how many clients they came from.
    pub clients: u64,
    /// Their share of all; null where none came.
    pub clients_share: Option<f64>,
    /// Requests of which it is not known, among all.
    pub unknown_requests: u64,
}

pub(super) fn routes() -> Router<Arc<dyn Sight>> {
    Router::new().route("/api/v1/versions", get(versions))
}

async fn versions(State(sight): State<Arc<dyn Sight>>, RawQuery(query): RawQuery) -> Response {
    let (mut audience, mut if_min) = (None, None);
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*key {
            "audience" => audience = Some(value.into_owned()),
            "if_min" => match Version::parse_exact(&value) {
                Some(version) => if_min = Some(version),
                None => return wrong("`if_min` is no version: it is numbers with dots, as 5.2."),
            },
            _ => return wrong("This path has the parameters audience and if_min, and no other."),
        }
    }
    match sight.versions(audience.as_deref(), if_min) {
        Ok(view) => {
            ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(view)).into_response()
        }
        Err(complaint) => wrong(complaint),
    }
}

fn wrong(complaint: impl Into<String>) -> Response {
    Problem::new(StatusCode::BAD_REQUEST, complaint.into()).into_response()
}
