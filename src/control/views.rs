//! What the control port says, as JSON. `usher status` reads it back.
//!
//! Fields are added, never renamed; a reader takes those it misses for empty, so that commands
//! and processes of neighbouring versions understand each other.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{meters::recent::Lately, name::Name};

mod fallback;
mod issuer;
mod request;
mod verb;

pub use fallback::FallbackView;
pub use issuer::IssuerView;
pub use request::{AttemptView, RequestView, RequestsView};
pub use verb::{OrderedView, VerbView};

/// The bad share that an audience without a promise may have, when audiences are ordered.
const UNPROMISED_BUDGET: f64 = 0.01;

/// Below so many requests, an endpoint is not compared with others.
const ODD_REQUESTS_MIN: u64 = 10;

/// Below this share of failures, an endpoint is like others.
const ODD_SHARE_MIN: f64 = 0.02;

/// How many times as often as the others it has to fail.
const ODD_TIMES: f64 = 4.0;

/// No promise leaves less room than this, so that one failure does not weigh infinitely.
const BUDGET_MIN: f64 = 1e-6;

/// How usher fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusView {
    /// usher's version.
    pub version: String,
    /// How long this process has run.
    pub uptime_seconds: u64,
    /// Whether it is stopping.
    pub draining: bool,
    /// The configuration in use.
    pub config: ConfigView,
    /// In the order of the configuration.
    pub audiences: Vec<AudienceView>,
    /// In the order of the configuration.
    pub pools: Vec<PoolView>,
    /// What has happened to endpoints lately, the last one last.
    pub events: Vec<EventView>,
    /// What operators have ordered, in the order in which they did.
    pub verbs: Vec<VerbView>,
    /// Places where keys of tokens are published.
    pub issuers: Vec<IssuerView>,
    /// Tables of users, in the order of the configuration.
    pub tables: Vec<TableView>,
    /// What an operator should know, a sentence each.
    pub problems: Vec<String>,
}

/// Which configuration is in use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConfigView {
    /// Its file; none when there is none.
    pub path: Option<String>,
    /// The hash of all that was read for it.
    pub hash: String,
    /// How many configurations this process has served by.
    pub generation: u64,
    /// When it was put to use (RFC 3339).
    pub loaded_at: String,
    /// What is written there and takes a restart to act, a line each.
    pub at_restart: Vec<String>,
    /// What is wrong with the file as it is now; nothing else of it is in use.
    pub refused: Option<RefusedView>,
}

/// Why a configuration was not put to use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RefusedView {
    /// Since when the file is wrong (RFC 3339).
    pub since: String,
    /// Where and what, a line each.
    pub problems: Vec<String>,
}

/// What came of a reload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadView {
    /// `applied`, `unchanged` or `refused`.
    pub result: String,
    /// The configuration in use from now on, where another one was applied.
    pub generation: Option<u64>,
    /// What changed, a line each.
    pub changes: Vec<String>,
    /// What is written and takes a restart to act, a line each.
    pub at_restart: Vec<String>,
    /// Why nothing changed, as `usher check` would say it.
    pub problems: Vec<String>,
}

/// What came of an upgrade.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UpgradeView {
    /// `upgraded` or `refused`.
    pub result: String,
    /// The version that was asked.
    pub from: String,
    /// The version that serves now.
    pub to: Option<String>,
    /// The process that serves now.
    pub pid: Option<u32>,
    /// Why the one that was asked goes on.
    pub problem: Option<String>,
}

/// How an audience fared lately.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AudienceView {
    /// Its name.
    pub name: String,
    /// The pool that serves it.
    pub pool: String,
    /// Over how long the numbers below were taken.
    pub window_seconds: f64,
    /// Requests that ended, per second.
    pub rate: f64,
    /// Half of the monolith's answers began within this time.
    pub p50_ms: Option<f64>,
    /// 99 of 100 answers began within this time.
    pub p99_ms: Option<f64>,
    /// What was promised.
    pub promise: Option<PromiseView>,
    /// The share of the monolith's answers that began within what was promised.
    pub good: Option<f64>,
    /// The share of requests that failed or were answered with a status of 500 or above.
    pub bad: Option<f64>,
    /// Requests in progress, now.
    pub in_flight: u64,
    /// Tunnels that are open, now.
    pub tunnels: u64,
    /// Where it goes when its own pool cannot take a request.
    pub fallback: Option<FallbackView>,
    /// What went wrong, the most frequent first.
    pub faults: Vec<FaultView>,
}

/// What was promised to an audience. Shares are between 0 and 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PromiseView {
    /// The share of requests to be answered well.
    pub availability: Option<f64>,
    /// How soon an answer begins, to be in time.
    pub within_ms: Option<f64>,
    /// The share of answers to be in time.
    pub target: Option<f64>,
}

/// How often something went wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultView {
    /// Its name.
    pub fault: String,
    /// Whose doing it is.
    pub blame: String,
    /// How often, within the audience's window.
    pub count: u64,
}

/// How a pool fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// The slots of all its endpoints.
    pub capacity: u64,
    /// Whether each usher process counts slots alone.
    pub capacity_is_per_process: bool,
    /// Slots held by requests in progress.
    pub in_flight: u64,
    /// Slots held for requests that have gone.
    pub orphans: u64,
    /// Requests that wait for a slot.
    pub queue_length: u64,
    /// In the order of the configuration.
    pub endpoints: Vec<EndpointView>,
    /// The names among them, and what they resolve to.
    pub names: Vec<NameView>,
}

/// How it stands with a name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NameView {
    /// The name.
    pub name: String,
    /// Who is asked for it: `system`, `dns` or `srv`.
    pub source: String,
    /// `found`; `kept` when look-ups fail and the addresses of before stay in use, `unknown` when
    /// there are none, `new` when it was not looked up yet.
    pub state: String,
    /// Since when look-ups fail (RFC 3339).
    pub since: Option<String>,
    /// Why they do.
    pub trouble: Option<String>,
    /// The addresses in use; of a service with their ports.
    pub addresses: Vec<String>,
    /// What is odd about them.
    pub warning: Option<String>,
    /// Whether they are those that the usher before this one had: no look-up of this one has found
    /// any yet.
    pub inherited: bool,
}

/// How an endpoint fares.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndpointView {
    /// Where it is.
    pub address: String,
    /// `up` when it takes requests; `ejected` or `down` when it is not well, `drained` when an
    /// operator wants it to take none.
    pub state: String,
    /// Since when it has been well or not (RFC 3339), where that has changed.
    pub since: Option<String>,
    /// Why it has been well or not since then.
    pub reason: Option<String>,
    /// What is wrong according to the last check; null when it passed, or is not asked.
    pub check: Option<String>,
    /// How long it stays ejected, in seconds.
    pub returns_in_seconds: Option<f64>,
    /// Requests that it was given in the last while.
    pub requests_lately: u64,
    /// The share of them that went wrong through its doing; null of none.
    pub failed_lately: Option<f64>,
    /// Slots held.
    pub in_flight: u64,
    /// Slots there are.
    pub capacity: u64,
    /// What last went wrong with it.
    pub last_error: Option<String>,
    /// The name that it was resolved from.
    pub resolved_from: Option<String>,
}

/// A table of users.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableView {
    /// Its name.
    pub name: String,
    /// How many users are in it.
    pub lines: u64,
}

/// Something that has happened to an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EventView {
    /// When (RFC 3339).
    pub at: String,
    /// The pools that it is in.
    pub pools: Vec<String>,
    /// Where it is.
    pub endpoint: String,
    /// `ejected`, `returned`, `down`, `up`, `added` or `removed`.
    pub event: String,
    /// Why.
    pub reason: String,
}

// === impl AudienceView ===

impl AudienceView {
    /// How an audience fared that `pool` serves and that was promised `promise`.
    pub fn new(lately: &Lately, pool: &Name, promise: Option<PromiseView>) -> Self {
        let quantile_ms = |q| lately.first_byte.quantile(q).map(|time| time.as_secs_f64() * 1e3);
        let within = promise.as_ref().and_then(|promise| promise.within_ms);
        let within = within.and_then(|ms| Duration::try_from_secs_f64(ms / 1e3).ok());
        let requests = lately.requests();
        let faults = lately.faults.iter().map(|(fault, count)| FaultView {
            fault: fault.name().to_owned(),
            blame: fault.blame().name().to_owned(),
            count: *count,
        });
        Self {
            name: lately.name.to_string(),
            pool: pool.to_string(),
            window_seconds: lately.over.as_secs_f64(),
            rate: lately.rate(),
            p50_ms: quantile_ms(0.50),
            p99_ms: quantile_ms(0.99),
            good: within.and_then(|within| lately.first_byte.share_within(within)),
            bad: (requests > 0).then(|| lately.bad as f64 / requests as f64),
            promise,
            in_flight: lately.in_flight,
            tunnels: lately.tunnels,
            fallback: None,
            faults: faults.collect(),
        }
    }

    /// How fast what was promised is being used up: at 1, exactly what is allowed goes wrong.
    pub fn burn(&self) -> f64 {
        let promise = self.promise.as_ref();
        let budget = |target: Option<f64>| {
            target.map_or(UNPROMISED_BUDGET, |target| (1.0 - target).max(BUDGET_MIN))
        };
        let bad = self.bad.unwrap_or(0.0) / budget(promise.and_then(|it| it.availability));
        let late = 1.0 - self.good.unwrap_or(1.0);
        bad.max(late / budget(promise.and_then(|it| it.target)))
    }
}

// === impl PoolView ===

impl PoolView {
    /// How many endpoints take requests.
    pub fn endpoints_up(&self) -> usize {
        self.endpoints.iter().filter(|endpoint| endpoint.is_up()).count()
    }

    /// The endpoint that takes requests and fails far more of them than the others do, and the
    /// share that fails at the others.
    pub fn odd_one_out(&self) -> Option<(&EndpointView, f64)> {
        let up: Vec<&EndpointView> = self.endpoints.iter().filter(|it| it.is_up()).collect();
        let failed =
            |it: &EndpointView| it.failed_lately.unwrap_or(0.0) * it.requests_lately as f64;
        let worst = up.iter().copied().filter(|it| it.requests_lately >= ODD_REQUESTS_MIN);
        let share = |it: &EndpointView| it.failed_lately.unwrap_or(0.0);
        let worst = worst.max_by(|a, b| share(a).total_cmp(&share(b)))?;
        let others = || up.iter().copied().filter(|it| it.address != worst.address);
        let requests: u64 = others().map(|it| it.requests_lately).sum();
        let others_share = others().map(failed).sum::<f64>() / (requests.max(1) as f64);
        let odd = share(worst) >= ODD_SHARE_MIN && share(worst) >= ODD_TIMES * others_share;
        (odd && requests >= ODD_REQUESTS_MIN).then_some((worst, others_share))
    }
}

// === impl EndpointView ===

impl EndpointView {
    /// Whether it takes requests.
    pub fn is_up(&self) -> bool {
        self.state == "up"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(good: f64, bad: f64, promise: Option<PromiseView>) -> AudienceView {
        AudienceView { good: Some(good), bad: Some(bad), promise, ..AudienceView::default() }
    }

    #[test]
    fn burn_is_the_worse_of_what_is_late_and_what_is_bad() {
        let promise =
            PromiseView { availability: Some(0.999), within_ms: Some(300.0), target: Some(0.99) };
        let burns = |good, bad| audience(good, bad, Some(promise.clone())).burn();
        assert!((burns(0.98, 0.0) - 2.0).abs() < 1e-9);
        assert!((burns(0.98, 0.005) - 5.0).abs() < 1e-9);
        assert!((audience(1.0, 0.02, None).burn() - 2.0).abs() < 1e-9);
        assert!(AudienceView::default().burn().abs() < f64::EPSILON, "no traffic burns nothing");
        let whole = PromiseView { availability: Some(1.0), ..PromiseView::default() };
        assert!(audience(1.0, 0.1, Some(whole)).burn().is_finite());
    }

    #[test]
    fn a_reader_takes_what_it_misses_for_empty_and_ignores_what_it_does_not_know() {
        let text = r#"{"version":"9.9.9","audiences":[{"name":"driver","from_the_future":1}]}"#;
        let view: StatusView = serde_json::from_str(text).expect("it is a status");
        assert_eq!((view.version.as_str(), view.audiences[0].name.as_str()), ("9.9.9", "driver"));
        assert_eq!(view.pools, []);
    }
}
