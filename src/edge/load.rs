//! How much one worker has to do: its connections, and the requests that are open on them.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// Counts for one worker. Read by the acceptor, written when a connection or a stream opens or
/// closes; never for a request over HTTP/1.1.
#[derive(Clone, Debug, Default)]
pub struct Load(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    connections: AtomicU64,
    streams: AtomicU64,
}

/// One connection while it lasts. Over HTTP/1.1 it counts as one open stream.
#[derive(Debug)]
pub(super) struct Attended(Load);

// === impl Load ===

impl Load {
    /// Open streams.
    pub(super) fn streams(&self) -> u64 {
        self.0.streams.load(Ordering::Relaxed)
    }

    /// Open connections.
    pub(super) fn connections(&self) -> u64 {
        self.0.connections.load(Ordering::Relaxed)
    }

    /// A stream opens.
    pub(super) fn add(&self) {
        self.0.streams.fetch_add(1, Ordering::Relaxed);
    }

    /// A stream has closed.
    pub(super) fn remove(&self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl Attended ===

impl Attended {
    /// A connection opens.
    pub(super) fn new(load: &Load) -> Self {
        load.0.connections.fetch_add(1, Ordering::Relaxed);
        load.add();
        Self(load.clone())
    }

    /// The connection counts its own streams for as long as `serving` takes.
    pub(super) async fn by_streams<T>(&self, serving: impl Future<Output = T>) -> T {
        self.0.remove();
        let served = serving.await;
        self.0.add();
        served
    }
}

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.remove();
        self.0.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
