//! What is not counted here but read from its owner when Prometheus asks.

use std::time::Duration;

use crate::name::Name;

/// What the house reads at a scrape.
#[derive(Clone, Debug, Default)]
pub struct Gauges {
    /// Every pool of the snapshot in use.
    pub pools: Vec<PoolGauges>,
    /// Every name that endpoints come from.
    pub names: Vec<NameGauges>,
    /// Every promise, and how it stands.
    pub promises: Vec<PromiseGauges>,
    /// What operators have ordered.
    pub verbs: Vec<VerbGauges>,
    /// Every place where keys are published.
    pub issuers: Vec<IssuerGauges>,
    /// Audiences that ask for a version, and the share of those below it that is refused now.
    pub versions: Vec<(Name, f64)>,
    /// Every table of users, and how many are in it.
    pub tables: Vec<(Name, u64)>,
    /// Every address where clients connect.
    pub listeners: Vec<ListenerGauges>,
    /// Every certificate of theirs.
    pub certificates: Vec<CertificateGauges>,
    /// Every certificate that endpoints are shown: pool, name and end, in seconds since 1970.
    pub shown: Vec<(Name, String, u64)>,
    /// Database connections that the pools need, by when, and how many there are.
    pub database: Option<([(&'static str, u64); 3], u64)>,
    /// Bodies that are kept.
    pub buffers: BufferGauges,
    /// Audiences in pools that they fall back to.
    pub fallbacks: Vec<FallbackGauges>,
    /// Clients that were forgotten though they were counted, of audiences with a limit for each.
    pub forgotten: Vec<(Name, u64)>,
    /// The hash of the configuration in use.
    pub config_hash: String,
    /// Whether the file holds an error and an older configuration is in use.
    pub config_refused: bool,
    /// How many configurations this process has served by.
    pub config_generation: u64,
    /// Lines that the access log has dropped since the start.
    pub log_lines_dropped: u64,
    /// Events of promises for which there was no room in the windows.
    pub slo_events_unkept: u64,
}

/// What is read of keys that are published. Source and place stand in the configuration.
#[derive(Clone, Debug)]
pub struct IssuerGauges {
    /// Whose keys they are.
    pub source: Name,
    /// Where they are published.
    pub url: String,
    /// How many are in use.
    pub keys: u64,
    /// How long ago they were fetched.
    pub age: Option<Duration>,
    /// How often they were asked for, by what came of it.
    pub fetches: [(&'static str, u64); 3],
}

/// What is read of an audience in the pool that it falls back to.
#[derive(Clone, Debug)]
pub struct FallbackGauges {
    /// The audience.
    pub audience: Name,
    /// That pool.
    pub pool: Name,
    /// Slots that it holds there.
    pub here: u64,
    /// What became of those who asked for one.
    pub counts: Vec<(&'static str, u64)>,
}

/// What is read of bodies that are kept.
#[derive(Clone, Debug, Default)]
pub struct BufferGauges {
    /// Bytes in memory.
    pub memory: u64,
    /// The most that there may be.
    pub memory_max: u64,
    /// Bytes on disk.
    pub disk: u64,
    /// Requests and answers that have met the ceiling.
    pub shortages: Vec<(&'static str, u64)>,
}

/// What is read of a pool.
#[derive(Clone, Debug)]
pub struct PoolGauges {
    /// Its name.
    pub name: Name,
    /// Its endpoints by state.
    pub endpoints: EndpointGauges,
    /// The slots of all its endpoints.
    pub capacity: u64,
    /// Slots held by requests in progress, orphaned ones not included.
    pub in_flight: u64,
    /// Slots held for requests that have gone.
    pub orphans: u64,
    /// Requests that wait for a slot.
    pub queue_length: u64,
    /// Streams of events, each of which holds a slot.
    pub event_streams: u64,
    /// Whether its endpoints are spoken to within TLS.
    pub encrypted: bool,
}

/// What is read of a name that endpoints come from. It stands in the configuration.
#[derive(Clone, Debug, Default)]
pub struct NameGauges {
    /// The name.
    pub name: String,
    /// Who is asked for it.
    pub source: &'static str,
    /// Addresses in use.
    pub addresses: u64,
    /// For how long look-ups have failed; zero when the last one did not.
    pub failing: Duration,
    /// Look-ups so far, by how they ended.
    pub look_ups: [(&'static str, u64); 3],
}

/// What is read of a promise. What cannot be said without events is not shown.
#[derive(Clone, Debug)]
pub struct PromiseGauges {
    /// Whom it was given.
    pub audience: Name,
    /// Its label.
    pub slo: String,
    /// The share of good events.
    pub target: f64,
    /// How fast the budget went in each window, by the window's name.
    pub burn: Vec<(String, f64)>,
    /// What is left of the budget.
    pub left: Option<f64>,
    /// When it is used up.
    pub exhausted_in: Option<f64>,
}

/// How many endpoints are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointGauges {
    /// They take requests.
    pub up: u64,
    /// They take none: their name does not resolve or they were found broken.
    pub down: u64,
    /// They take none for a while: requests to them went wrong.
    pub ejected: u64,
    /// They take none: an operator has drained them.
    pub drained: u64,
}

/// What an operator has ordered for one target. Both are out of the configuration or what a name in
/// it resolves to, never what a client says.
#[derive(Clone, Debug)]
pub struct VerbGauges {
    /// `pause`, `maintenance` or `drain`.
    pub verb: String,
    /// `audience`, `pool` or `endpoint`.
    pub kind: String,
    /// Its name or address.
    pub target: String,
    /// How many requests wait, of a pause.
    pub waiting: Option<u64>,
}

/// What is read of a listener.
#[derive(Clone, Debug)]
pub struct ListenerGauges {
    /// The address as it was configured, or as it was bound where port 0 was asked for.
    pub listener: String,
    /// Client connections that are open.
    pub connections: u64,
    /// TLS handshakes so far, by how they ended; none where no TLS is spoken.
    pub handshakes: Vec<(&'static str, u64)>,
    /// PROXY headers so far, by what became of them; none where none is taken.
    pub introductions: Vec<(&'static str, u64)>,
}

/// What is read of a listener's certificate.
#[derive(Clone, Debug)]
pub struct CertificateGauges {
    /// The listener's address as it was configured.
    pub listener: String,
    /// The first name of the certificate, or its subject where it has none.
    pub name: String,
    /// When it ends, in seconds since 1970.
    pub expires: u64,
}

// === impl Gauges ===

impl Gauges {
    /// The pools whose endpoints are spoken to within TLS.
    pub(super) fn encrypted(&self) -> Vec<Name> {
        let encrypted = self.pools.iter().filter(|pool| pool.encrypted);
        encrypted.map(|pool| pool.name.clone()).collect()
    }
}

// === impl PoolGauges ===

impl PoolGauges {
    /// The slots that the pool could use now.
    pub fn demand(&self) -> u64 {
        self.in_flight + self.queue_length + self.orphans
    }
}

// === impl EndpointGauges ===

impl EndpointGauges {
    /// Every state and its count.
    pub(super) fn by_state(self) -> [(&'static str, u64); 4] {
        [("up", self.up), ("down", self.down), ("ejected", self.ejected), ("drained", self.drained)]
    }
}
