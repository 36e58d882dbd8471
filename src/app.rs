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
mod health;
mod house;
mod recall;
mod shelf;
mod sight;
mod stop;
mod threads;

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::sync::mpsc;

use crate::{
    config::{self, Config},
    control::{Audit, Guard, Keys},
    drain::{self, Drain, Drainer},
    edge::{self, Census, Order},
    meters::Meters,
    proxy::{Common, Memory, Spool, Tunnels},
    reload::Reloader,
    snapshot::{Published, World},
    telemetry::{
        AccessLog,
        access_log::{Target, Writer},
    },
};

pub use crate::edge::BindError;
pub use stop::{Ended, Remote};

/// How many orders to the doorman may wait.
const ORDERS: usize = 4;

/// What is known of a start beside the configuration itself.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The file that the configuration came from; none when there is none.
    pub path: Option<PathBuf>,
    /// What `check` would warn of.
    pub warnings: Vec<String>,
}

/// Why usher cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
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

/// Where a started usher can be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// Where clients connect, in the order of the configuration.
    pub listeners: Vec<SocketAddr>,
    /// The operators' port.
    pub control: Option<SocketAddr>,
    /// The port that Prometheus scrapes.
    pub metrics: Option<SocketAddr>,
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
}

/// Listening sockets, not blocking.
struct Sockets {
    listeners: Vec<TcpListener>,
    control: Option<TcpListener>,
    metrics: Option<TcpListener>,
}

/// Takes every port and file that `config` names, and compiles it.
///
/// # Errors
/// A port or a file cannot be had. Nothing has been started then.
pub fn build(config: Config, origin: Origin) -> Result<Bound, BuildError> {
    let sockets = Sockets {
        listeners: config
            .listeners
            .iter()
            .map(|listener| edge::bind(listener.bind))
            .collect::<Result<_, _>>()?,
        control: config.control.map(edge::bind).transpose()?,
        metrics: config.metrics.map(edge::bind).transpose()?,
    };
    let workers = config.workers.unwrap_or_else(threads::workers_auto);
    let target = match &config.access_log {
        config::AccessLog::Off => Target::Off,
        config::AccessLog::Stdout => Target::Stdout,
        config::AccessLog::File(path) => Target::File(path.clone()),
    };
    let (log, writer) = AccessLog::start(target, workers).map_err(BuildError::AccessLog)?;
    let config = Arc::new(config);
    let meters = Meters::new(workers, &edges(&config));
    let world = Arc::new(World::new(meters.clone()));
    let snapshot = world.compile(config.clone(), 1);
    let (drainer, drain) = drain::channel();
    let common = Common {
        published: Published::new(Arc::new(snapshot)),
        meters,
        log,
        memory: Memory::new(workers, config.why_requests),
        spool: Spool::default(),
        drain: drain.clone(),
        pseudonym: Common::draw_pseudonym(),
        tunnels: Arc::new(Tunnels::default()),
    };
    let common = Arc::new(common);
    let addresses = sockets.addresses();
    let census = Arc::new(Census::default());
    let (doors, orders) = mpsc::channel(ORDERS);
    let Origin { path, warnings } = origin;
    let reloader = Reloader::new(path, warnings, world.clone(), common.clone(), doors);
    let guard = Guard {
        keys: Keys::new(addresses.control, &config.operators.tokens),
        audit: Audit::open(config.operators.audit.clone()).map_err(BuildError::Audit)?,
    };
    let books = open_books(&common, &config)?;
    let sight =
        sight::HouseSight::new(common.clone(), census.clone(), world, reloader, guard, books);
    Ok(Bound {
        addresses,
        sight,
        census,
        sockets,
        workers,
        config,
        common,
        drainer: Arc::new(drainer),
        drain,
        orders,
        writer,
    })
}

fn open_books(common: &Common, config: &Config) -> Result<books::Books, BuildError> {
    let state_dir = config.state_dir.as_deref();
    let books = books::Books::open(common.meters.clone(), state_dir);
    books.map_err(|error| BuildError::StateDir(state_dir.unwrap_or(Path::new("")).into(), error))
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

    /// A hand that stops it, and eyes that see how it fares, from any thread.
    pub fn remote(&self) -> Remote {
        Remote::new(self.drainer.clone(), self.sight.clone())
    }

    /// Serves on this thread and on those it starts, until it is stopped.
    ///
    /// # Errors
    /// A worker or the acceptor died; nothing is served any more.
    pub fn run(self) -> Result<(), Ended> {
        house::run(self)
    }
}

// === impl Sockets ===

impl Sockets {
    fn addresses(&self) -> Addresses {
        let address = |socket: &TcpListener| socket.local_addr().ok();
        Addresses {
            listeners: self.listeners.iter().filter_map(address).collect(),
            control: self.control.as_ref().and_then(address),
            metrics: self.metrics.as_ref().and_then(address),
        }
    }
}
