//! An endpoint's slots: leased, given back, and handed to whoever waits for one.
//!
//! ```text
//!   free ── lease ──> leased ── the request goes, Puma works on ──> orphaned
//!    ^                  │                                              │
//!    └── nobody waits ──┴── given back ── somebody waits ──> leased ───┘
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{
    connection::Connection,
    connections::{Home, Left},
    endpoint::Endpoint,
    kept::millis,
    queue::Queue,
    slots::Slots,
    warm::Warming,
};

/// An endpoint's slot held for one attempt. Dropping it gives it back, to whoever waits for one.
#[derive(Debug)]
pub struct Lease {
    /// None once it has been given back.
    endpoint: Option<Arc<Endpoint>>,
    orphaned: bool,
}

/// The part of an endpoint that has to do with its slots.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Berth {
    slots: Slots,
    orphans: AtomicU32,
    capacity: AtomicU32,
    /// Since when it gets its slots one by one, if it does.
    warming: Mutex<Option<Warming>>,
    /// The pools that it is in.
    seats: ArcSwap<Vec<Seat>>,
}

/// An endpoint's place in a pool.
#[derive(Clone, Debug)]
struct Seat {
    /// Where to look when a slot comes free.
    queue: Arc<Queue>,
    /// How many slots the pool says it has.
    capacity: u32,
}

// === impl Lease ===

impl Lease {
    /// Whose slot it is.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        self.endpoint.as_ref().expect("whoever gives it back has it no more")
    }

    /// The request has gone, and the monolith is still at it.
    pub fn orphan(&mut self) {
        if !std::mem::replace(&mut self.orphaned, true) {
            self.endpoint().berth.orphans.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Gives the slot back together with the connection that it was used with, and tells whose it
    /// was. Whoever waits for a slot gets both; when nobody does, the connection stays at `home`.
    pub fn give_back(
        mut self,
        connection: Option<Connection>,
        home: Home<'_>,
    ) -> Option<Arc<Endpoint>> {
        self.end(connection.map(|connection| (connection, home)))
    }

    fn end(&mut self, connection: Option<(Connection, Home<'_>)>) -> Option<Arc<Endpoint>> {
        let endpoint = self.endpoint.take()?;
        if self.orphaned {
            endpoint.berth.orphans.fetch_sub(1, Ordering::Relaxed);
        }
        // Before anybody can see the slot free: whoever takes it is to find the connection.
        let left = connection.and_then(|(connection, home)| home.leave(&endpoint, connection));
        endpoint.berth.slots.give_back();
        endpoint.hand_over(left);
        Some(endpoint)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(None);
    }
}

// === impl Berth ===

impl Berth {
    /// So many bytes at its beginning are written for each request.
    pub(super) const WRITTEN: usize = size_of::<Slots>();

    /// Without bounds until a pool tells its capacity.
    pub(super) fn new() -> Self {
        Self {
            slots: Slots::new(u32::MAX),
            orphans: AtomicU32::new(0),
            capacity: AtomicU32::new(u32::MAX),
            warming: Mutex::default(),
            seats: ArcSwap::default(),
        }
    }

    /// For how long it has been getting its slots one by one, and over how long it does.
    pub(super) fn warming(&self, now: Instant) -> Option<(u64, u64)> {
        let (past, over) = self.warming.lock().as_ref()?.spans(now);
        Some((millis(past), millis(over)))
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Leases that are out, over all workers and pools, orphaned ones included.
    pub fn in_flight(&self) -> u32 {
        self.berth.slots.taken()
    }

    /// Leases whose request has gone.
    pub fn orphans(&self) -> u32 {
        self.berth.orphans.load(Ordering::Relaxed)
    }

    /// How many slots it has when it is warm.
    pub fn capacity(&self) -> u32 {
        self.berth.capacity.load(Ordering::Relaxed)
    }

    /// Whether a slot of it looks free.
    pub fn has_room(&self) -> bool {
        self.berth.slots.has_room()
    }

    /// Whether it may be given requests, and a slot of it looks free.
    pub fn is_open(&self) -> bool {
        self.has_room() && self.is_usable()
    }

    /// Takes a slot, if it may be given requests and one is free.
    pub fn lease(self: &Arc<Self>) -> Option<Lease> {
        let leased = self.is_usable() && self.berth.slots.take();
        leased.then(|| Lease { endpoint: Some(self.clone()), orphaned: false })
    }

    /// Takes a slot, if one is free, though it may not be well; not when it is drained.
    pub fn lease_unwell(self: &Arc<Self>) -> Option<Lease> {
        let leased = !self.is_drained() && self.berth.slots.take();
        leased.then(|| Lease { endpoint: Some(self.clone()), orphaned: false })
    }

    /// It has so many slots from now on.
    pub(super) fn resize(self: &Arc<Self>, capacity: u32) {
        self.berth.capacity.store(capacity, Ordering::Relaxed);
        self.grow(Instant::now());
    }

    /// It gets its slots one by one from now on, until it has all of them after `over`.
    pub(super) fn warm_up(self: &Arc<Self>, over: Duration, now: Instant) {
        *self.berth.warming.lock() = Warming::begin(now, over);
        self.grow(now);
    }

    /// It has as many slots as it is to have at `now`.
    pub(super) fn grow(self: &Arc<Self>, now: Instant) {
        let capacity = self.capacity();
        let slots = {
            let mut warming = self.berth.warming.lock();
            let slots = warming.and_then(|warming| warming.slots(capacity, now));
            *warming = warming.filter(|_| slots.is_some());
            slots.unwrap_or(capacity)
        };
        if self.berth.slots.resize(slots) {
            self.offer();
        }
    }

    /// Whether it is in any pool.
    pub(super) fn is_seated(&self) -> bool {
        !self.berth.seats.load().is_empty()
    }

    /// Looks for somebody who waits for a slot of it: it has become usable, or has more of them.
    pub fn offer(self: &Arc<Self>) {
        self.hand_over(None);
    }

    /// A pool that it is in has this queue, and says that it has so many slots.
    pub(super) fn join(self: &Arc<Self>, queue: &Arc<Queue>, capacity: u32) {
        let seat = Seat { queue: queue.clone(), capacity };
        self.berth.seats.rcu(|seats| {
            let others = seats.iter().filter(|known| !Arc::ptr_eq(&known.queue, queue));
            others.chain([&seat]).cloned().collect::<Vec<_>>()
        });
        self.agree();
    }

    /// It is in the pool of this queue no more.
    pub(super) fn leave(self: &Arc<Self>, queue: &Arc<Queue>) {
        self.berth.seats.rcu(|seats| {
            let others = seats.iter().filter(|known| !Arc::ptr_eq(&known.queue, queue));
            others.cloned().collect::<Vec<_>>()
        });
        self.agree();
    }

    /// Where pools say differently how many slots it has, it has the fewest: more than Puma has
    /// threads would wait there unseen.
    fn agree(self: &Arc<Self>) {
        let least = self.berth.seats.load().iter().map(|seat| seat.capacity).min();
        if let Some(least) = least.filter(|least| *least != self.capacity()) {
            self.resize(least);
        }
    }

    /// Gives free slots to those who wait, the pool with the oldest waiter first; the first one of
    /// them gets the connection that was `left`.
    fn hand_over(self: &Arc<Self>, mut left: Option<Left<'_>>) {
        let seats = self.berth.seats.load();
        match &***seats {
            [] => {}
            [Seat { queue, .. }] if queue.waiting() == 0 => {}
            [Seat { queue, .. }] => queue.serve(self, &mut left),
            seats => {
                let queues = seats.iter().map(|seat| &seat.queue);
                let waiting = queues.filter(|queue| queue.waiting() > 0);
                let mut waiting: Vec<_> = waiting.map(|queue| (queue.oldest(), queue)).collect();
                waiting.sort_by_key(|(oldest, _)| *oldest);
                for (_, queue) in waiting {
                    queue.serve(self, &mut left);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
