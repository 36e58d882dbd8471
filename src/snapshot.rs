//! The compiled configuration that a request is decided by: immutable, swapped whole.
//!
//! `decide` is pure: it looks at facts and at this snapshot and at nothing else. What outlives a
//! snapshot (endpoints, pools, meters) is kept by [`World`] and only referred to from here.

mod hosts;
mod scopes;
mod shares;
mod versions;
mod view;
mod world;

use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::{
    bind::Bind,
    classify::{
        Classifier, Facts, Operations, PathView, RuleSpec, any_lacks_identity, any_matches,
    },
    config::{self, Config, Overrides, Timeouts},
    fault::Fault,
    identity,
    meters::{ExchangeMeter, GraphqlMeter, IdentityMeter, PoolMeter, SloMeter},
    name::Name,
    policy::rate,
    slo::Promise,
    tls, upstream,
};

pub use hosts::Hosts;
pub use scopes::{Scopes, Spoken};
pub use versions::{Deprecation, Versions, salt as version_salt};
pub use view::{Published, Told, View, Viewer};
pub use world::World;

/// A configuration, ready to decide requests.
#[derive(Debug)]
pub struct Snapshot {
    /// Counts up by one with every snapshot that is published.
    pub generation: u64,
    /// What it was compiled from.
    pub config: Arc<Config>,
    /// In file order, and after them the reserved `none`.
    audiences: Vec<Audience>,
    pools: Vec<Pool>,
    /// Of listeners that speak TLS, as they were configured.
    servers: Vec<(Bind, Arc<tls::Server>)>,
    classifier: Classifier,
    identities: Option<Identities>,
    graphql: Option<Graphql>,
}

/// What is left of a snapshot that nobody uses any more: much memory, and no lock to free it.
#[derive(Debug)]
pub struct Remains {
    config: Arc<Config>,
    classifier: Classifier,
}

/// What GraphQL requests ask for, where any rule wants to know that.
#[derive(Debug)]
struct Graphql {
    operations: Operations,
    /// Where bodies are counted that are asked.
    meter: Option<Arc<GraphqlMeter>>,
}

/// What may prove who asks, and where that is counted.
#[derive(Clone, Debug)]
pub struct Identities {
    /// The sources.
    pub sources: Arc<identity::Identities>,
    /// Where each of them is counted.
    pub meters: Arc<[Arc<IdentityMeter>]>,
}

/// An audience, compiled.
#[derive(Debug)]
pub struct Audience {
    /// Its name.
    pub name: Name,
    /// Its rules as they were written, for the log.
    pub labels: Arc<[Arc<str>]>,
    /// Who may be of it; empty: everyone.
    pub only: Vec<RuleSpec>,
    /// A page of its own for made-up answers.
    pub page: Option<Bytes>,
    /// Where its requests are counted.
    pub meter: Arc<ExchangeMeter>,
    /// What it was promised, and where that is counted.
    pub promises: Box<[Counted]>,
    /// Which requests its objectives speak about.
    pub scopes: Scopes,
    /// Whether anything asks by what its clients are known again.
    pub sticky: bool,
    /// Which pool serves it; only `none` has no pool.
    pub pool: Option<usize>,
    /// Where it goes when that pool cannot take it.
    pub fallback: Option<Fallback>,
    /// Its claim to the pool's slots.
    pub stake: Option<Arc<upstream::Stake>>,
    /// What differs from that pool's timeouts.
    pub timeouts: Overrides,
    /// How often it may be asked, and has been.
    pub rate: Option<Rate>,
    /// Which versions of its app are served, and which came.
    pub versions: Option<Versions>,
    /// What differs from those for requests of some rules; most configurations have none.
    pub rule_timeouts: FxHashMap<usize, Overrides>,
}

/// Where an audience goes when its own pool cannot take it.
#[derive(Debug)]
pub struct Fallback {
    /// The other pool.
    pub pool: usize,
    /// The share of its slots that may be held.
    pub share: f64,
    /// Those that are there.
    pub guests: Arc<upstream::Guests>,
}

/// How often an audience may be asked, and how often it has been.
#[derive(Debug)]
pub struct Rate {
    /// What was written.
    pub limits: rate::Limits,
    /// What has come.
    pub meter: Arc<rate::Meter>,
}

/// A promise and its meter.
#[derive(Debug)]
pub struct Counted {
    /// What was promised.
    pub promise: Promise,
    /// Where its events are counted.
    pub meter: Arc<SloMeter>,
}

/// A pool, with what this snapshot says about it.
#[derive(Debug)]
pub struct Pool {
    /// Its name.
    pub name: Name,
    /// Its endpoints, which outlive the snapshot.
    pub upstream: Arc<upstream::Pool>,
    /// Where its leases are counted.
    pub meter: Arc<PoolMeter>,
    /// How long the monolith may take.
    pub timeouts: Timeouts,
    /// The rest of what was configured.
    pub config: config::Pool,
}

/// Who a request is for, and whether it may go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The audience, as an index into the snapshot that decided.
    pub audience: usize,
    /// The rule of the audience that took the request; `None` for the catch-all.
    pub rule: Option<usize>,
    /// Why it may not go there.
    pub fault: Option<Fault>,
    /// Which of the audience's objectives speak about it.
    pub spoken: Spoken,
}

// === impl Audience ===

impl Audience {
    /// What differs from a pool's timeouts for a request that `rule` took.
    pub fn overrides(&self, rule: Option<usize>) -> Overrides {
        if self.rule_timeouts.is_empty() {
            return self.timeouts;
        }
        let own = rule.and_then(|rule| self.rule_timeouts.get(&rule).copied());
        own.unwrap_or_default().or(self.timeouts)
    }
}

// === impl Remains ===

impl Remains {
    /// Lets go of it in strides.
    pub fn let_go(self) {
        self.classifier.let_go();
        if let Some(config) = Arc::into_inner(self.config) {
            config.let_go();
        }
    }
}

// === impl Decision ===

impl Decision {
    /// The same, but that the request is refused where it carries something that proves nobody and
    /// a source of identities does not let that pass.
    pub fn refusing(self, refused: bool) -> Self {
        match self.fault {
            None | Some(Fault::Unidentified | Fault::NotAdmitted) if refused => {
                Self { fault: Some(Fault::InvalidIdentity), ..self }
            }
            _ => self,
        }
    }
}

// === impl Snapshot ===

impl Snapshot {
    /// The rules of `config`, compiled: the one part of a snapshot that rests on nothing else.
    pub fn classifier(config: &Config) -> Classifier {
        let rules: Vec<_> = config.audiences.iter().map(|a| a.rules.as_slice()).collect();
        Classifier::new(&rules)
    }

    /// Lets go of all that others share and lock, and leaves the larger part for whoever has time.
    pub fn into_remains(self) -> Remains {
        let Self { config, classifier, .. } = self;
        Remains { config, classifier }
    }

    /// Who the request with these facts is for.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        let Ok(path) = PathView::of(facts.path) else {
            return self.undecided(Fault::AmbiguousPath);
        };
        let Some(choice) = self.classifier.classify(facts, &path) else {
            // Not reachable: a configuration without a catch-all is refused.
            return self.undecided(Fault::BadTarget);
        };
        let Audience { only, scopes, .. } = &self.audiences[choice.audience];
        let admitted = only.is_empty() || any_matches(only, facts, &path);
        let fault = match admitted {
            true => None,
            false if any_lacks_identity(only, facts, &path) => Some(Fault::Unidentified),
            false => Some(Fault::NotAdmitted),
        };
        let spoken = scopes.of(facts, &path);
        Decision { audience: choice.audience, rule: choice.rule, fault, spoken }
    }

    /// The decision about a request that was refused before it could be decided.
    pub fn undecided(&self, fault: Fault) -> Decision {
        let audience = self.audiences.len() - 1;
        Decision { audience, rule: None, fault: Some(fault), spoken: Spoken::default() }
    }

    /// What this snapshot calls `audience`.
    fn told(&self, audience: &Audience) -> Told {
        let pool = audience.pool.map_or_else(Name::none, |pool| self.pools[pool].name.clone());
        Told {
            generation: self.generation,
            audience: audience.name.clone(),
            pool,
            fallback: audience.fallback.as_ref().map(|it| self.pools[it.pool].name.clone()),
            labels: audience.labels.clone(),
        }
    }

    /// The audience at `index`.
    pub fn audience(&self, index: usize) -> &Audience {
        &self.audiences[index]
    }

    /// What holds for connections at the listener that was configured as `bind`.
    pub fn listener(&self, bind: &Bind) -> Option<&config::Listener> {
        self.config.listeners.iter().find(|listener| listener.bind == *bind)
    }

    /// The TLS of the listener that was configured as `bind`.
    pub fn tls(&self, bind: &Bind) -> Option<&Arc<tls::Server>> {
        self.servers.iter().find(|(known, _)| known == bind).map(|(_, server)| server)
    }

    /// What may prove who asks; `None`: nothing does.
    pub fn identities(&self) -> Option<&Identities> {
        self.identities.as_ref()
    }

    /// What GraphQL requests ask for; `None`: no rule wants to know.
    pub fn operations(&self) -> Option<&Operations> {
        self.graphql.as_ref().map(|graphql| &graphql.operations)
    }

    /// Where bodies are counted that are asked for that.
    pub fn graphql_meter(&self) -> Option<&GraphqlMeter> {
        self.graphql.as_ref()?.meter.as_deref()
    }

    /// The pool at `index`.
    pub fn pool(&self, index: usize) -> &Pool {
        &self.pools[index]
    }

    /// All audiences in file order, without `none`.
    pub fn audiences(&self) -> &[Audience] {
        &self.audiences[..self.audiences.len() - 1]
    }

    /// All pools in file order.
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }
}
