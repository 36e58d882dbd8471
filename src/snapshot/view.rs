//! How a worker sees the snapshot that is current.

use std::{ops::Deref, sync::Arc};

use arc_swap::{ArcSwap, Cache};
use http::{HeaderName, HeaderValue};

use super::{Audience, Deprecation, Snapshot, Versions};
use crate::name::Name;

/// The snapshot that is current, for all workers. One publish is one store.
#[derive(Clone, Debug)]
pub struct Published(Arc<ArcSwap<Snapshot>>);

/// A worker's own handle of a snapshot.
///
/// Each request keeps one while it lasts. Its count of references lies in memory of the worker, and
/// so do those of the header values that requests take from it: workers do not write to the same
/// cache line for every request.
#[derive(Debug)]
pub struct View {
    snapshot: Arc<Snapshot>,
    /// The names of the audiences as `X-Audience` carries them, in the snapshot's order.
    headers: Box<[HeaderValue]>,
    /// The fields of a request that anything in the snapshot looks at.
    fields_asked: Box<[HeaderName]>,
    /// What is remembered of requests beyond the snapshot's own life, in the snapshot's order.
    told: Box<[Arc<Told>]>,
    /// What clients with old apps are told, in the snapshot's order.
    deprecations: Box<[Option<Deprecation>]>,
}

/// What a snapshot calls an audience, for whoever asks about a request after the snapshot has gone.
#[derive(Debug)]
pub struct Told {
    /// The snapshot's number.
    pub generation: u64,
    /// The audience.
    pub audience: Name,
    /// Its pool.
    pub pool: Name,
    /// Where it goes when that cannot take it.
    pub fallback: Option<Name>,
    /// Its rules as they were written.
    pub labels: Arc<[Arc<str>]>,
}

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

impl View {
    fn new(snapshot: Arc<Snapshot>) -> Self {
        let header = |audience: &Audience| {
            let value = HeaderValue::from_str(audience.name.as_str());
            value.expect("a name holds only header characters")
        };
        let headers = snapshot.audiences.iter().map(header).collect();
        let told = snapshot.audiences.iter().map(|audience| Arc::new(snapshot.told(audience)));
        let deprecation = |it: &Audience| it.versions.as_ref().and_then(Versions::deprecation);
        let deprecations = snapshot.audiences.iter().map(deprecation).collect();
        let copied = |name: &HeaderName| HeaderName::from_bytes(name.as_str().as_bytes());
        let fields_asked = snapshot.config.fields_asked.iter().flat_map(copied).collect();
        Self { headers, fields_asked, told: told.collect(), deprecations, snapshot }
    }

    /// The fields of a request that anything in the snapshot looks at.
    pub fn fields_asked(&self) -> &[HeaderName] {
        &self.fields_asked
    }

    /// What is remembered of requests of the audience at `index`.
    pub fn told(&self, index: usize) -> &Arc<Told> {
        &self.told[index]
    }

    /// What clients of the audience at `index` are told whose app grows old.
    pub fn deprecation(&self, index: usize) -> Option<&Deprecation> {
        self.deprecations[index].as_ref()
    }

    /// The name of the audience at `index` as `X-Audience` carries it.
    pub fn audience_header(&self, index: usize) -> &HeaderValue {
        &self.headers[index]
    }
}

impl Deref for View {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.snapshot
    }
}

// === impl Viewer ===

impl Viewer {
    /// A viewer of what `published` holds.
    pub fn new(published: &Published) -> Self {
        let view = Arc::new(View::new(published.current()));
        Self { cache: Cache::new(published.0.clone()), view }
    }

    /// A view of the snapshot that is current.
    pub fn view(&mut self) -> Arc<View> {
        let current = self.cache.load();
        if !Arc::ptr_eq(current, &self.view.snapshot) {
            self.view = Arc::new(View::new(current.clone()));
        }
        self.view.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{LoadOptions, parse_text},
        meters::Meters,
        snapshot::World,
    };

    fn snapshot(audience: &str, generation: u64) -> Arc<Snapshot> {
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
             audiences: [{{ name: {audience}, pool: rails }}]\n\
             pools: {{ rails: {{ endpoints: [127.0.0.1:1] }} }}\n"
        );
        let (config, _) = parse_text("test.yaml", &text, &LoadOptions::default()).expect("valid");
        Arc::new(World::new(Meters::new(1, &[])).compile(Arc::new(config), generation))
    }

    #[test]
    fn a_view_is_renewed_when_another_snapshot_was_published_and_only_then() {
        let published = Published::new(snapshot("everyone", 1));
        let mut viewer = Viewer::new(&published);
        let first = viewer.view();
        assert!(Arc::ptr_eq(&first, &viewer.view()));
        published.publish(snapshot("customer", 2));
        assert_eq!(viewer.view().generation, 2);
        assert_eq!(viewer.view().audience_header(0), "customer");
        assert_eq!((first.generation, first.audience_header(0).as_bytes()), (1, &b"everyone"[..]));
    }

    #[test]
    fn two_workers_take_nothing_that_is_counted_from_the_same_memory() {
        let published = Published::new(snapshot("everyone", 1));
        let [one, other] = [(); 2].map(|()| Viewer::new(&published).view());
        assert!(!Arc::ptr_eq(&one, &other));
        let memory = |view: &View| view.audience_header(0).as_bytes().as_ptr();
        assert_ne!(memory(&one), memory(&other));
        assert_eq!(one.audience_header(0), other.audience_header(0));
    }
}
