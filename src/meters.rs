//! What usher measures: every metric's name, the cells that are counted in, and their rendering.
//!
//! A worker counts in a row of its own and is that row's only writer, so that settling a request
//! is a handful of plain loads and stores: no lock, no allocation, no instruction that two cores
//! must agree on. Reading sums the rows and may be a moment behind.
//!
//! What a label may hold is closed or comes from the configuration; nothing a client sends ever
//! becomes one. A meter is rendered as long as somebody holds it: the snapshot that was built with
//! it, or an exchange that opened with it. What rarely moves goes through the exporter's registry
//! instead and is rendered into the same text.

mod carried;
mod cells;
mod edges;
mod exchange;
mod exporter;
mod gauges;
mod graphql;
mod histogram;
mod http2;
mod identity;
mod interim;
mod keyed;
pub mod names;
mod pool;
mod reading;
pub mod recent;
mod render;
mod slo;
mod slots;
pub mod status;
mod text;
mod versions;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::{fault::Fault, name::Name};

pub use cells::Cells;
pub use edges::Edges;
pub use exchange::{ExchangeMeter, Settled, TunnelEnd};
pub use gauges::{
    BufferGauges, CertificateGauges, EndpointGauges, FallbackGauges, Gauges, IssuerGauges,
    ListenerGauges, NameGauges, PoolGauges, PromiseGauges, VerbGauges,
};
pub use graphql::GraphqlMeter;
pub use histogram::Distribution;
pub use http2::Http2End;
pub use identity::IdentityMeter;
pub use interim::Interim;
pub use pool::{EndpointEvent, PoolMeter, Retry, SecretEnd};
pub use reading::{AudienceReading, CutOff};
pub use slo::{Cause, PromiseKey, SloMeter, SloReading, Verdict};
pub use versions::{Band, VersionMeter};

use carried::Carried;
use exchange::{AnswerMeter, AudienceMeter, PlaceMeter};
use exporter::Exporter;

pub use exporter::Reload;
use keyed::Keyed;
use pool::LeaseMeter;
use slo::Departed;

/// What a request was given during a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Arm {
    /// The build that serves when there is no rollout.
    Stable,
    /// The build that is being tried.
    Canary,
}

/// Every meter of a process. Made once, shared by all.
pub struct Meters {
    rows: usize,
    origin: Instant,
    edges: Arc<Edges>,
    audiences: Keyed<Name, AudienceMeter>,
    answers: Keyed<(Name, Arm), AnswerMeter>,
    places: Keyed<(Name, Name), PlaceMeter>,
    exchanges: Keyed<(Name, Name, Arm), ExchangeMeter>,
    leases: Keyed<Name, LeaseMeter>,
    pools: Keyed<(Name, Arm), PoolMeter>,
    promises: Keyed<PromiseKey, SloMeter>,
    identities: Keyed<Name, IdentityMeter>,
    versions: Keyed<Name, VersionMeter>,
    graphql: Keyed<(), GraphqlMeter>,
    /// What became of 1xx answers.
    interims: Cells,
    departed: Arc<Departed>,
    exporter: Exporter,
    carried: Mutex<Carried>,
}

// === impl Arm ===

impl Arm {
    /// The word used in log and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Arm::Stable => "stable",
            Arm::Canary => "canary",
        }
    }
}

// === impl Meters ===

impl Meters {
    /// Meters for `workers` workers, which count at the indices `0..workers`, and for the house
    /// thread, which counts at `workers`. Every one of `edges` (the objectives' `within`) becomes
    /// an edge of every histogram, beside the usual ones.
    pub fn new(workers: usize, edges: &[Duration]) -> Arc<Self> {
        Arc::new(Self {
            rows: workers + 1,
            origin: Instant::now(),
            edges: Arc::new(Edges::with(edges)),
            audiences: Keyed::default(),
            answers: Keyed::default(),
            places: Keyed::default(),
            exchanges: Keyed::default(),
            leases: Keyed::default(),
            pools: Keyed::default(),
            promises: Keyed::default(),
            identities: Keyed::default(),
            versions: Keyed::default(),
            graphql: Keyed::default(),
            interims: Cells::new(workers + 1, Interim::ALL.len()),
            departed: Arc::default(),
            exporter: Exporter::new(),
            carried: Mutex::default(),
        })
    }

    /// The meter of requests of `audience` that go to `pool` on `arm`; asked again, the same one.
    ///
    /// Whatever is in `possible` is rendered at 0 until it occurs, as is a 200 that was served.
    pub fn exchange(
        &self,
        audience: &Name,
        pool: &Name,
        arm: Arm,
        possible: &[Fault],
    ) -> Arc<ExchangeMeter> {
        let place = self.places.hold((audience.clone(), pool.clone()), || {
            PlaceMeter::new(self.rows, Arc::clone(&self.edges))
        });
        place.expect(possible);
        let answers = self
            .answers
            .hold((audience.clone(), arm), || AnswerMeter::new(self.rows, Arc::clone(&self.edges)));
        let audience_meter =
            self.audiences.hold(audience.clone(), || AudienceMeter::new(self.rows));
        self.exchanges.hold((audience.clone(), pool.clone(), arm), || {
            ExchangeMeter::new(self.rows, audience_meter, answers, place)
        })
    }

    /// The meter of leases of `pool` on `arm`; asked again, the same one.
    pub fn pool(&self, pool: &Name, arm: Arm) -> Arc<PoolMeter> {
        let leases = self.leases.hold(pool.clone(), || LeaseMeter::new(self.rows, self.origin));
        self.pools.hold((pool.clone(), arm), || {
            PoolMeter::new(self.rows, Arc::clone(&self.edges), leases)
        })
    }

    /// The meter of the source of identities `source`; asked again, the same one. `flaws` are the
    /// words for what may be wrong with what it finds.
    pub fn identity(&self, source: &Name, flaws: &'static [&'static str]) -> Arc<IdentityMeter> {
        self.identities.hold(source.clone(), || IdentityMeter::new(self.rows, flaws))
    }

    /// The meter of the versions of the app of `audience`; asked again, the same one.
    pub fn versions(&self, audience: &Name) -> Arc<VersionMeter> {
        self.versions.hold(audience.clone(), || VersionMeter::new(self.rows))
    }

    /// The meter of bodies that are asked for an operation; asked again, the same one. `results`
    /// are the words for what may come of them.
    pub fn graphql(&self, results: &'static [&'static str]) -> Arc<GraphqlMeter> {
        self.graphql.hold((), || GraphqlMeter::new(self.rows, results))
    }

    /// How many threads count, the house among them as the last.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The edges that all histograms share.
    pub fn edges(&self) -> &Edges {
        &self.edges
    }

    /// A reload was tried.
    pub fn reloaded(&self, reload: Reload) {
        self.exporter.reloaded(reload);
    }

    /// A connection over HTTP/2 has ended, on which so many requests were refused before anything
    /// else was known of them.
    pub fn http2_closed(&self, end: Http2End, refused: u64) {
        self.exporter.http2_closed(end, refused);
    }

    /// A 1xx answer came to `worker`.
    pub fn interim(&self, worker: usize, interim: Interim) {
        self.interims.add(worker, interim as usize, 1);
    }

    /// A process that this one took over from shows `text`; asked again, that replaces what it
    /// showed before.
    pub fn carry(&self, text: &str) {
        self.carried.lock().replace(text);
    }

    /// That process has gone.
    pub fn predecessor_has_gone(&self) {
        self.carried.lock().gone();
    }

    /// Tidies the exporter's registry. Called by the house every few seconds.
    pub fn upkeep(&self) {
        self.exporter.upkeep();
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").field("rows", &self.rows).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
