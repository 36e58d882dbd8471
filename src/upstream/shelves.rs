//! Idle connections to endpoints: a shelf for each worker.
//!
//! They are reused last in, first out: the one used last is the least likely to have been closed by
//! Puma, and a Puma thread stays up to 0.2 s with the connection that it has just answered
//! (`FAST_TRACK_KA_TIMEOUT`, puma/lib/puma/const.rb). Meanwhile a request on another connection
//! waits for a thread, though a slot is free. So what was answered that recently goes first,
//! whoever's shelf it lies on:
//!
//! ```text
//!   own, just answered ──▶ another's, just answered ──▶ own ──▶ another's ──▶ a new one
//! ```
//!
//! A worker that is busy finds what it needs on its own shelf and meets nobody. It looks at others'
//! only where it would wait for a thread of Puma (and then not for their locks), or where it would
//! have to make a connection. What it takes there is watched by its own runtime from then on.
//!
//! Nobody waits on an idle one: whether it was closed, or something has come on it, is seen when it
//! is taken, and every second by [`Shelves::sweep`].

use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{connection::Connection, dialect::Behalf};

/// How long a Puma thread stays with the connection that it has just answered.
const STAYS: Duration = Duration::from_millis(200);

/// The most idle connections that one worker keeps to one endpoint.
const IDLE_MAX: usize = 256;

/// The idle connections of all workers.
#[derive(Debug)]
pub struct Shelves(Box<[CachePadded<Mutex<Shelf>>]>);

/// The numbers of an endpoint and of a dialect.
pub(super) type Key = (u32, u32);

/// Which connection is looked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// Where it leads, and how it was begun.
    pub(super) key: Key,
    /// On whose behalf, where endpoints are told.
    pub(super) behalf: Option<Behalf>,
    /// Now.
    pub(super) now: Instant,
}

/// One worker's; those of each kind in the order in which they were answered.
#[derive(Debug, Default)]
struct Shelf(FxHashMap<Key, Vec<Idle>>);

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
    until: Instant,
}

// === impl Shelves ===

impl Shelves {
    /// Those of `workers` workers, on which nothing lies.
    pub fn of(workers: usize) -> Self {
        Self((0..workers).map(|_| CachePadded::default()).collect())
    }

    /// One that is still good, for `worker`, on whose thread this is called.
    pub(super) fn take(&self, worker: usize, wanted: Wanted) -> Option<Connection> {
        let own = self.0[worker].lock().take(wanted, wanted.since());
        own.or_else(|| self.look_around(worker, wanted))
    }

    /// Keeps `connection` on the shelf of `worker`, whose runtime watches it, from `now` on for at
    /// most `idle`.
    pub(super) fn put(
        &self,
        worker: usize,
        key: Key,
        mut connection: Connection,
        (now, idle): (Instant, Duration),
    ) {
        connection.rest(worker);
        let mut shelf = self.0[worker].lock();
        let stack = shelf.0.entry(key).or_default();
        if stack.len() < IDLE_MAX {
            stack.push(Idle { connection, since: now, until: now + idle });
        }
    }

    /// The one that `worker` has put there last, to be handed to whoever has waited for it.
    pub(super) fn take_back(&self, worker: usize, key: Key) -> Option<Connection> {
        let mut shelf = self.0[worker].lock();
        shelf.0.get_mut(&key)?.pop().map(|idle| idle.connection)
    }

    /// Closes those of `worker` that have been idle for too long or that the other side closed.
    pub(super) fn sweep(&self, worker: usize, now: Instant) {
        self.0[worker].lock().0.retain(|_, stack| {
            stack.retain_mut(|idle| now < idle.until && idle.connection.is_ready());
            !stack.is_empty()
        });
    }

    /// Closes those of `worker` that lead to the endpoint of this number.
    pub(super) fn leave(&self, worker: usize, endpoint_id: u32) {
        self.0[worker].lock().0.retain(|(id, _), _| *id != endpoint_id);
    }

    /// Closes those of `worker`.
    pub(super) fn clear(&self, worker: usize) {
        self.0[worker].lock().0.clear();
    }

    /// How many lie on the shelf of `worker`.
    pub(super) fn len(&self, worker: usize) -> usize {
        self.0[worker].lock().0.values().map(Vec::len).sum()
    }

    /// One from wherever it lies, for a worker that has none which was just answered.
    #[cold]
    fn look_around(&self, worker: usize, wanted: Wanted) -> Option<Connection> {
        let just = wanted.since();
        self.elsewhere(worker, |shelf| shelf.try_lock()?.take(wanted, just))
            .or_else(|| self.0[worker].lock().take(wanted, None))
            .or_else(|| self.elsewhere(worker, |shelf| shelf.lock().take(wanted, None)))
    }

    /// One from the shelf of another worker.
    fn elsewhere(
        &self,
        worker: usize,
        take: impl Fn(&Mutex<Shelf>) -> Option<Connection>,
    ) -> Option<Connection> {
        let (before, after) = self.0.split_at(worker);
        let others = after.iter().skip(1).chain(before);
        let taken = |shelf| std::iter::from_fn(move || Some(shelf));
        let mut found = others.flat_map(|shelf| taken(shelf).map_while(|shelf| take(shelf)));
        found.find_map(|connection| connection.for_use(worker))
    }
}

// === impl Wanted ===

impl Wanted {
    /// Since when one has been idle at the most that was just answered.
    fn since(&self) -> Option<Instant> {
        self.now.checked_sub(STAYS)
    }
}

// === impl Shelf ===

impl Shelf {
    /// The one that was answered last, if that was after `since`. Those that were closed or have
    /// expired are left for the sweep.
    fn take(&mut self, wanted: Wanted, since: Option<Instant>) -> Option<Connection> {
        let stack = self.0.get_mut(&wanted.key)?;
        for at in (0..stack.len()).rev() {
            let Idle { connection, since: answered, until } = &mut stack[at];
            if since.is_some_and(|since| *answered <= since) {
                return None;
            }
            if wanted.now < *until && connection.is_for(wanted.behalf) && connection.is_ready() {
                return Some(stack.remove(at).connection);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
