//! How a worker sees the snapshot that is current.

use std::{ops::Deref, sync::Arc};

use arc_swap::{ArcSwap, Cache};

use super::Snapshot;

/// The snapshot that is current, for all workers. One publish is one store.
#[derive(Clone, Debug)]
pub struct Published(Arc<ArcSwap<Snapshot>>);

/// A worker's own handle of a snapshot.
///
/// Each request keeps one while it lasts. Its count of references lies in memory of the worker, so
/// that workers do not write to the same cache line for every request.
#[derive(Debug)]
pub struct View(Arc<Snapshot>);

/// Hands out views, and renews them when another snapshot has been published.
#[derive(Debug)]
pub struct Viewer {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    view: Arc<View>,
}

// === impl Published ===

impl Published {
    /// Begins with `snapshot`.
    pub fn new(snapshot: Arc<Snapshot>) -> Self {
        Self(Arc::new(ArcSwap::new(snapshot)))
    }

    /// The snapshot that is current.
    pub fn current(&self) -> Arc<Snapshot> {
        self.0.load_full()
    }

    /// Makes `snapshot` the current one.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.0.store(snapshot);
    }
}

// === impl View ===

impl Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

// === impl Viewer ===

impl Viewer {
    /// A viewer of what `published` holds.
    pub fn new(published: &Published) -> Self {
        let view = Arc::new(View(published.current()));
        Self { cache: Cache::new(published.0.clone()), view }
    }

    /// A view of the snapshot that is current.
    pub fn view(&mut self) -> Arc<View> {
        let current = self.cache.load();
        if !Arc::ptr_eq(current, &self.view.0) {
            self.view = Arc::new(View(current.clone()));
        }
        self.view.clone()
    }
}
