//! The house: the only starter of threads and of tasks that outlive a connection.
//!
//! ```text
//! build(Config) ─▶ Bound ─ run() ─▶ house thread (the caller's): control, metrics, log, names
//!                                 ├▶ acceptor: every listening socket
//!                                 └▶ worker 0..n: connections, requests
//! ```
//!
//! Everything that can fail for want of a port, a file or a right fails in [`build`]. A worker or
//! acceptor that ends before it was asked to ends the process: half a proxy is worse than none.

mod books;
mod certificates;
mod checks;
mod estates;
mod health;
mod fleet;
mod gate;
mod house;
mod issuers;
mod life;
mod names;
mod orders;
mod pages;
mod parting;
mod predecessor;
mod recall;
mod shelf;
mod shown;
mod sight;
mod signals;
mod sockets;
mod stop;
mod succession;
mod tallies;
mod targets;
mod threads;
mod upgrade;
mod versions;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    bind::Bind,
    config::{self, Config},
    control::{Audit, Guard, Keys},
    drain::{self, Drain, Drainer},
    edge::{Census, Order, SocketFile},
    meters::Meters,
    proxy::{Common, Crew, Memory, Pulse, Spool, Tunnels},
    reload::Reloader,
    snapshot::{Published, World},
    telemetry::{
        AccessLog,
        access_log::{Target, Writer},
    },
    upstream::Shelves,
    verbs::Gates,
};

pub use crate::edge::BindError;
pub use signals::House;
pub use sockets::{Addresses, InheritError, Inherited};
pub use stop::{Ended, Remote};
pub use succession::{Heir, Invocation, NotUpgraded};

use predecessor::Predecessor;
use sockets::Sockets;
use succession::Succession;

/// How many orders to the doorman may wait.
const ORDERS: usize = 4;

/// What is known of a start beside the configuration itself.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The file that the configuration came from; none when there is none.
    pub path: Option<PathBuf>,
    /// What `check` would warn of.
    pub warnings: Vec<String>,
    /// How this process was started; without it there is nothing to upgrade.
    pub invocation: Option<Invocation>,
}

/// Why usher cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// A port cannot be kept for a successor.
    #[error("cannot keep a port for a successor: {0}")]
    Keep(#[source] std::io::Error),
    /// What was handed in cannot be used.
    #[error(transparent)]
    Inherit(#[from] InheritError),
    /// The audit's file cannot be opened.
    #[error("cannot open the audit's file: {0}")]
    Audit(#[source] std::io::Error),
    /// The access log cannot be opened.
    #[error("cannot open the access log: {0}")]
    AccessLog(#[source] std::io::Error),
    /// `state_dir` cannot be written to.
    #[error("cannot keep anything in {0}: {1}")]
    StateDir(PathBuf, #[source] std::io::Error),
}

/// An usher that has all its ports and files, and does not serve yet.
pub struct Bound {
    addresses: Addresses,
    /// One for the ports and for all remotes: what it remembers is read once a second.
    sight: Arc<sight::HouseSight>,
    sockets: Sockets,
    workers: usize,
    config: Arc<Config>,
    common: Arc<Common>,
    census: Arc<Census>,
    drainer: Arc<Drainer>,
    drain: Drain,
    orders: mpsc::Receiver<Order>,
    writer: Writer,
    predecessor: Option<Predecessor>,
    /// What leads to sockets that nobody serves once the predecessor has gone.
    abandoned: Vec<Arc<SocketFile>>,
}

/// Takes every port and file that `config` names, and compiles it.
///
/// # Errors
/// A port or a file cannot be had. Nothing has been started then.
pub fn build(config: Config, origin: Origin) -> Result<Bound, BuildError> {
    build_on(config, origin, &mut Inherited::default())
}

/// As [`build`], with the sockets in `inherited` where they fit. What is left there after a failure
/// can still be told of it.
///
/// # Errors
/// As for [`build`], and when a socket was handed in that the configuration does not name.
pub fn build_on(
    config: Config,
    origin: Origin,
    inherited: &mut Inherited,
) -> Result<Bound, BuildError> {
    let sockets = Sockets::take(&config, inherited)?;
    inherited.check()?;
    let workers = config.workers.unwrap_or_else(threads::workers_auto);
    let log = AccessLog::start(target(&config), workers);
    let (log, writer) = log.map_err(BuildError::AccessLog)?;
    let config = Arc::new(config);
    let meters = Meters::new(workers, &edges(&config));
    let world = Arc::new(World::new(meters.clone()));
    let (drainer, drain) = drain::channel();
    let common = Arc::new(Common {
        published: Published::new(Arc::new(world.compile(config.clone(), 1))),
        meters,
        log,
        gates: Gates::default(),
        memory: Memory::new(workers, config.why_requests),
        buffers: Arc::default(),
        spool: Spool::default(),
        drain: drain.clone(),
        pseudonym: Common::draw_pseudonym(),
        tunnels: Arc::new(Tunnels::default()),
        shelves: Arc::new(Shelves::of(workers)),
        pulse: Pulse::of(workers),
        crew: Crew::of(workers),
    });
    let addresses = sockets.addresses();
    let census = Arc::new(Census::default());
    let (doors, orders) = mpsc::channel(ORDERS);
    let Origin { path, warnings, invocation } = origin;
    let drainer = Arc::new(drainer);
    let ports = sockets.ports(&config).map_err(BuildError::Keep)?;
    let succession =
        Succession::new(invocation, ports, doors.clone(), drainer.clone(), drain.clone());
    let reloader = Reloader::new(path, warnings, world.clone(), common.clone(), doors);
    let guard = open_guard(addresses.control.as_ref(), &config)?;
    let operators = orders::Orders::new(common.clone(), world, guard, &config);
    let books = open_books(&common, &config)?;
    let tallies = tallies::Tallies::open(config.state_dir.as_deref(), &common.published.current());
    let means = sight::Means { reloader, orders: operators, books, tallies, succession };
    let sight = sight::HouseSight::new(common.clone(), census.clone(), means);
    Ok(Bound {
        addresses,
        sight,
        census,
        sockets,
        workers,
        config,
        common,
        drainer,
        drain,
        orders,
        writer,
        predecessor: inherited.predecessor.take(),
        abandoned: inherited.abandoned(),
    })
}

fn open_guard(control: Option<&Bind>, config: &Config) -> Result<Guard, BuildError> {
    let audit = Audit::open(config.operators.audit.clone()).map_err(BuildError::Audit)?;
    Ok(Guard { keys: Keys::new(control, &config.operators.tokens), audit })
}

fn open_books(common: &Common, config: &Config) -> Result<books::Books, BuildError> {
    let state_dir = config.state_dir.as_deref();
    let source = config.slo_source.clone();
    let books = books::Books::open(common.meters.clone(), state_dir, source);
    books.map_err(|error| BuildError::StateDir(state_dir.unwrap_or(Path::new("")).into(), error))
}

/// Where the access log goes.
fn target(config: &Config) -> Target {
    match &config.access_log {
        config::AccessLog::Off => Target::Off,
        config::AccessLog::Stdout => Target::Stdout,
        config::AccessLog::File(path) => Target::File(path.clone()),
    }
}

/// Every latency that was promised: an edge of all histograms, so that what Prometheus counts
/// below it is exact.
fn edges(config: &Config) -> Vec<Duration> {
    let objectives = config.audiences.iter().flat_map(|audience| &audience.objectives);
    objectives.filter_map(|objective| objective.latency).map(|latency| latency.within).collect()
}

// === impl Bound ===

impl Bound {
    /// Where it can be reached.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// What it was built from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// A hand that stops it, and eyes that see how it fares, from any thread.
    pub fn remote(&self) -> Remote {
        Remote::new(self.drainer.clone(), self.sight.clone())
    }

    /// Serves on this thread and on those it starts, until it is stopped.
    ///
    /// # Errors
    /// A worker or the acceptor died; nothing is served any more.
    pub fn run(self) -> Result<(), Ended> {
        self.run_in(House::open()?)
    }

    /// As [`Bound::run`], in a house that was opened before.
    ///
    /// # Errors
    /// As for [`Bound::run`].
    pub fn run_in(self, house: House) -> Result<(), Ended> {
        house::run(self, house)
    }
}
