//! A pool as it lives: its members now, whichever snapshot mentions it.
//!
//! Names among its endpoints are resolved here, at start and again; a name that does not resolve
//! leaves what was known before in place, or is a down endpoint.

mod judging;
mod retries;

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::task::JoinSet;

use super::{
    address::Address,
    balance::{Asking, Lacking, Member, Members},
    dialect::Dialect,
    endpoint::Endpoints,
    lease::Lease,
    queue::Queue,
};
use crate::config::{self, AddressSpec, Balance, EndpointSpec};

pub use retries::Retries;

/// How often names are resolved again. The system's resolver does not tell a time to live.
pub const RESOLVE_EVERY: Duration = Duration::from_secs(10);

/// How long one look-up may take.
const RESOLVE_WAIT: Duration = Duration::from_secs(5);

/// How many former members a pool remembers, so that what happened to them can be told.
const HAD_MAX: usize = 64;

/// The endpoints of one pool, and the queue for their slots.
#[derive(Debug)]
pub struct Pool {
    terms: Terms,
    dialect: Arc<Dialect>,
    endpoints: Arc<Endpoints>,
    members: ArcSwap<Members>,
    queue: Arc<Queue>,
    number: u64,
    names: Mutex<FxHashMap<String, Resolution>>,
    /// The numbers of endpoints that are or were its members, the last ones last.
    had: Mutex<VecDeque<u32>>,
    retries: Arc<Retries>,
}

/// What was written for a pool, as far as its endpoints are concerned.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Its endpoints.
    pub specs: Vec<EndpointSpec>,
    /// Slots of each of them.
    pub capacity: u32,
    /// How requests are spread over them.
    pub balance: Balance,
    /// Over how long one that is new or back gets its slots.
    pub slow_start: Duration,
    /// How they are spoken to.
    pub dialect: config::Dialect,
}

/// What became of a name.
#[derive(Clone, Debug, Default)]
pub struct Resolution {
    /// The addresses found last.
    pub addresses: Vec<IpAddr>,
    /// Why the last look-up found none.
    pub trouble: Option<String>,
}

// === impl Pool ===

impl Pool {
    /// A pool with these `terms`. Names are not resolved yet.
    pub fn new(terms: Terms, endpoints: Arc<Endpoints>) -> Self {
        let queue = Queue::new();
        let retries = Arc::new(Retries::new(endpoints.rows()));
        let pool = Self {
            dialect: Arc::new(Dialect::new(&terms.dialect)),
            terms,
            endpoints,
            retries,
            members: ArcSwap::from_pointee(Members::default()),
            number: queue.number(),
            queue,
            names: Mutex::default(),
            had: Mutex::default(),
        };
        pool.publish();
        pool
    }

    /// A pool with other `terms` that takes this one's place, has its queue, and knows what this
    /// one knew of names.
    ///
    /// It is another pool rather than this one changed: requests that were decided by the snapshot
    /// before go on with the members they knew. Only those that wait are served by the new ones.
    pub fn successor(&self, terms: Terms) -> Self {
        let dialect = match terms.dialect == self.terms.dialect {
            true => self.dialect.clone(),
            false => Arc::new(Dialect::new(&terms.dialect)),
        };
        let pool = Self {
            terms,
            dialect,
            endpoints: self.endpoints.clone(),
            members: ArcSwap::from_pointee(Members::default()),
            queue: self.queue.clone(),
            number: self.queue.number(),
            names: Mutex::new(self.names.lock().clone()),
            had: Mutex::new(self.had.lock().clone()),
            retries: self.retries.clone(),
        };
        pool.publish();
        pool
    }

    /// What was written for it.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }

    /// How its endpoints are spoken to.
    pub fn dialect(&self) -> &Arc<Dialect> {
        &self.dialect
    }

    /// Where requests wait for a slot.
    pub fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// A slot of an endpoint that was not tried. While anybody waits, nobody else gets one.
    pub fn lease(&self, asking: &Asking<'_>, random: &mut fastrand::Rng) -> Result<Lease, Lacking> {
        let members = self.members.load();
        if self.queue.waiting() > 0 && members.takes(asking.tried, asking.when_unhealthy) {
            return Err(Lacking::Slot);
        }
        members.lease(asking, random)
    }

    /// What its requests have had of retries and may have.
    pub fn retries(&self) -> &Retries {
        &self.retries
    }

    /// Whether a usable endpoint is not in `tried`.
    pub fn has_usable_beside(&self, tried: &[u32]) -> bool {
        let members = self.members.load();
        let mut others = members.iter().filter(|it| !tried.contains(&it.endpoint.id()));
        others.any(|member| member.endpoint.is_usable())
    }

    /// Whether an endpoint that no operator has drained is not in `tried`.
    pub fn has_any_beside(&self, tried: &[u32]) -> bool {
        let members = self.members.load();
        let mut others = members.iter().filter(|it| !tried.contains(&it.endpoint.id()));
        others.any(|member| !member.endpoint.is_drained())
    }

    /// Its members now.
    pub fn members(&self) -> Arc<Members> {
        self.members.load_full()
    }

    /// The addresses that an endpoint stands for now that was written as `text`.
    pub fn addresses_of(&self, text: &str) -> Vec<Address> {
        let names = self.names.lock();
        let written = self.terms.specs.iter().filter(|spec| spec.address.to_string() == text);
        written.flat_map(|spec| addresses_of(spec, &names)).collect()
    }

    /// Names that have no address, and why.
    pub fn unresolved(&self) -> Vec<(String, String)> {
        let names = self.names.lock();
        let trouble = |(name, known): (&String, &Resolution)| {
            known.trouble.as_ref().map(|trouble| (name.clone(), trouble.clone()))
        };
        let mut unresolved: Vec<_> = names.iter().filter_map(trouble).collect();
        unresolved.sort();
        unresolved
    }

    /// Looks up every name, all at once, and takes what was found into use.
    pub async fn resolve(&self) {
        let mut lookups = JoinSet::new();
        for spec in &self.terms.specs {
            let AddressSpec::Named(name, port) = &spec.address else { continue };
            let (name, port) = (name.clone(), *port);
            lookups.spawn(async move {
                let found = look_up(&name, port).await;
                (name, found)
            });
        }
        // A look-up that panicked leaves what was known in place.
        while let Some(looked_up) = lookups.join_next().await {
            let Ok((name, found)) = looked_up else { continue };
            let mut names = self.names.lock();
            let known = names.entry(name).or_default();
            match found {
                Ok(addresses) => *known = Resolution { addresses, trouble: None },
                Err(error) => known.trouble = Some(error.to_string()),
            }
        }
        self.publish();
    }

    /// Whether any endpoint has to be resolved.
    pub fn has_names(&self) -> bool {
        self.terms.specs.iter().any(|spec| matches!(spec.address, AddressSpec::Named(..)))
    }

    /// Whether the endpoint of this number is one of its members, or was one a while ago.
    pub fn has_had(&self, endpoint_id: u32) -> bool {
        self.had.lock().contains(&endpoint_id)
    }

    fn publish(&self) {
        let names = self.names.lock();
        let mut members: Vec<Member> = Vec::new();
        let mut written = Vec::new();
        for spec in &self.terms.specs {
            for address in addresses_of(spec, &names) {
                let endpoint = self.endpoints.at(&address);
                // Two names, or a name and an address, may stand for the same endpoint.
                if !members.iter().any(|member| member.endpoint.id() == endpoint.id()) {
                    written.push((endpoint.id(), &spec.address));
                    members.push(Member { endpoint, weight: spec.weight });
                }
            }
        }
        self.dialect.learn(written.into_iter());
        self.remember(&members);
        // Where there is none that serves already, slow is worse than cold.
        let slowly = self.queue.slots() > 0;
        for Member { endpoint, .. } in &members {
            endpoint.resize(self.terms.capacity);
            if slowly && !endpoint.is_seated() {
                endpoint.warm_up(self.terms.slow_start, Instant::now());
            }
        }
        let members = Arc::new(Members::new(members, self.terms.balance.clone()));
        self.members.store(members.clone());
        self.queue.seat(self.number, &members);
    }

    fn remember(&self, members: &[Member]) {
        let mut had = self.had.lock();
        for id in members.iter().map(|member| member.endpoint.id()) {
            if !had.contains(&id) {
                had.push_back(id);
            }
        }
        let surplus = had.len().saturating_sub(members.len() + HAD_MAX);
        had.drain(..surplus);
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        // The queue and its members know one another.
        self.queue.close(self.number);
    }
}

fn addresses_of(spec: &EndpointSpec, names: &FxHashMap<String, Resolution>) -> Vec<Address> {
    match &spec.address {
        AddressSpec::Socket(address) => vec![Address::Socket(*address)],
        AddressSpec::Unix(path) => vec![Address::unix(path)],
        AddressSpec::Named(name, port) => {
            let known = names.get(name).map(|known| &*known.addresses).unwrap_or_default();
            // 127.0.0.1 and ::1 are one Puma, not two: counted twice, its slots would be too.
            let counted = if name == "localhost" { &known[..known.len().min(1)] } else { known };
            counted.iter().map(|&ip| SocketAddr::new(ip, *port).into()).collect()
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "names are looked up by the house, not by workers")]
async fn look_up(name: &str, port: u16) -> io::Result<Vec<IpAddr>> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer to the look-up");
    let found = tokio::time::timeout(RESOLVE_WAIT, tokio::net::lookup_host((name, port)));
    let mut addresses: Vec<IpAddr> =
        found.await.map_err(|_| late())??.map(|found| found.ip()).collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(specs: Vec<EndpointSpec>) -> Terms {
        let (slow_start, dialect) = (Duration::ZERO, config::Dialect::default());
        Terms { specs, capacity: 5, balance: Balance::LeastBusy, slow_start, dialect }
    }

    fn spec(address: AddressSpec) -> EndpointSpec {
        EndpointSpec { address, weight: 1 }
    }

    #[tokio::test]
    async fn localhost_counts_once() {
        let named = spec(AddressSpec::Named("localhost".into(), 80));
        let pool = Pool::new(terms(vec![named]), Arc::default());
        assert_eq!(pool.members().iter().count(), 0, "not resolved yet");
        pool.resolve().await;
        assert_eq!(pool.members().iter().count(), 1);
        assert!(pool.unresolved().is_empty());
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_no_endpoint_and_says_so() {
        let named = spec(AddressSpec::Named("nowhere.invalid".into(), 80));
        let fixed = spec(AddressSpec::Socket(([127, 0, 0, 1], 1).into()));
        let pool = Pool::new(terms(vec![named, fixed]), Arc::default());
        pool.resolve().await;
        assert_eq!(pool.members().iter().count(), 1);
        assert_eq!(pool.unresolved()[0].0, "nowhere.invalid");
    }
}
