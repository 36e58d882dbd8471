//! The queue of one pool: requests that wait for a slot of whichever endpoint has one first.
//!
//! It belongs to the pool's name and outlives snapshots, as its waiters do. It knows the pool's
//! members as they are now, and each of them knows the queues it has to look at when a slot of it
//! comes free: an address may be in several pools.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use tokio::sync::oneshot;

use super::{
    balance::{Asking, Members},
    connections::{Home, Left, Spare},
    endpoint::Endpoint,
    lease::Lease,
    line::{Leaving, Terms, Ticket},
    room::{Released, Room, Source},
    stake::{Holdings, Stake},
};
use crate::{config::WhenUnhealthy, name::Name};

/// The queue of one pool.
#[derive(Debug)]
pub struct Queue {
    room: Room<Arc<Stake>, Waiter>,
    members: ArcSwap<Members>,
    /// Which of the pools that have had this queue says who the members are: the youngest.
    seated: Mutex<u64>,
    pools: AtomicU64,
    streams: AtomicU64,
    slots: Arc<AtomicU64>,
    holdings: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    by_audience: FxHashMap<Name, Weak<Holdings>>,
    next_id: u64,
}

/// A place among the pool's streams of events. Dropping it makes room for another.
#[derive(Debug)]
pub struct StreamPlace(Arc<Queue>);

/// A slot, and the connection that it came free with.
#[derive(Debug)]
pub struct Grant {
    /// The slot.
    pub lease: Lease,
    /// A connection to its endpoint, and to the very thread of Puma that has just become free.
    pub spare: Option<Spare>,
}

/// Why there is no slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many wait as may.
    Full,
    /// It has waited for as long as one may.
    Late,
}

/// A place in a queue. Dropping it leaves the queue; a slot that was on its way goes to the next.
#[derive(Debug)]
pub struct Waiting {
    queue: Arc<Queue>,
    ticket: Ticket,
    since: Instant,
    own: Duration,
    told: oneshot::Receiver<Told>,
}

/// Somebody in the queue, as the others see it.
#[derive(Debug)]
struct Waiter {
    /// Endpoints that are of no use to it.
    tried: SmallVec<[u32; 4]>,
    when_unhealthy: WhenUnhealthy,
    tell: oneshot::Sender<Told>,
}

type Told = Result<Grant, Refused>;

/// An endpoint as the source of slots for waiters.
struct Offer {
    endpoint: Arc<Endpoint>,
    /// Whether it is usable.
    usable: bool,
    /// Whether no member of the pool is.
    last_resort: bool,
}

// === impl Queue ===

impl Queue {
    /// A queue in which nobody waits, of a pool without members.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            room: Room::new(),
            members: ArcSwap::default(),
            seated: Mutex::default(),
            pools: AtomicU64::new(0),
            streams: AtomicU64::new(0),
            slots: Arc::default(),
            holdings: Mutex::default(),
        })
    }

    /// How many wait.
    #[inline]
    pub fn waiting(&self) -> usize {
        self.room.waiting()
    }

    /// The slots of all members.
    pub fn slots(&self) -> u64 {
        self.slots.load(Ordering::Relaxed)
    }

    /// Streams of events that hold a slot.
    pub fn streams(&self) -> u64 {
        self.streams.load(Ordering::Relaxed)
    }

    /// A place among the streams, which may take `share` of the slots: one at least, unless it is
    /// none at all.
    pub fn stream(self: &Arc<Self>, share: f64) -> Option<StreamPlace> {
        let least = if share > 0.0 { 1.0 } else { 0.0 };
        let max = (share * self.slots() as f64).floor().max(least) as u64;
        let enter = |open| (open < max).then_some(open + 1);
        self.streams.fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter).ok()?;
        Some(StreamPlace(self.clone()))
    }

    /// The claim of `audience`, whose slots are counted for `workers` workers.
    pub fn stake(&self, audience: &Name, workers: usize, priority: u8, share: f64) -> Arc<Stake> {
        let mut known = self.holdings.lock();
        let living = known.by_audience.get(audience).and_then(Weak::upgrade);
        let holdings = living.unwrap_or_else(|| {
            known.by_audience.retain(|_, holdings| holdings.strong_count() > 0);
            let holdings = Arc::new(Holdings::new(known.next_id, workers));
            known.next_id += 1;
            known.by_audience.insert(audience.clone(), Arc::downgrade(&holdings));
            holdings
        });
        Arc::new(Stake::new(holdings, self.slots.clone(), priority, share))
    }

    /// Begins to wait.
    pub fn enter(
        self: &Arc<Self>,
        stake: &Arc<Stake>,
        asking: &Asking<'_>,
        terms: Terms,
        now: Instant,
    ) -> Result<Waiting, Refused> {
        let (tell, told) = oneshot::channel();
        let (tried, when_unhealthy) = (asking.tried.into(), asking.when_unhealthy);
        let waiter = Waiter { tried, when_unhealthy, tell };
        // Looked at only once it is known that somebody waits: members that come later look then.
        // Most often none has room, and looking at one costs no more than to read how full it is.
        let sources = || {
            let members = self.members.load_full();
            let roomy = members.iter().filter(|member| member.endpoint.has_room());
            roomy.map(|member| Offer::of(&member.endpoint, &members)).collect::<Vec<_>>()
        };
        let (entered, released) = self.room.enter((stake.clone(), waiter), terms, now, sources);
        tell_all(released, &mut None);
        match entered {
            Ok(ticket) => {
                let (queue, own) = (self.clone(), terms.own);
                Ok(Waiting { queue, ticket, since: now, own, told })
            }
            Err(_) => Err(Refused::Full),
        }
    }

    /// Gives free slots of `endpoint` to those who wait. The first one gets the connection that was
    /// `left`.
    pub(super) fn serve(&self, endpoint: &Arc<Endpoint>, left: &mut Option<Left<'_>>) {
        let released = self.room.serve(&Offer::of(endpoint, &self.members.load()), Instant::now());
        tell_all(released, left);
    }

    /// Since when the one waits who has waited longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.room.oldest()
    }

    /// The number of a pool that is to have this queue: higher than those of all before it.
    pub(super) fn number(&self) -> u64 {
        self.pools.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The pool of this number has gone.
    pub(super) fn close(self: &Arc<Self>, number: u64) {
        if *self.seated.lock() == number {
            self.seat(number, &Arc::default(), 0);
        }
    }

    /// The pool of this number has these members from now on, each with so many slots as far as it
    /// is concerned; nothing is done when another pool has taken its place.
    pub(super) fn seat(self: &Arc<Self>, number: u64, members: &Arc<Members>, capacity: u32) {
        let mut seated = self.seated.lock();
        if *seated > number {
            return;
        }
        *seated = number;
        let before = self.members.swap(members.clone());
        let lacks = |there: &Members, endpoint: &Arc<Endpoint>| {
            !there.iter().any(|member| Arc::ptr_eq(&member.endpoint, endpoint))
        };
        for gone in before.iter().filter(|member| lacks(members, &member.endpoint)) {
            gone.endpoint.leave(self);
        }
        members.iter().for_each(|member| member.endpoint.join(self, capacity));
        let slots = members.iter().map(|member| u64::from(member.endpoint.capacity())).sum();
        self.slots.store(slots, Ordering::Relaxed);
        drop(seated);
        // Whoever waits may have waited for these.
        members.iter().for_each(|member| member.endpoint.offer());
    }
}

// === impl StreamPlace ===

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

// === impl Waiting ===

impl Waiting {
    /// Since when it waits.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// How long it may wait, as things stand.
    pub fn patience(&self, now: Instant) -> Duration {
        self.queue.room.patience(self.own, now)
    }

    /// A slot, or why there will be none.
    pub async fn told(&mut self) -> Result<Grant, Refused> {
        // Nobody drops the other end without a word.
        (&mut self.told).await.unwrap_or(Err(Refused::Late))
    }

    /// Leaves, for it has waited long enough; a slot that came at the last moment is taken all the
    /// same.
    pub fn leave(mut self) -> Result<Grant, Refused> {
        if self.queue.room.leave(self.ticket, Leaving::Late, Instant::now()) {
            return Err(Refused::Late);
        }
        // Whoever took it out of the line is about to tell it, or has.
        self.told.try_recv().unwrap_or(Err(Refused::Late))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.room.leave(self.ticket, Leaving::Gone, Instant::now());
        // Whatever comes later comes back to who sends it.
        self.told.close();
        if let Ok(Ok(grant)) = self.told.try_recv() {
            grant.pass_on();
        }
    }
}

// === impl Grant ===

impl Grant {
    /// The slot and the connection go to the next, since whoever they were for has gone.
    fn pass_on(self) {
        match self.spare.map(Spare::into_parts) {
            Some((connection, connections, idle)) => {
                let home = Home { connections: &connections, idle, now: Instant::now() };
                self.lease.give_back(Some(connection), home);
            }
            None => drop(self.lease),
        }
    }
}

// === impl Offer ===

impl Offer {
    fn of(endpoint: &Arc<Endpoint>, members: &Members) -> Self {
        let usable = endpoint.is_usable();
        let last_resort = !usable && !endpoint.is_drained() && !members.is_usable(&[]);
        Self { endpoint: endpoint.clone(), usable, last_resort }
    }
}

impl Source<Waiter> for Offer {
    type Slot = Lease;

    fn suits(&self, who: &Waiter) -> bool {
        let well = self.usable || self.last_resort && who.when_unhealthy == WhenUnhealthy::Try;
        well && !who.tried.contains(&self.endpoint.id())
    }

    fn take(&self) -> Option<Lease> {
        self.endpoint.lease_unwell()
    }
}

/// Tells everyone what has come of it, outside of all locks. A grant whose waiter has gone passes
/// on.
fn tell_all(released: Released<Waiter, Lease>, left: &mut Option<Left<'_>>) {
    for (waiter, lease) in released.served {
        // Where another has taken it meanwhile, what that one came free with is there.
        let spare = left.take().and_then(Left::take_back);
        if let Err(Ok(grant)) = waiter.tell.send(Ok(Grant { lease, spare })) {
            grant.pass_on();
        }
    }
    for waiter in released.late {
        let _ = waiter.tell.send(Err(Refused::Late));
    }
    for waiter in released.crowded {
        let _ = waiter.tell.send(Err(Refused::Full));
    }
}
