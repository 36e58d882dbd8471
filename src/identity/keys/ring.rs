//! The keys of a source: its own, and those that issuers publish.

use std::sync::{Arc, OnceLock};

use super::{Algorithm, Key};
use crate::identity::{Flaw, Issuer, IssuerSpec, jose::Unverified};

/// The most keys that are tried for one token, when it does not say which.
const TRIED_MAX: usize = 8;

/// The keys of a source.
#[derive(Debug, Default)]
pub struct Keys {
    own: Box<[Key]>,
    published: Box<[Published]>,
}

/// Keys that somebody publishes. Who that is, is known once a running usher has said so: `usher
/// explain` has nobody who fetches them.
#[derive(Debug)]
pub struct Published {
    spec: IssuerSpec,
    issuer: OnceLock<Arc<Issuer>>,
}

// === impl Keys ===

impl Keys {
    /// These keys.
    pub fn new(keys: Vec<Key>) -> Self {
        Self { own: keys.into(), published: Box::default() }
    }

    /// The same, and those that are published there.
    pub fn with_issuers(self, specs: Vec<IssuerSpec>) -> Self {
        let published = specs.into_iter().map(|spec| Published { spec, issuer: OnceLock::new() });
        Self { published: published.collect(), ..self }
    }

    /// Those that the configuration holds.
    pub fn own(&self) -> impl Iterator<Item = &Key> {
        self.own.iter()
    }

    /// Those that come from somewhere else.
    pub(in crate::identity) fn published(&self) -> impl Iterator<Item = &Published> {
        self.published.iter()
    }

    /// Which keys these are now: moves whenever any of them does.
    pub(in crate::identity) fn edition(&self) -> u64 {
        self.published.iter().filter_map(Published::issuer).map(|it| it.edition()).sum()
    }

    /// Whether `token` was signed with one of these keys, in a way that this key is for.
    pub(in crate::identity) fn verify(&self, token: &Unverified<'_>) -> Result<(), Flaw> {
        let algorithm = Algorithm::parse(&token.algorithm).ok_or(Flaw::WrongAlgorithm)?;
        if self.published.is_empty() {
            return judge(self.own.iter(), token, algorithm);
        }
        let issuers = || self.published.iter().filter_map(Published::issuer);
        let sets: Vec<Arc<Vec<Key>>> = issuers().filter_map(|issuer| issuer.keys()).collect();
        let keys = self.own.iter().chain(sets.iter().flat_map(|set| set.iter()));
        let verdict = judge(keys, token, algorithm);
        match verdict {
            // The key that fits may be one that has not come yet.
            Err(_) if sets.len() < self.published.len() => Err(Flaw::NoKeys),
            Err(Flaw::UnknownKey) => {
                issuers().for_each(|issuer| issuer.want());
                verdict
            }
            verdict => verdict,
        }
    }
}

// === impl Published ===

impl Published {
    /// Where they are published.
    pub fn spec(&self) -> &IssuerSpec {
        &self.spec
    }

    /// Who publishes them, once that is known.
    pub fn issuer(&self) -> Option<&Arc<Issuer>> {
        self.issuer.get()
    }

    /// Asks `issuer` who it is, unless that is known.
    pub(in crate::identity) fn bind(&self, issuer: impl FnOnce(&IssuerSpec) -> Arc<Issuer>) {
        self.issuer.get_or_init(|| issuer(&self.spec));
    }
}

fn judge<'a>(
    keys: impl Iterator<Item = &'a Key>,
    token: &Unverified<'_>,
    algorithm: Algorithm,
) -> Result<(), Flaw> {
    let meant = |key: &&Key| match (&key.id, &token.key) {
        (Some(id), Some(meant)) => **id == **meant,
        (_, None) | (None, _) => true,
    };
    let mut meant = keys.filter(meant).peekable();
    if meant.peek().is_none() {
        return Err(Flaw::UnknownKey);
    }
    let mut verifiers = meant.filter_map(|key| key.verifier(algorithm)).peekable();
    if verifiers.peek().is_none() {
        return Err(Flaw::WrongAlgorithm);
    }
    let verified = verifiers.take(TRIED_MAX).any(|verifier| verifier.verifies(token));
    if verified { Ok(()) } else { Err(Flaw::BadSignature) }
}
