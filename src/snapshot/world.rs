//! What outlives every snapshot, and how a snapshot is built upon it.

use std::{
    sync::{Arc, Weak},
    time::{Instant, SystemTime},
};

use bytes::Bytes;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{
    Audience, Counted, Fallback, Graphql, Identities, Pool, Rate, Scopes, Snapshot, Versions,
    hosts::Hosts, shares::share_of,
};
use crate::{
    classify::{Classifier, Matcher, Operations, Reading},
    config::{self, Config},
    discover::Directory,
    fault::Fault,
    identity::{Flaw, Issuer, IssuerSpec},
    meters::{Arm, Meters},
    name::Name,
    policy::{rate, versions::Tally},
    slo::Promise,
    stride::pause,
    upstream::{self, Endpoints},
};

/// Faults of requests that had no audience yet.
const UNDECIDED: &[Fault] = &[
    Fault::MalformedHead,
    Fault::BadHost,
    Fault::BadTarget,
    Fault::AmbiguousPath,
    Fault::BadFraming,
    Fault::BadVersion,
    Fault::BadExpectation,
    Fault::BadUpgrade,
    Fault::Misdirected,
    Fault::HttpsRequired,
    Fault::MethodNotAllowed,
    Fault::HeadTimeout,
    Fault::BodyTooLarge,
    Fault::TargetTooLong,
    Fault::HeadTooLarge,
    Fault::ClientLeft,
];

/// Faults that every audience can have.
const DECIDED: &[Fault] = &[
    Fault::BadChunk,
    Fault::BodyTimeout,
    Fault::BodyTooLarge,
    Fault::ClientLeft,
    Fault::ClientStalled,
    Fault::LoopDetected,
    Fault::Panicked,
    Fault::Paused,
    Fault::Maintenance,
    Fault::BufferFull,
    Fault::TunnelLimit,
    Fault::Draining,
    Fault::NoEndpoint,
    Fault::QueueFull,
    Fault::QueueTimeout,
    Fault::StreamLimit,
    Fault::NoDescriptor,
    Fault::UpstreamBroke,
    Fault::UpstreamMalformed,
    Fault::UpstreamUpgrade,
    Fault::SendfileAnswer,
    Fault::FirstByteTimeout,
    Fault::TotalTimeout,
    Fault::BetweenBytesTimeout,
];

/// What outlives a snapshot, kept by identity: endpoints by address, pools by name, meters by
/// audience, pool and arm.
#[derive(Debug)]
pub struct World {
    meters: Arc<Meters>,
    endpoints: Arc<Endpoints>,
    directory: Arc<Directory>,
    pools: Mutex<FxHashMap<Name, Weak<upstream::Pool>>>,
    hosts: Hosts,
    identities: Mutex<Option<Identities>>,
    issuers: Mutex<Vec<Weak<Issuer>>>,
    rates: Mutex<FxHashMap<Name, Weak<rate::Meter>>>,
    tallies: Mutex<FxHashMap<Name, Weak<Tally>>>,
    guests: Mutex<FxHashMap<(Name, Name), Weak<upstream::Guests>>>,
}

// === impl World ===

impl World {
    /// A world without pools.
    pub fn new(meters: Arc<Meters>) -> Self {
        let endpoints = Arc::new(Endpoints::new(meters.rows()));
        let (directory, pools, hosts, identities, issuers, rates, tallies, guests) =
            Default::default();
        Self {
            meters,
            endpoints,
            directory,
            pools,
            hosts,
            identities,
            issuers,
            rates,
            tallies,
            guests,
        }
    }

    /// Compiles `config`. Names of endpoints are looked up by whoever runs the pools.
    pub fn compile(&self, config: Arc<Config>, generation: u64) -> Snapshot {
        let classifier = Snapshot::classifier(&config);
        self.build(config, classifier, generation)
    }

    /// Compiles what is left of `config` when `classifier` has been made of it.
    pub fn build(&self, config: Arc<Config>, classifier: Classifier, generation: u64) -> Snapshot {
        self.directory.configure(&config.resolver);
        let pools = config.pools.iter().inspect(|_| pause()).map(|pool| self.pool(pool));
        let pools: Vec<Pool> = pools.collect();
        let audiences = config.audiences.iter().inspect(|_| pause());
        let mut audiences: Vec<Audience> =
            audiences.map(|it| self.audience(it, &config, &pools)).collect();
        audiences.push(self.none());
        let servers = self.hosts.servers(&config);
        let identities = self.identities(&config);
        let graphql = self.graphql(&config);
        Snapshot { generation, config, audiences, pools, servers, classifier, identities, graphql }
    }

    /// Where everything is counted.
    pub fn meters(&self) -> &Arc<Meters> {
        &self.meters
    }

    /// Every endpoint there is.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// The TLS of listeners.
    pub fn hosts(&self) -> &Hosts {
        &self.hosts
    }

    /// What is known of names.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// What may prove who asks. What is written as before is kept, and with it what workers
    /// remember of tokens.
    fn identities(&self, config: &Config) -> Option<Identities> {
        let mut known = self.identities.lock();
        let sources = config.identity.clone();
        if known.as_ref().map(|known| &known.sources) != sources.as_ref() {
            // Those of before live as long as `known` does: what they have fetched goes on.
            sources.iter().for_each(|sources| sources.bind(|spec| self.issuer(spec)));
            *known = sources.map(|sources| Identities {
                meters: sources
                    .names()
                    .map(|name| self.meters.identity(name, Flaw::NAMES))
                    .collect(),
                sources,
            });
        }
        known.clone()
    }

    /// Whoever publishes keys as `spec` says, with what is known of that place.
    fn issuer(&self, spec: &IssuerSpec) -> Arc<Issuer> {
        let mut known = self.issuers.lock();
        known.retain(|issuer| issuer.strong_count() > 0);
        let living: Vec<Arc<Issuer>> = known.iter().filter_map(Weak::upgrade).collect();
        if let Some(same) = living.iter().find(|issuer| issuer.spec() == spec) {
            return same.clone();
        }
        let now = Instant::now();
        let issuer = match living.iter().find(|issuer| issuer.is_at(spec)) {
            Some(known) => Issuer::succeeding(spec.clone(), known, now),
            None => Issuer::new(spec.clone(), now),
        };
        let issuer = Arc::new(issuer);
        known.push(Arc::downgrade(&issuer));
        issuer
    }

    /// What GraphQL requests ask for, where any rule wants to know that.
    fn graphql(&self, config: &Config) -> Option<Graphql> {
        let operations = Operations::new(config.graphql.clone(), config.rules())?;
        let reads = config.graphql.body_bytes_max.is_some();
        Some(Graphql { operations, meter: reads.then(|| self.meters.graphql(Reading::NAMES)) })
    }

    fn pool(&self, config: &config::Pool) -> Pool {
        Pool {
            name: config.name.clone(),
            upstream: self.upstream(config),
            meter: self.meters.pool(&config.name, Arm::Stable),
            timeouts: config.timeouts,
            config: config.clone(),
        }
    }

    /// The pool that lives under this name, or a successor where its endpoints were written anew.
    fn upstream(&self, config: &config::Pool) -> Arc<upstream::Pool> {
        let mut known = self.pools.lock();
        known.retain(|_, pool| pool.strong_count() > 0);
        let terms = upstream::Terms {
            specs: config.endpoints.clone(),
            capacity: config.capacity,
            balance: config.balance.clone(),
            slow_start: config.slow_start,
            dialect: config.dialect.clone(),
        };
        let living = known.get(&config.name).and_then(Weak::upgrade);
        let upstream = match living {
            Some(pool) if *pool.terms() == terms => pool,
            Some(pool) => Arc::new(pool.successor(terms)),
            None => {
                let (endpoints, directory) = (self.endpoints.clone(), self.directory.clone());
                Arc::new(upstream::Pool::new(terms, endpoints, directory))
            }
        };
        known.insert(config.name.clone(), Arc::downgrade(&upstream));
        upstream
    }

    fn audience(&self, config: &config::Audience, whole: &Config, pools: &[Pool]) -> Audience {
        let pool = pools.iter().position(|pool| pool.name == config.pool);
        let stake = pool.map(|index| {
            let (rows, share) = (self.meters.rows(), share_of(config, &whole.audiences));
            pools[index].upstream.queue().stake(&config.name, rows, config.priority, share)
        });
        let mut possible = DECIDED.to_vec();
        if !config.only.is_empty() {
            possible.push(Fault::NotAdmitted);
        }
        if config.only.iter().any(|rule| rule.all.iter().any(Matcher::asks_identity)) {
            possible.push(Fault::Unidentified);
        }
        if whole.identity.as_ref().is_some_and(|identity| identity.may_refuse()) {
            possible.push(Fault::InvalidIdentity);
        }
        let limits = config.rate_limit;
        possible.extend(limits.audience.map(|_| Fault::RateLimited));
        possible.extend(limits.client.map(|_| Fault::ClientRateLimited));
        if config.versions.as_ref().is_some_and(|versions| versions.policy.min.is_some()) {
            possible.push(Fault::VersionTooOld);
        }
        Audience {
            name: config.name.clone(),
            labels: config.rules.iter().map(|rule| rule.label.clone()).collect(),
            only: config.only.clone(),
            page: config.page.clone().map(Bytes::from),
            meter: self.meters.exchange(&config.name, &config.pool, Arm::Stable, &possible),
            promises: self.promises(config),
            scopes: Scopes::new(&config.objectives),
            sticky: whole.is_sticky(config),
            pool,
            fallback: self.fallback(config, pools),
            stake,
            timeouts: config.timeouts,
            rate: self.rate(config),
            versions: self.versions(config),
            rule_timeouts: config.rule_timeouts.iter().copied().collect(),
        }
    }

    /// Where the audience goes when its own pool cannot take it, and who is there.
    fn fallback(&self, config: &config::Audience, pools: &[Pool]) -> Option<Fallback> {
        let written = config.fallback.as_ref()?;
        let pool = pools.iter().position(|pool| pool.name == written.pool)?;
        let mut known = self.guests.lock();
        known.retain(|_, guests| guests.strong_count() > 0);
        let key = (config.name.clone(), written.pool.clone());
        let living = known.get(&key).and_then(Weak::upgrade);
        let guests = living.unwrap_or_default();
        known.insert(key, Arc::downgrade(&guests));
        Some(Fallback { pool, share: written.share.ratio(), guests })
    }

    /// How often the audience may be asked. What came before counts, whatever is written now.
    fn rate(&self, config: &config::Audience) -> Option<Rate> {
        let limits = config.rate_limit;
        if limits == rate::Limits::default() {
            return None;
        }
        let mut known = self.rates.lock();
        known.retain(|_, meter| meter.strong_count() > 0);
        let living = known.get(&config.name).and_then(Weak::upgrade);
        let meter = living.unwrap_or_else(|| {
            let meter = Arc::new(rate::Meter::new(Instant::now()));
            known.insert(config.name.clone(), Arc::downgrade(&meter));
            meter
        });
        Some(Rate { limits, meter })
    }

    /// Which versions of the audience's app are served. What came before counts, whatever is
    /// written now.
    fn versions(&self, config: &config::Audience) -> Option<Versions> {
        let written = config.versions.as_ref()?;
        let mut known = self.tallies.lock();
        known.retain(|_, tally| tally.strong_count() > 0);
        let living = known.get(&config.name).and_then(Weak::upgrade);
        let tally = living.unwrap_or_else(|| {
            let at = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            let tally = Arc::new(Tally::new(self.meters.rows(), Instant::now(), at));
            known.insert(config.name.clone(), Arc::downgrade(&tally));
            tally
        });
        let meter = self.meters.versions(&config.name);
        Some(Versions::new(&config.name, written, meter, tally))
    }

    fn promises(&self, config: &config::Audience) -> Box<[Counted]> {
        let counted = |promise: Promise| {
            let meter = self.meters.promise(&promise.audience, &promise.label, Arm::Stable);
            Counted { promise, meter }
        };
        config.promises().into_iter().map(counted).collect()
    }

    /// The reserved audience of what was refused before it was decided.
    fn none(&self) -> Audience {
        let name = Name::none();
        Audience {
            labels: Arc::default(),
            only: Vec::new(),
            page: None,
            meter: self.meters.exchange(&name, &name, Arm::Stable, UNDECIDED),
            promises: Box::default(),
            scopes: Scopes::default(),
            sticky: false,
            pool: None,
            fallback: None,
            stake: None,
            timeouts: config::Overrides::default(),
            rate: None,
            versions: None,
            rule_timeouts: FxHashMap::default(),
            name,
        }
    }
}
