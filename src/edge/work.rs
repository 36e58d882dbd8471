//! A worker: one thread, one runtime, its connections from accept to close.

use std::{
    net::TcpStream as StdStream,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant as Clock},
};

use tokio::{net::TcpStream, sync::mpsc, task::JoinSet, time::Instant};

use super::{
    census::Place,
    enter::{Entered, enter},
    h1,
    house::House,
    stream::Socket,
};
use crate::{
    peer::Peer,
    proxy::{Proxy, Worker},
};

/// How many accepted connections may wait for one worker.
pub const INBOX: usize = 1024;

/// How often connections to endpoints are looked through for expired ones.
const SWEEP: Duration = Duration::from_secs(1);

/// A connection on its way to a worker.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket, not blocking.
    pub socket: StdStream,
    /// Who is at the other end.
    pub peer: Peer,
    /// What holds for it.
    pub house: Arc<House>,
    /// Its place in the census.
    pub place: Place,
}

/// Where connections for one worker are handed in.
#[derive(Debug)]
pub struct Desk {
    inbox: mpsc::Sender<Accepted>,
    connections: Arc<AtomicU64>,
}

/// Counts one connection of a worker while it lasts.
struct Attended(Arc<AtomicU64>);

// === impl Desk ===

impl Desk {
    /// A desk, and where its worker takes connections from.
    pub fn new() -> (Self, mpsc::Receiver<Accepted>, Arc<AtomicU64>) {
        let (inbox, outbox) = mpsc::channel(INBOX);
        let connections = Arc::new(AtomicU64::new(0));
        (Self { inbox, connections: connections.clone() }, outbox, connections)
    }

    /// Connections that its worker has. One over HTTP/1.1 counts as one open stream.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Hands a connection in; waits while the inbox is full.
    pub async fn hand(&self, accepted: Accepted) {
        // Counted here, so that the next connection already sees it.
        self.connections.fetch_add(1, Ordering::Relaxed);
        // A worker that has gone takes the process with it; the connection is closed by the drop.
        let _ = self.inbox.send(accepted).await;
    }
}

// === impl Attended ===

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Serves the connections that come out of `outbox`, until there will be no more and the last one
/// has closed.
pub async fn work(
    worker: Arc<Worker>,
    mut outbox: mpsc::Receiver<Accepted>,
    connections: Arc<AtomicU64>,
) {
    let mut tasks = JoinSet::new();
    let mut sweep = worker.wheel.at(Instant::now() + SWEEP);
    let mut open = true;
    while open || !tasks.is_empty() {
        // Each arm only waits; what it would have brought comes again.
        tokio::select! {
            accepted = outbox.recv(), if open => match accepted {
                Some(accepted) => {
                    let attended = Attended(connections.clone());
                    let attending = attend(accepted, worker.clone(), attended);
                    tasks.spawn(attending);
                }
                None => open = false,
            },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if ended.is_err_and(|error| error.is_panic()) {
                    tracing::error!("a connection's task panicked; this is a defect of usher");
                }
            }
            () = &mut sweep => {
                worker.sweep(Clock::now());
                sweep.reset(Instant::now() + SWEEP);
            }
        }
    }
    worker.connections.clear();
}

async fn attend(accepted: Accepted, worker: Arc<Worker>, _attended: Attended) {
    let Accepted { socket, peer, house, place } = accepted;
    let socket = match TcpStream::from_std(socket) {
        Ok(socket) => Socket::from(socket),
        Err(error) => {
            tracing::error!(%error, "cannot watch a connection");
            return;
        }
    };
    socket.tune();
    let drain = worker.common.drain.clone();
    let wheel = worker.wheel.clone();
    // Boxed: a handshake is over soon, and a connection should not keep its room.
    let entered = Box::pin(enter(socket, peer, (&house, &place), &wheel, &drain)).await;
    let Some(Entered { stream, peer }) = entered else { return };
    let rules = house.rules.clone();
    drop(house);
    h1::serve(stream, peer, rules, wheel, drain, Proxy::new(worker)).await;
}
