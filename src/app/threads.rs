//! The acceptor and the workers: a thread and a runtime each.

use std::{
    io,
    net::TcpListener as StdListener,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    sync::mpsc,
    task::JoinSet,
};

use crate::{
    config::Config,
    drain::Drain,
    edge::{self, Census, Desk, Door, h1::Rules},
    proxy::{Common, Worker},
};

/// Threads of a worker's runtime that may block: gathered bodies go to files there.
const BLOCKING_THREADS_MAX: usize = 4;

/// What the doors need.
pub(super) struct Doors {
    /// In the order of the configuration.
    pub listeners: Vec<StdListener>,
    /// What was configured.
    pub config: Arc<Config>,
    /// What all workers share.
    pub common: Arc<Common>,
    /// Who is here.
    pub census: Arc<Census>,
    /// How far stopping has come.
    pub drain: Drain,
}

/// Running threads, and where each says that it has ended.
pub(super) struct Threads {
    handles: Vec<JoinHandle<()>>,
    ended: mpsc::Receiver<String>,
}

/// Says that a thread has ended, whichever way.
struct Farewell {
    name: String,
    ended: mpsc::Sender<String>,
}

/// As many workers as there are cores, or as the cgroup's CPU quota allows.
pub(super) fn workers_auto() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Starts `workers` workers and the acceptor.
pub(super) fn start(doors: Doors, workers: usize) -> io::Result<Threads> {
    let (ended, endings) = mpsc::channel(workers + 1);
    let mut handles = Vec::new();
    let mut desks = Vec::new();
    for index in 0..workers {
        let (desk, outbox, connections) = Desk::new();
        desks.push(desk);
        let common = doors.common.clone();
        let runtime = runtime()?;
        let work = move || {
            runtime.block_on(async move {
                edge::work(Worker::start(index, common), outbox, connections).await;
            });
        };
        handles.push(spawn(format!("worker-{index}"), &ended, work)?);
    }
    let runtime = runtime()?;
    let accept = move || {
        if let Err(error) = runtime.block_on(accept(doors, desks.into())) {
            tracing::error!(%error, "cannot watch a listening socket");
        }
    };
    handles.push(spawn("acceptor".to_owned(), &ended, accept)?);
    Ok(Threads { handles, ended: endings })
}

async fn accept(doors: Doors, desks: Arc<[Desk]>) -> io::Result<()> {
    let mut tasks = JoinSet::new();
    let trusted: Arc<[_]> = doors.config.trusted_proxies.clone().into();
    for (index, socket) in doors.listeners.into_iter().enumerate() {
        let limits = &doors.config.listeners[index].limits;
        let door = Door {
            index,
            rules: Arc::new(Rules::from(limits)),
            per_client: limits.per_client,
            connections_max: limits.connections.unwrap_or_else(connections_auto),
            trusted: trusted.clone(),
        };
        let listener = TcpListener::from_std(socket)?;
        let (desks, census, drain) = (desks.clone(), doors.census.clone(), doors.drain.clone());
        tasks.spawn(edge::accept(listener, door, desks, census, drain));
    }
    drop(desks);
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// Half of the descriptors that this process may have: each client's connection may need another
/// one to an endpoint.
fn connections_auto() -> u64 {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    limit.current.map_or(u64::MAX, |descriptors| (descriptors / 2).max(1))
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().max_blocking_threads(BLOCKING_THREADS_MAX).build()
}

fn spawn(
    name: String,
    ended: &mpsc::Sender<String>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let farewell = Farewell { name: name.clone(), ended: ended.clone() };
    thread::Builder::new().name(name).spawn(move || {
        let _farewell = farewell;
        work();
    })
}

// === impl Threads ===

impl Threads {
    /// The name of the next thread that ends.
    pub(super) async fn next_ended(&mut self) -> Option<String> {
        self.ended.recv().await
    }

    /// Ready once all have ended.
    pub(super) async fn all_ended(&mut self) {
        while self.ended.recv().await.is_some() {}
    }

    /// Waits for all of them; false when one has panicked. Only after all have ended.
    pub(super) fn join(self) -> bool {
        let joined: Vec<_> = self.handles.into_iter().map(JoinHandle::join).collect();
        joined.iter().all(Result::is_ok)
    }
}

// === impl Farewell ===

impl Drop for Farewell {
    fn drop(&mut self) {
        // There is room for one farewell of each thread.
        let _ = self.ended.try_send(std::mem::take(&mut self.name));
    }
}
