//! A pool as it lives: its members now, whichever snapshot mentions it.
//!
//! What its names stand for is read from the directory whenever that has other places for one of
//! them; a name of which nothing is known is a down endpoint.

mod judging;
mod retries;

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::{
    address::Address,
    balance::{Asking, Lacking, Member, Members},
    dialect::Dialect,
    endpoint::Endpoints,
    lease::Lease,
    queue::Queue,
};
use crate::{
    config::{self, AddressSpec, Balance, Dns, EndpointSpec},
    discover::{Directory, Place, Question, Report},
    meters::EndpointEvent,
};

pub use retries::Retries;

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
    directory: Arc<Directory>,
    /// Held while members are published, so that what was read last is what stays.
    publishing: Mutex<()>,
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

// === impl Pool ===

impl Pool {
    /// A pool with these `terms`, and with what the `directory` knows of its names so far.
    pub fn new(terms: Terms, endpoints: Arc<Endpoints>, directory: Arc<Directory>) -> Self {
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
            directory,
            publishing: Mutex::default(),
            had: Mutex::default(),
        };
        pool.publish();
        pool
    }

    /// A pool with other `terms` that takes this one's place and has its queue.
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
            directory: self.directory.clone(),
            publishing: Mutex::default(),
            had: Mutex::new(self.had.lock().clone()),
            retries: self.retries.clone(),
        };
        pool.publish();
        pool.announce(&self.members(), "the configuration was written anew");
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
        let written = self.terms.specs.iter().filter(|spec| {
            let name = Question::of(&spec.address).is_some_and(|asked| asked.name() == text);
            name || spec.address.to_string() == text
        });
        written.flat_map(|spec| self.seats(spec)).map(|(address, _)| address).collect()
    }

    /// What was written for the endpoints that come from names, by their addresses.
    pub fn origins(&self) -> Vec<(Address, String)> {
        let looked_up = self.terms.specs.iter().filter(|spec| spec.is_looked_up());
        let origin = |spec: &EndpointSpec| {
            let text = spec.address.to_string();
            self.seats(spec).into_iter().map(move |(address, _)| (address, text.clone()))
        };
        looked_up.flat_map(origin).collect()
    }

    /// What has to be looked up for its endpoints.
    pub fn questions(&self) -> impl Iterator<Item = Question> {
        self.terms.specs.iter().filter_map(|spec| Question::of(&spec.address))
    }

    /// How it stands with each of them.
    pub fn names(&self) -> Vec<Report> {
        self.questions().map(|question| self.directory.report(&question)).collect()
    }

    /// Takes into use what the directory knows of its names now.
    pub fn follow(&self) {
        let before = self.members();
        self.publish();
        self.announce(&before, "its name has other addresses");
    }

    /// Whether the endpoint of this number is one of its members, or was one a while ago.
    pub fn has_had(&self, endpoint_id: u32) -> bool {
        self.had.lock().contains(&endpoint_id)
    }

    /// Writes down which endpoints have come and gone since it had the members `before`.
    fn announce(&self, before: &Members, reason: &str) {
        let now = self.members();
        // A pool without any has just been made, and all of them are new.
        if before.iter().next().is_none() {
            return;
        }
        let lacks = |there: &Members, it: &Member| {
            !there.iter().any(|other| other.endpoint.id() == it.endpoint.id())
        };
        for gone in before.iter().filter(|member| lacks(&now, member)) {
            self.note(&gone.endpoint, EndpointEvent::Removed, reason.to_owned());
        }
        for new in now.iter().filter(|member| lacks(before, member)) {
            self.note(&new.endpoint, EndpointEvent::Added, reason.to_owned());
        }
    }

    fn publish(&self) {
        let _publishing = self.publishing.lock();
        let mut members: Vec<Member> = Vec::new();
        let mut written = Vec::new();
        for spec in &self.terms.specs {
            for (address, weight) in self.seats(spec) {
                let endpoint = self.endpoints.at(&address);
                // Two names, or a name and an address, may stand for the same endpoint.
                if !members.iter().any(|member| member.endpoint.id() == endpoint.id()) {
                    written.push((endpoint.id(), &spec.address));
                    members.push(Member { endpoint, weight });
                }
            }
        }
        self.dialect.learn(written.into_iter());
        self.remember(&members);
        // Where there is none that serves already, slow is worse than cold.
        let slowly = self.queue.slots() > 0;
        for Member { endpoint, .. } in &members {
            if !endpoint.is_seated() {
                endpoint.resize(self.terms.capacity);
            }
            if slowly && !endpoint.is_seated() {
                endpoint.warm_up(self.terms.slow_start, Instant::now());
            }
        }
        let members = Arc::new(Members::new(members, self.terms.balance.clone()));
        self.members.store(members.clone());
        self.queue.seat(self.number, &members, self.terms.capacity);
    }

    /// The addresses that `spec` stands for now, and their weights.
    fn seats(&self, spec: &EndpointSpec) -> Vec<(Address, u32)> {
        let port = match &spec.address {
            AddressSpec::Socket(address) => {
                return vec![(Address::Socket(*address), spec.weight)];
            }
            AddressSpec::Unix(path) => return vec![(Address::unix(path), spec.weight)],
            AddressSpec::Named(_, port) | AddressSpec::Dns(Dns::Hosts { port, .. }) => *port,
            // Each place has a port of its own.
            AddressSpec::Dns(Dns::Service { .. }) => 0,
        };
        let Some(question) = Question::of(&spec.address) else { return Vec::new() };
        let mut places = self.directory.places(&question);
        if question == Question::System("localhost".to_owned()) {
            // 127.0.0.1 and ::1 are one Puma, not two: counted twice, its slots would be too.
            places.truncate(1);
        }
        let seat = |place: Place| {
            let address = SocketAddr::new(place.ip, place.port.unwrap_or(port)).into();
            (address, spec.weight * place.weight)
        };
        places.into_iter().map(seat).collect()
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

    async fn resolved(specs: Vec<EndpointSpec>) -> Pool {
        let pool = Pool::new(terms(specs), Arc::default(), Arc::default());
        for question in pool.questions() {
            pool.directory.look_up(&question).await;
        }
        pool.follow();
        pool
    }

    #[tokio::test]
    async fn localhost_counts_once() {
        let pool = resolved(vec![spec(AddressSpec::Named("localhost".into(), 80))]).await;
        assert_eq!(pool.members().iter().count(), 1);
        assert!(pool.names()[0].trouble.is_none());
        assert_eq!(pool.origins()[0].1, "localhost:80");
        assert_eq!(pool.addresses_of("localhost"), pool.addresses_of("localhost:80"));
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_no_endpoint_and_says_so() {
        let named = spec(AddressSpec::Named("nowhere.invalid".into(), 80));
        let fixed = spec(AddressSpec::Socket(([127, 0, 0, 1], 1).into()));
        let pool = resolved(vec![named, fixed]).await;
        assert_eq!(pool.members().iter().count(), 1);
        let names = pool.names();
        assert_eq!(names[0].question.name(), "nowhere.invalid");
        assert!(names[0].trouble.is_some() && names[0].places.is_empty());
    }
}
