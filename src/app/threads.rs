//! The acceptor and the workers: a thread and a runtime each.

use std::{
    io,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::{Builder, Runtime},
    sync::{mpsc, watch},
};

use crate::{
    deadline::Wheel,
    descriptors::Allowance,
    edge::{self, Census, Desk, Door, Doorman, Order},
    proxy::{Common, Worker},
};

/// Threads of a worker's runtime that may block: gathered bodies go to files there.
const BLOCKING_THREADS_MAX: usize = 4;

/// What the doors need.
pub(super) struct Doors {
    /// Those that are open from the start.
    pub first: Vec<Door>,
    /// Where others are opened and closed later.
    pub orders: mpsc::Receiver<Order>,
    /// What all workers share.
    pub common: Arc<Common>,
    /// Who is here.
    pub census: Arc<Census>,
    /// Whether another process serves at these doors.
    pub handed_over: watch::Receiver<bool>,
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
    let allowance = allowance(&doors.common, workers);
    let (ended, endings) = mpsc::channel(workers + 1);
    let mut handles = Vec::new();
    let mut desks = Vec::new();
    for index in 0..workers {
        let (desk, outbox, load) = Desk::new();
        desks.push(desk);
        let common = doors.common.clone();
        let runtime = runtime_without_timers()?;
        let wheel = {
            let _current = runtime.enter();
            Wheel::with_timer()?
        };
        let work = move || {
            runtime.block_on(async move {
                edge::work(Worker::with(wheel, index, common), outbox, load).await;
            });
        };
        handles.push(spawn(format!("worker-{index}"), &ended, work)?);
    }
    let runtime = runtime()?;
    let doorman = Doorman {
        desks: desks.into(),
        census: doors.census,
        published: doors.common.published.clone(),
        drain: doors.common.drain.clone(),
        handed_over: doors.handed_over,
        connections_auto: allowance.connections_auto(workers),
        connections_max: allowance.connections_max(workers),
    };
    let accept = move || {
        if let Err(error) = runtime.block_on(doorman.mind(doors.first, doors.orders)) {
            tracing::error!(%error, "cannot watch a listening socket");
        }
    };
    handles.push(spawn("acceptor".to_owned(), &ended, accept)?);
    Ok(Threads { handles, ended: endings })
}

/// Raises the limit of descriptors before anybody needs one, and says what follows from it.
fn allowance(common: &Common, workers: usize) -> Allowance {
    let allowance = Allowance::raise();
    let Allowance { before, now } = allowance;
    let (auto, most) = (allowance.connections_auto(workers), allowance.connections_max(workers));
    tracing::info!(limit = now, before, connections = auto, "descriptors for connections");
    for listener in &common.published.current().config.listeners {
        if let Some(wanted) = listener.limits.connections.filter(|wanted| *wanted > most) {
            let bind = &listener.bind;
            tracing::warn!(%bind, wanted, most, "too few descriptors for `limits.connections`");
        }
    }
    allowance
}

/// For workers: all that waits for a time there waits on their wheel.
fn runtime_without_timers() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().max_blocking_threads(BLOCKING_THREADS_MAX).build()
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
