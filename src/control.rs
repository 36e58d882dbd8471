//! The operators' port and the metrics port: what usher says about itself.
//!
//! | | control | metrics |
//! |---|---|---|
//! | `/live`, `/ready` | yes | yes |
//! | `/metrics` | | yes |
//! | `GET /api/v1/requests/ID` | yes | |
//! | `GET /api/v1/status`, `audiences`, `pools`, `config`, `slo`, `gate`, `versions` | yes | |
//! | `POST /api/v1/reload`, `upgrade` | yes | |
//! | `POST /api/v1/pause`, `maintenance`, `resume`, `drain`, `undrain` | yes | |
//! | `Host` | localhost or an IP address; any with tokens | any |
//! | token | where one is configured, but for `/live` and `/ready` | none |
//!
//! A browser on an operator's machine can be made to ask the control port under a name of the
//! attacker's choosing (DNS rebinding); that is why it answers under no name but localhost. The
//! metrics port holds no secrets, and Prometheus and Kubernetes may reach it by a service's name.
//!
//! Both run on the house thread and see usher through [`Sight`], so they share nothing with the
//! workers.

mod answer;
mod audit;
mod gate;
mod guard;
mod keys;
mod orders;
mod port;
mod promises;
mod router;
mod versions;
pub mod screen;
pub mod views;

use std::{pin::Pin, sync::Arc, time::Duration};

use crate::edge::Listener;

use crate::classify::Version;

pub use audit::{Audit, Deed};
pub use gate::{
    AnnotationOrder, AnnotationView, EndOrder, GateAudienceView, GateKept, GateOrder, GateView,
    OverrideOrder, OverrideView,
};
pub use guard::{Guard, Whence};
pub use keys::Keys;
pub use orders::{Asked, By, Order, OrderBody, UpgradeOrder, Why};
pub use promises::{CauseView, HourView, SloView, StandingView, WindowView};
pub use versions::{AppView, LockedOutView, VersionView, VersionsView};
pub use views::{
    AttemptView, AudienceView, ConfigView, EndpointView, EventView, FallbackView, FaultView,
    IssuerView, NameView, OrderedView, PoolView, PromiseView, RefusedView, ReloadView, RequestView,
    RequestsView, StatusView, TableView, UpgradeView, VerbView,
};

/// What the ports see of usher. The house implements it.
pub trait Sight: Send + Sync + 'static {
    /// How usher fares.
    fn status(&self) -> StatusView;
    /// The configuration in use, without secrets.
    fn config(&self) -> serde_json::Value;
    /// The requests with this id; else a sentence about how far back they would be known.
    fn requests(&self, request_id: &str) -> Result<RequestsView, String>;
    /// How promises stand.
    fn promises(&self) -> SloView;
    /// Which versions of apps came lately, of `audience` alone where one is named, and whom a least
    /// version of `if_min` would lock out; else a sentence about what is wrong with the question.
    fn versions(
        &self,
        audience: Option<&str>,
        if_min: Option<Version>,
    ) -> Result<VersionsView, String>;
    /// Whether to ship something of `class`; else a sentence about what is wrong with the question.
    fn gate(&self, audiences: &[&str], class: &str) -> Result<GateView, String>;
    /// Does what the gate is told; else a sentence about what is wrong with the order.
    fn tell_gate(&self, order: &GateOrder, by: &By) -> Result<GateView, String>;
    /// Every metric in Prometheus' text format.
    fn metrics(&self) -> String;
    /// Reads the configuration again and puts it to use.
    fn reload(self: Arc<Self>, by: By) -> Pin<Box<dyn Future<Output = ReloadView> + Send>>;
    /// Hands over to a new process, which is given up when it is not ready within `wait`. Goes on
    /// when the answer is not waited for.
    fn upgrade(
        self: Arc<Self>,
        by: By,
        wait: Option<Duration>,
    ) -> Pin<Box<dyn Future<Output = UpgradeView> + Send>>;
    /// Carries an operator's order out.
    fn order(
        self: Arc<Self>,
        order: Order,
        by: By,
    ) -> Pin<Box<dyn Future<Output = Ordered> + Send>>;
    /// Whether requests may be sent here.
    fn readiness(&self) -> Readiness;
}

/// Tells a port that another process answers there from now on: it accepts no more, and its
/// connections end after the request they are at.
pub type Closing = tokio::sync::watch::Receiver<bool>;

/// What came of an order.
pub type Ordered = Result<OrderedView, Refused>;

/// Why an order was not carried out, for whoever gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// There is no such target.
    Unknown(String),
    /// It would do more than was asked for, or there is no room for it.
    Unwise(String),
}

/// Whether requests may be sent here. It never depends on the monolith's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// They may.
    Ready,
    /// Not every listener is bound.
    NotBound,
    /// There is no snapshot to decide by.
    NoSnapshot,
    /// Names of endpoints are being resolved for the first time.
    NotResolved,
    /// usher is stopping.
    Draining,
}

/// Serves the control port until dropped, and with it every connection.
pub async fn serve_control(
    listener: Listener,
    sight: Arc<dyn Sight>,
    guard: Arc<Guard>,
    closing: Closing,
) {
    port::serve(listener, router::control(sight, &guard), closing).await;
}

/// Serves the metrics port until dropped, and with it every connection.
pub async fn serve_metrics(listener: Listener, sight: Arc<dyn Sight>, closing: Closing) {
    port::serve(listener, router::metrics(sight), closing).await;
}

// === impl Readiness ===

impl Readiness {
    /// What `/ready` says.
    pub const fn text(self) -> &'static str {
        match self {
            Readiness::Ready => "ready",
            Readiness::NotBound => "not every listener is bound",
            Readiness::NoSnapshot => "no configuration is loaded",
            Readiness::NotResolved => "endpoints are being resolved",
            Readiness::Draining => "draining",
        }
    }
}

#[cfg(test)]
mod tests;
