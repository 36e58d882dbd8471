//! The configuration as the rest of usher sees it: valid by construction.
//!
//! `document` is what was written, with spans; `lower` turns it into these types or into problems.
//! Nothing here can be built from a file that has an error in it.

mod balance;
mod changes;
mod database;
mod defaults;
mod dialect;
mod discovery;
pub(crate) mod document;
mod fallback;
mod fixed;
mod health;
mod include;
mod lint;
mod listener;
mod load;
mod lower;
mod operators;
mod problem;
mod promises;
mod questions;
mod schema;
pub mod secret;
mod source;
mod sticky;
mod timeouts;
mod versions;
mod view;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use http::{HeaderName, Uri};

pub use balance::{Balance, HashBy};
pub use changes::{Changes, changes};
pub use database::{Database, Demand, Need, Surge};
pub use defaults::AddressError;
pub use dialect::Dialect;
pub use discovery::{Dns, Family, Resolver};
pub use document::Environment;
pub use fallback::Fallback;
pub use fixed::Fixed;
pub use health::{Ejection, Health, WhenUnhealthy};
pub use listener::{Listener, Redirect};
pub use load::{
    AskNames, Examination, LoadOptions, check, control_only, inspect, load, parse_text,
};
pub(crate) use lower::EXPIRY_WARNED;
pub use lower::NamedTable;
pub use operators::{Operators, Role, Token, TokenSource};
pub use problem::{Problem, Problems, Severity};
pub use schema::{documented_keys, json_schema};
pub use sticky::{Sticky, StickyCookie};
pub use timeouts::{Overrides, Timeouts};
pub use versions::{VersionAnswer, Versions};

use crate::{
    bind::{Access, Bind},
    classify::{PathPattern, Places, RuleSpec},
    identity::Identities,
    name::Name,
    peer::Network,
    policy::{rate, retry},
    slo::{On, StatusSet, Thresholds},
    stride::let_go,
    units::Percent,
};

/// Everything that `usher run` needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect. At least one.
    pub listeners: Vec<Listener>,
    /// The operators' port; `None` is `off`.
    pub control: Option<Bind>,
    /// Who may connect to it, where it is a Unix socket.
    pub control_access: Access,
    /// Who may ask it, and where changes are written down.
    pub operators: Operators,
    /// The port that Prometheus scrapes; `None` is `off`.
    pub metrics: Option<Bind>,
    /// Who may connect to it, where it is a Unix socket.
    pub metrics_access: Access,
    /// Networks that may tell us `X-Forwarded-*`.
    pub trusted_proxies: Vec<Network>,
    /// Names with `_` that are passed on.
    pub underscore_headers: Vec<HeaderName>,
    /// Whether made-up answers name their fault in `X-Usher-Fault`.
    pub fault_header: bool,
    /// How many workers; `None` is `auto`.
    pub workers: Option<usize>,
    /// Where the access log goes.
    pub access_log: AccessLog,
    /// How many settled requests `usher why` can tell about, over all workers.
    pub why_requests: usize,
    /// Where state is kept over a restart.
    pub state_dir: Option<PathBuf>,
    /// The Prometheus that knows what all replicas have counted together.
    pub slo_source: Option<Uri>,
    /// What has to be left of an error budget to ship.
    pub gate: Thresholds,
    /// How usher stops.
    pub drain: Drain,
    /// How name servers are asked.
    pub resolver: Resolver,
    /// The database behind all pools, where something was said of it.
    pub database: Option<Database>,
    /// What may prove who asks; `None`: nothing does.
    pub identity: Option<Arc<Identities>>,
    /// Where GraphQL requests say what they ask for.
    pub graphql: Places,
    /// By what a client is known again where nothing proves who asks.
    pub sticky: Sticky,
    /// Tables of users.
    pub tables: Vec<NamedTable>,
    /// In the order in which they are tried; the last one takes all that is left.
    pub audiences: Vec<Audience>,
    /// In the order in which they were written.
    pub pools: Vec<Pool>,
    /// The fields of a request that anything in here looks at, each once.
    pub fields_asked: Vec<HeaderName>,
    /// SHA-256 over the resolved content of every file read, in lower-case hex.
    pub hash: String,
    /// What was written, as JSON and includes merged, with `${NAME}` for what came from the
    /// environment.
    pub redacted: String,
}

/// What a client may cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Connections over all; `None` is `auto`: what the descriptors of this process allow.
    pub connections: Option<u64>,
    /// Connections of one client address.
    pub per_client: u64,
    /// Bytes of a head: request line and fields.
    pub head_bytes: u64,
    /// Fields of a head.
    pub headers: u64,
    /// Bytes of a request's target.
    pub target_bytes: u64,
    /// Bytes of a request's body.
    pub body_bytes: u64,
    /// Memory of all bodies that are kept; `None` is `auto`: a part of what the process may have.
    pub buffers_bytes: Option<u64>,
    /// TLS handshakes in progress.
    pub handshakes: u64,
    /// From the accepted connection to the end of its TLS handshake.
    pub handshake_wait: Duration,
    /// From the first byte of a head to its last.
    pub head_wait: Duration,
    /// The lowest rate at which a body may arrive, in bytes a second.
    pub body_rate: u64,
    /// How long a client may take none of its answer.
    pub write_wait: Duration,
    /// How long a connection may be idle between two requests.
    pub keep_alive: Duration,
    /// How old a connection may become.
    pub age: Duration,
    /// Tunnels over all.
    pub tunnels: u64,
    /// How long a tunnel may be silent.
    pub tunnel_idle: Duration,
}

/// Where the access log goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file.
    File(PathBuf),
}

/// How usher stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drain {
    /// Not ready any more, but still accepting: the time for load balancers to notice.
    pub grace: Duration,
    /// How long requests may go on after that.
    pub requests: Duration,
    /// How long tunnels may go on after that.
    pub tunnels: Duration,
}

/// A class of requests with one promise.
#[derive(Clone, Debug)]
pub struct Audience {
    /// Its name.
    pub name: Name,
    /// Any of these takes the request. Empty: the catch-all.
    pub rules: Vec<RuleSpec>,
    /// When there are any, one of these must match, else 403.
    pub only: Vec<RuleSpec>,
    /// The pool that serves it.
    pub pool: Name,
    /// Where it goes when that pool cannot take it.
    pub fallback: Option<Fallback>,
    /// Who goes first among those that share the pool; the higher.
    pub priority: u8,
    /// The share of the pool's slots that it gets when it wants them, whoever else does.
    pub share: Option<Percent>,
    /// Its promises.
    pub objectives: Vec<Objective>,
    /// A page of its own for made-up answers, as HTML.
    pub page: Option<String>,
    /// What differs from its pool's timeouts.
    pub timeouts: Overrides,
    /// How often it, or one client of it, may ask.
    pub rate_limit: rate::Limits,
    /// Which versions of its app are served; `None`: nobody looks.
    pub versions: Option<Versions>,
    /// What differs from those for requests of some rules, by the place of the rule.
    pub rule_timeouts: Vec<(usize, Overrides)>,
}

/// A promise about an audience, or about a part of it.
#[derive(Clone, Debug)]
pub struct Objective {
    /// Its name; the audience's unnamed promise has none.
    pub name: Option<Name>,
    /// Which of the audience's requests it speaks about; empty: all.
    pub only: Vec<RuleSpec>,
    /// The share of requests to be answered well.
    pub availability: Option<Percent>,
    /// The share of requests to be answered in time.
    pub latency: Option<Latency>,
    /// What was promised to others; laxer than `availability`.
    pub sla: Option<Percent>,
    /// Statuses that are bad beside those from 500 on.
    pub bad: StatusSet,
    /// Paths that are not counted.
    pub exclude: Vec<PathPattern>,
    /// Over how long it is held.
    pub window: Duration,
}

/// A latency objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Latency {
    /// How soon an answer comes, to count as good.
    pub within: Duration,
    /// The share of requests for which it does.
    pub target: Percent,
    /// What is to come in time.
    pub on: On,
}

/// Endpoints that run in the same configuration.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Its name.
    pub name: Name,
    /// In the order in which they were written.
    pub endpoints: Vec<EndpointSpec>,
    /// Slots per endpoint.
    pub capacity: u32,
    /// Whether `capacity` was written; it is assumed otherwise.
    pub capacity_written: bool,
    /// How long and how many requests wait for a slot.
    pub queue: Queue,
    /// How requests are spread over the endpoints.
    pub balance: Balance,
    /// What becomes of requests while no endpoint is usable.
    pub when_empty: WhenEmpty,
    /// Over how long an endpoint that is new or back gets its slots.
    pub slow_start: Duration,
    /// The share of the slots that streams of events may hold.
    pub event_streams: Percent,
    /// How long the monolith may take.
    pub timeouts: Timeouts,
    /// How long an unused connection to an endpoint is kept.
    pub keep_alive_idle: Duration,
    /// How long an orphaned lease is held.
    pub abandoned_hold: Duration,
    /// What of bodies is kept on their way.
    pub buffer: Buffer,
    /// How its endpoints are spoken to.
    pub dialect: Dialect,
    /// How its endpoints are asked whether they are well; not at all without it.
    pub health: Option<Arc<Health>>,
    /// When an endpoint gets no requests because those that it got went wrong; never without it.
    pub ejection: Option<Ejection>,
    /// What becomes of requests when no endpoint is well.
    pub when_unhealthy: WhenUnhealthy,
    /// What it needs of the database.
    pub database: Demand,
    /// When a request is sent again; never without it.
    pub retry: Option<retry::Policy>,
}

/// An endpoint as it was written: a name may stand for several addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Where it is.
    pub address: AddressSpec,
    /// Its share relative to the pool's others; at least 1.
    pub weight: u32,
}

impl EndpointSpec {
    /// Whether it may stand for several endpoints.
    pub fn is_looked_up(&self) -> bool {
        matches!(self.address, AddressSpec::Named(..) | AddressSpec::Dns(_))
    }
}

/// Where an endpoint is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AddressSpec {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// A host name, resolved by the system at start and again, and a port.
    Named(String, u16),
    /// What name servers are asked for.
    Dns(Dns),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// How long and how many requests wait for a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Queue {
    /// The most requests that wait.
    pub length: QueueLength,
    /// How long one of them may wait.
    pub wait: Duration,
}

/// What becomes of requests while a pool has no usable endpoint.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenEmpty {
    /// They are refused at once.
    #[default]
    Refuse,
    /// They wait as long as they would for a slot.
    Wait,
    /// They are refused at once, unless their audience has another pool to go to.
    Fallback,
}

/// The most requests that wait for a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum QueueLength {
    /// So many.
    Fixed(u64),
    /// So many times the pool's capacity.
    TimesCapacity(f64),
}

/// What of bodies is kept on their way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Whether a request's body is read whole before it goes to an endpoint.
    pub request: bool,
    /// Where bodies that exceed the memory go.
    pub directory: PathBuf,
    /// How many bytes of bodies may lie there at once.
    pub disk_bytes: u64,
    /// How much of one answer is read ahead of its client, in bytes; 0 is off.
    pub ahead_bytes: u64,
}

// === impl Config ===

impl Config {
    /// Lets go of it in strides.
    pub fn let_go(self) {
        let Self { audiences, pools, .. } = self;
        audiences.into_iter().for_each(|audience| let_go(audience.rules));
        let_go(pools);
    }
}

// === free functions ===

/// The one of `candidates` that `word` was probably meant to be.
pub fn did_you_mean<'a>(word: &str, candidates: &[&'a str]) -> Option<&'a str> {
    document::similar(word, candidates.iter().copied())
}
