//! What the ports show of the house.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, task::JoinSet};

use super::{
    books::Books,
    issuers,
    names::Follower,
    orders::{GONE, Orders},
    recall,
    shown::{
        away, buffers, buffers_trouble, certificate_gauges, database, events, fallback, fallbacks,
        forgotten, name_gauges, named, pool_gauges, pool_view, shown_to_endpoints, tables,
        two_capacities,
    },
    succession::Succession,
    tallies::Tallies,
    upgrade, versions,
};
use crate::{
    classify::Version,
    config::Objective,
    control::{
        AudienceView, By, ConfigView, GateOrder, GateView, Guard, Order, Ordered, PromiseView,
        Readiness, RefusedView, ReloadView, RequestsView, Sight, SloView, StatusView, TableView,
        UpgradeView, VersionsView,
    },
    descriptors,
    drain::Stage,
    edge::{Census, Handshake, Introduction},
    meters::{AudienceReading, Gauges, ListenerGauges, Meters, recent::Recent},
    proxy::Common,
    reload::{Reloaded, Reloader, Standing, blocking},
    snapshot::Snapshot,
};

/// Over how long `status` looks back.
const WINDOW: Duration = Duration::from_secs(60);

/// Sees the house. One is shared by both ports and by whoever holds the remote.
pub struct HouseSight {
    common: Arc<Common>,
    census: Arc<Census>,
    reloader: Reloader,
    orders: Orders,
    books: Books,
    tallies: Tallies,
    started: Instant,
    resolved: AtomicBool,
    recent: Mutex<Recent>,
    succession: Succession,
    /// Upgrades that were asked for at the control port: whoever asked may have gone meanwhile.
    upgrades: Mutex<JoinSet<()>>,
}

/// What the house does at an operator's word.
pub(super) struct Means {
    pub(super) reloader: Reloader,
    pub(super) orders: Orders,
    pub(super) books: Books,
    pub(super) tallies: Tallies,
    pub(super) succession: Succession,
}

// === impl HouseSight ===

impl HouseSight {
    pub(super) fn new(common: Arc<Common>, census: Arc<Census>, means: Means) -> Arc<Self> {
        let Means { reloader, orders, books, tallies, succession } = means;
        let mut recent = Recent::new(WINDOW);
        recent.note(Instant::now(), common.meters.audiences());
        Arc::new(Self {
            common,
            census,
            reloader,
            orders,
            books,
            tallies,
            started: Instant::now(),
            resolved: AtomicBool::new(false),
            recent: Mutex::new(recent),
            succession,
            upgrades: Mutex::default(),
        })
    }

    /// The snapshot that is current.
    pub(super) fn snapshot(&self) -> Arc<Snapshot> {
        self.common.published.current()
    }

    /// What stands between the control port and whoever reaches it.
    pub(super) fn guard(&self) -> &Arc<Guard> {
        self.orders.guard()
    }

    /// Reloads the configuration because of `by`, and writes it down.
    pub(super) async fn reload_by(&self, by: &By) -> Reloaded {
        let turn = self.reloader.reload().await;
        self.orders.note_reload(by, &turn);
        turn.reloaded
    }

    /// Looks whether files have changed: the configuration, and those with tokens.
    pub(super) async fn look(&self) {
        if let Some(turn) = self.reloader.look().await {
            self.orders.note_reload(&By::itself("file"), &turn);
        }
        let (guard, current) = (self.guard().clone(), self.common.published.current());
        blocking(move || guard.keys.renew(&current.config.operators.tokens)).await;
    }

    /// Has the files of the access log and of the audit opened anew.
    pub(super) fn reopen_log(&self) {
        self.common.log.reopen();
        self.guard().audit.reopen();
    }

    /// Where everything is counted.
    pub(super) fn meters(&self) -> &Meters {
        &self.common.meters
    }

    /// Writes down which versions of apps came, unless another process does. Waits for the disk.
    pub(super) fn keep_versions(&self) {
        if !self.succession.has_handed_over() {
            self.tallies.keep(&self.snapshot());
        }
    }

    /// What hands over to another process.
    pub(super) fn succession(&self) -> &Succession {
        &self.succession
    }

    /// Who looks names up.
    pub(super) fn follower(&self) -> Follower {
        Follower::new(self.common.clone(), self.orders.world().directory().clone())
    }

    /// Whether names have been resolved for the first time.
    pub(super) fn is_resolved(&self) -> bool {
        self.resolved.load(Ordering::Acquire)
    }

    /// Names have been resolved for the first time.
    pub(super) fn resolved(&self) {
        self.resolved.store(true, Ordering::Release);
    }

    /// What operators have ordered.
    pub(super) fn orders(&self) -> &Orders {
        &self.orders
    }

    /// What was counted for promises.
    pub(super) fn books(&self) -> &Books {
        &self.books
    }

    /// Reads the meters for promises, and for the window that `status` looks back over.
    pub(super) fn read(&self) {
        self.books.read();
        // The gate is one: where another process serves, it is that one's.
        if !self.succession.has_handed_over() {
            self.books.move_gate(&self.common.published.current().config);
        }
        self.recent.lock().note(Instant::now(), self.common.meters.audiences());
    }

    /// What has been counted so far for each audience.
    pub(super) fn counted(&self) -> Vec<AudienceReading> {
        self.common.meters.audiences()
    }

    fn audiences(&self, snapshot: &Snapshot) -> Vec<AudienceView> {
        let lately = self.recent.lock().lately();
        let configured = snapshot.config.audiences.iter();
        let view = |audience: &crate::config::Audience| {
            let lately = lately.iter().find(|lately| lately.name == audience.name)?;
            let view = AudienceView::new(lately, &audience.pool, promise(&audience.objectives));
            Some(AudienceView { fallback: fallback(snapshot, &audience.name), ..view })
        };
        configured.filter_map(view).collect()
    }

    /// What an operator should know: first of all that the file is not what is in use.
    fn problems(&self, standing: Standing) -> Vec<String> {
        let refused = standing.refused.into_iter().flat_map(|(since, problems)| {
            let since = rfc3339(since);
            let line = move |problem| format!("not reloaded since {since}: {problem}");
            problems.into_iter().map(line)
        });
        let guard = self.guard().keys.troubles().into_iter().chain(self.guard().audit.trouble());
        let current = self.common.published.current();
        let full = buffers_trouble(&self.common, &current.config);
        let guard = guard.chain(descriptors::trouble()).chain(full).chain(away(&current));
        let guard = guard.chain(issuers::troubles(&current)).chain(two_capacities(&current));
        let kept = self.orders.troubles().into_iter().chain(self.books.troubles());
        let at_restart = standing.at_restart.iter().map(|line| format!("not applied: {line}"));
        refused.chain(at_restart).chain(guard).chain(kept).chain(standing.warnings).collect()
    }

    fn gauges(&self, snapshot: &Snapshot) -> Gauges {
        let listeners = self.census.listeners().into_iter().map(|reading| ListenerGauges {
            listener: reading.listener.to_string(),
            connections: reading.connections,
            handshakes: match snapshot.tls(&reading.configured) {
                Some(_) => named(Handshake::ALL.map(Handshake::name), reading.handshakes),
                None => Vec::new(),
            },
            introductions: match snapshot.listener(&reading.configured) {
                Some(listener) if listener.proxy_protocol => {
                    named(Introduction::ALL.map(Introduction::name), reading.introductions)
                }
                Some(_) | None => Vec::new(),
            },
        });
        Gauges {
            pools: snapshot.pools().iter().map(pool_gauges).collect(),
            names: name_gauges(snapshot),
            promises: self.books.gauges(&snapshot.config.promises()),
            slo_events_unkept: self.books.unkept(),
            verbs: self.orders.gauges(),
            issuers: issuers::gauges(snapshot),
            versions: versions::refused(snapshot),
            tables: tables(snapshot).collect(),
            listeners: listeners.collect(),
            certificates: certificate_gauges(&snapshot.config),
            shown: shown_to_endpoints(&snapshot.config),
            database: database(snapshot),
            buffers: buffers(&self.common, &snapshot.config),
            fallbacks: fallbacks(snapshot),
            forgotten: forgotten(snapshot),
            config_hash: snapshot.config.hash.clone(),
            config_refused: self.reloader.standing().refused.is_some(),
            config_generation: snapshot.generation,
            log_lines_dropped: self.common.log.dropped(),
        }
    }
}

impl Sight for HouseSight {
    fn status(&self) -> StatusView {
        let snapshot = self.common.published.current();
        let standing = self.reloader.standing();
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            draining: self.common.drain.stage() > Stage::Running,
            config: ConfigView {
                path: self.reloader.path().map(|path| path.display().to_string()),
                hash: snapshot.config.hash.clone(),
                generation: snapshot.generation,
                loaded_at: rfc3339(standing.loaded_at),
                at_restart: standing.at_restart.clone(),
                refused: standing.refused.as_ref().map(|(since, problems)| RefusedView {
                    since: rfc3339(*since),
                    problems: problems.clone(),
                }),
            },
            audiences: self.audiences(&snapshot),
            pools: snapshot.pools().iter().map(pool_view).collect(),
            events: events(&snapshot),
            verbs: self.orders.in_force(),
            issuers: issuers::views(&snapshot),
            tables: tables(&snapshot)
                .map(|(name, lines)| TableView { name: name.to_string(), lines })
                .collect(),
            problems: self.problems(standing),
        }
    }

    fn config(&self) -> serde_json::Value {
        let written = &self.common.published.current().config.redacted;
        serde_json::from_str(written).expect("it was written as JSON")
    }

    fn requests(&self, request_id: &str) -> Result<RequestsView, String> {
        recall::requests(&self.common.memory, self.orders.world().endpoints(), request_id)
    }

    fn promises(&self) -> SloView {
        self.books.view(&self.common.published.current().config.promises())
    }

    fn versions(
        &self,
        audience: Option<&str>,
        if_min: Option<Version>,
    ) -> Result<VersionsView, String> {
        versions::view(&self.common.published.current(), audience, if_min)
    }

    fn gate(&self, audiences: &[&str], class: &str) -> Result<GateView, String> {
        self.books.ask_gate(&self.common.published.current().config, audiences, class)
    }

    fn tell_gate(&self, order: &GateOrder, by: &By) -> Result<GateView, String> {
        if self.orders.are_still() {
            return Err(GONE.to_owned());
        }
        let config = &self.common.published.current().config;
        self.books.tell_gate(config, order, by, &self.guard().audit)
    }

    fn metrics(&self) -> String {
        let snapshot = self.common.published.current();
        self.common.meters.render(&self.gauges(&snapshot))
    }

    fn reload(self: Arc<Self>, by: By) -> Pin<Box<dyn Future<Output = ReloadView> + Send>> {
        Box::pin(async move { reload_view(self.reload_by(&by).await) })
    }

    fn upgrade(
        self: Arc<Self>,
        by: By,
        wait: Option<Duration>,
    ) -> Pin<Box<dyn Future<Output = UpgradeView> + Send>> {
        let (answer, answered) = oneshot::channel();
        let sight = self.clone();
        let upgrade = async move {
            // Whoever asked may not wait for the answer.
            let _ = answer.send(upgrade::upgrade(&sight, &by, wait).await);
        };
        {
            let mut upgrades = self.upgrades.lock();
            while upgrades.try_join_next().is_some() {}
            upgrades.spawn(upgrade);
        }
        Box::pin(async move { answered.await.unwrap_or_default() })
    }

    fn order(
        self: Arc<Self>,
        order: Order,
        by: By,
    ) -> Pin<Box<dyn Future<Output = Ordered> + Send>> {
        Box::pin(async move { self.orders.carry_out(order, by).await })
    }

    fn readiness(&self) -> Readiness {
        if self.common.drain.stage() > Stage::Running {
            Readiness::Draining
        } else if self.is_resolved() {
            Readiness::Ready
        } else {
            Readiness::NotResolved
        }
    }
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time).map(|at| format!("{at:.3}")).unwrap_or_default()
}

fn reload_view(reloaded: Reloaded) -> ReloadView {
    match reloaded {
        Reloaded::Applied { generation, changes } => ReloadView {
            result: "applied".to_owned(),
            generation: Some(generation),
            changes: changes.applied,
            at_restart: changes.at_restart,
            problems: Vec::new(),
        },
        Reloaded::Unchanged => {
            ReloadView { result: "unchanged".to_owned(), ..ReloadView::default() }
        }
        Reloaded::Refused(problems) => ReloadView {
            result: "refused".to_owned(),
            problems: problems.as_slice().iter().map(ToString::to_string).collect(),
            ..ReloadView::default()
        },
    }
}

/// What the audience as a whole was promised: its objective without a name.
fn promise(objectives: &[Objective]) -> Option<PromiseView> {
    let whole = objectives.iter().find(|objective| objective.name.is_none())?;
    Some(PromiseView {
        availability: whole.availability.map(|share| share.ratio()),
        within_ms: whole.latency.map(|latency| latency.within.as_secs_f64() * 1e3),
        target: whole.latency.map(|latency| latency.target.ratio()),
    })
}
