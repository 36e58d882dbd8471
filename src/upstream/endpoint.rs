//! One address of a pool: one Puma.
//!
//! An endpoint outlives every snapshot that mentions it and is shared by all workers and by all
//! pools that name its address. How its slots are leased and given back stands in `lease`.

use std::{
    collections::VecDeque,
    mem::offset_of,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};
use rustc_hash::{FxHashMap, FxHashSet};

use super::{
    address::Address,
    health::{Health, Journal},
    kept::{Kept, SPAN_MAX, behind, span},
    latency::{Latency, clock_ms},
    lease::Berth,
};
use crate::policy::sticky::Place;

/// How many endpoints are known by their numbers: those of one pool that is as large as it may be,
/// twenty times over.
const TEXTS_MAX: usize = 10_000;

/// One address at which the monolith is served.
#[derive(Debug)]
#[repr(C)]
pub struct Endpoint {
    // What every worker writes for each request stands first, beside the `Arc`'s own counters, so
    // that taking a lease touches one shared cache line.
    latency: Latency,
    pub(super) berth: Berth,
    tunnels: AtomicU32,
    id: u32,
    place: Place,
    address: Address,
    text: Box<str>,
    /// Whether an operator wants no more requests sent here: read for each, written by hand.
    drained: AtomicBool,
    /// On cache lines of its own: it is read for each request, and hardly ever written.
    health: Box<Health>,
    /// Whether `trouble` holds anything: read for each answer, written only when that changes.
    troubled: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

/// The last thing that went wrong at an endpoint, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When.
    pub at: SystemTime,
    /// What, in the words of the operating system or of the HTTP client.
    pub what: String,
}

/// All endpoints there are, by address: what makes two pools share one.
#[derive(Debug)]
pub struct Endpoints {
    known: Mutex<Known>,
    /// How many threads count requests at an endpoint.
    rows: usize,
    journal: Journal,
    /// Held while it is decided whether one is ejected, so that no two decide on the same others.
    court: Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    by_address: FxHashMap<Address, Weak<Endpoint>>,
    /// Addresses that operators have drained, whether or not anybody holds an endpoint there.
    drained: FxHashSet<Address>,
    next_id: u32,
    /// From how many on those are forgotten that nobody holds.
    sweep_at: usize,
    /// The addresses of the last endpoints there were, for whoever asks about one that has gone.
    texts: VecDeque<Box<str>>,
}

/// A tunnel that leads to an endpoint. Dropping it says that it has ended.
#[derive(Debug)]
pub struct TunnelTo(Arc<Endpoint>);

/// Bytes of a cache line.
const LINE: usize = 64;

/// The two counters of an `Arc`, before what it holds.
const COUNTERS: usize = 2 * size_of::<usize>();

// All that each request writes is on the first line, if the allocation begins with one.
const _: () = assert!(
    COUNTERS + offset_of!(Endpoint, berth) + Berth::WRITTEN <= LINE,
    "what each request writes at an endpoint lies on one cache line"
);

// === impl Endpoint ===

impl Endpoint {
    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Its address as log and status show it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// A number that no other endpoint of this process has or had.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether it takes requests, and why not.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Where it stands in pools that hash: its address alone says that, whatever the process.
    pub fn place(&self) -> Place {
        self.place
    }

    /// How long it takes to begin an answer.
    pub fn latency(&self) -> &Latency {
        &self.latency
    }

    /// Tunnels that lead to it.
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// Counts a tunnel as long as it lasts.
    pub fn tunnel(self: &Arc<Self>) -> TunnelTo {
        self.tunnels.fetch_add(1, Ordering::Relaxed);
        TunnelTo(self.clone())
    }

    /// Whether an operator has drained it: no new leases, and no connection is kept.
    pub fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Relaxed)
    }

    /// Whether it may be given requests. The choice between endpoints asks this and nothing else:
    /// whatever speaks against an endpoint is asked here.
    pub fn is_usable(&self) -> bool {
        !self.is_drained() && self.health.is_well()
    }

    /// What another process is to know of it, at `now`.
    pub fn keep(&self, now: Instant) -> Kept {
        let latency = self.latency.micros(clock_ms(now));
        let mut kept = Kept {
            address: self.text.to_string(),
            latency_us: (latency > 0).then_some(latency),
            warming_ms: self.berth.warming(now),
            ..Kept::default()
        };
        self.health.keep(now, &mut kept);
        kept
    }

    /// Takes over what another process knows of it, at `now`; what checks said of it only where it
    /// is checked here as well.
    pub fn take_over(self: &Arc<Self>, kept: &Kept, is_checked: bool, now: Instant) {
        self.health.take_over(kept, is_checked, now);
        if let Some(micros) = kept.latency_us {
            self.latency.note(Duration::from_micros(micros), clock_ms(now));
        }
        if let Some((for_ms, over_ms)) = kept.warming_ms {
            self.warm_up(span(over_ms).min(SPAN_MAX), behind(now, for_ms));
            self.grow(now);
        }
    }

    /// Notes what went wrong.
    pub fn note_trouble(&self, what: String) {
        let mut trouble = self.trouble.lock();
        *trouble = Some(Trouble { at: SystemTime::now(), what });
        self.troubled.store(true, Ordering::Relaxed);
    }

    /// Notes that it answered. Costs a lock only where something had gone wrong before.
    pub fn note_answer(&self) {
        if self.troubled.load(Ordering::Relaxed) {
            let mut trouble = self.trouble.lock();
            *trouble = None;
            self.troubled.store(false, Ordering::Relaxed);
        }
    }

    /// What went wrong last, unless it has answered since.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().clone()
    }
}

// === impl Endpoints ===

impl Endpoints {
    /// None yet; requests at each will be counted by `rows` threads.
    pub fn new(rows: usize) -> Self {
        Self { known: Mutex::default(), rows, journal: Journal::default(), court: Mutex::default() }
    }

    /// How many threads count requests at them.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What has happened to them.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Where it is decided whether one is ejected: one at a time.
    pub(super) fn court(&self) -> MutexGuard<'_, ()> {
        self.court.lock()
    }

    /// The endpoint at `address`, the same for all who ask while anybody holds it.
    pub fn at(&self, address: &Address) -> Arc<Endpoint> {
        let mut known = self.known.lock();
        if let Some(endpoint) = known.by_address.get(address).and_then(Weak::upgrade) {
            return endpoint;
        }
        // Those that have gone are looked for now and then, not once for each that comes.
        if known.by_address.len() >= known.sweep_at {
            known.by_address.retain(|_, endpoint| endpoint.strong_count() > 0);
            known.sweep_at = known.by_address.len() * 2;
        }
        let id = known.next_id;
        known.next_id += 1;
        let endpoint = Arc::new(Endpoint {
            berth: Berth::new(),
            latency: Latency::default(),
            tunnels: AtomicU32::new(0),
            id,
            place: Place::of("endpoint", address.to_string().as_bytes()),
            address: address.clone(),
            text: address.to_string().into(),
            drained: AtomicBool::new(known.drained.contains(address)),
            health: Box::new(Health::new(self.rows)),
            troubled: AtomicBool::new(false),
            trouble: Mutex::new(None),
        });
        known.by_address.insert(address.clone(), Arc::downgrade(&endpoint));
        if known.texts.len() == TEXTS_MAX {
            known.texts.pop_front();
        }
        known.texts.push_back(endpoint.text.clone());
        endpoint
    }

    /// The address of the endpoint with the number `id`, also when nobody holds it any more.
    pub fn text(&self, id: u32) -> Option<String> {
        let known = self.known.lock();
        let first = known.next_id.checked_sub(u32::try_from(known.texts.len()).ok()?)?;
        let text = known.texts.get(usize::try_from(id.checked_sub(first)?).ok()?);
        text.map(|text| text.to_string())
    }

    /// Drains what is at `address` from now on, also what comes to be there later.
    pub fn drain(&self, address: &Address) {
        let mut known = self.known.lock();
        known.drained.insert(address.clone());
        known.mark(address, true);
    }

    /// Has what is at `address` take requests again.
    pub fn undrain(&self, address: &Address) {
        let mut known = self.known.lock();
        known.drained.remove(address);
        known.mark(address, false);
    }
}

// === impl Known ===

impl Known {
    fn mark(&self, address: &Address, drained: bool) {
        if let Some(endpoint) = self.by_address.get(address).and_then(Weak::upgrade) {
            endpoint.drained.store(drained, Ordering::Relaxed);
            endpoint.offer();
        }
    }
}

impl Default for Endpoints {
    /// For one thread.
    fn default() -> Self {
        Self::new(1)
    }
}

// === impl TunnelTo ===

impl Drop for TunnelTo {
    fn drop(&mut self) {
        self.0.tunnels.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> Address {
        Address::Socket(([127, 0, 0, 1], port).into())
    }

    #[test]
    fn an_address_in_two_pools_is_one_endpoint() {
        let endpoints = Endpoints::default();
        let first = endpoints.at(&address(1));
        let lease = first.lease().expect("a free slot");
        let again = endpoints.at(&address(1));
        assert_eq!(again.in_flight(), 1);
        assert_eq!(again.id(), first.id());
        assert_ne!(endpoints.at(&address(2)).id(), first.id());
        drop(lease);
        assert_eq!(first.in_flight(), 0);
    }

    #[test]
    fn an_endpoint_that_nobody_holds_is_forgotten_and_its_number_is_not_used_again() {
        let endpoints = Endpoints::default();
        let id = endpoints.at(&address(1)).id();
        assert_ne!(endpoints.at(&address(1)).id(), id);
        assert_eq!(endpoints.known.lock().by_address.len(), 1);
        assert_eq!(endpoints.text(id).as_deref(), Some("127.0.0.1:1"), "but what it was is known");
        assert_eq!(endpoints.text(99), None);
    }

    #[test]
    fn an_address_stays_drained_whoever_holds_an_endpoint_there() {
        let endpoints = Endpoints::default();
        let (one, other) = (endpoints.at(&address(1)), endpoints.at(&address(2)));
        endpoints.drain(&address(1));
        assert!(one.is_drained() && !other.is_drained());
        drop(one);
        let again = endpoints.at(&address(1));
        assert!(again.is_drained(), "it went with a snapshot and came back with another");
        endpoints.undrain(&address(1));
        assert!(!again.is_drained() && !endpoints.at(&address(1)).is_drained());
    }

    #[test]
    fn an_answer_clears_what_went_wrong() {
        let endpoint = Endpoints::default().at(&address(1));
        endpoint.note_trouble("refused".into());
        assert_eq!(endpoint.trouble().map(|t| t.what), Some("refused".into()));
        endpoint.note_answer();
        assert_eq!(endpoint.trouble(), None);
    }
}
