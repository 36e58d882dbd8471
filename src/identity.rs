//! Who is calling: from what a request carries to an [`Identity`], or to the reason why not.
//!
//! An ordered list of sources; the first that proves something gives the request its user, roles
//! and claims. It is asked before the request is decided. usher does not authenticate for Rails: it
//! classifies, and tells Rails nothing of what it found.
//!
//! **Invariant:** nothing invalid ever becomes an identity. What a token says is looked at only
//! once its signature holds, but for the name of the key and of the algorithm, of which the key
//! has the last word.

mod cache;
mod claims;
mod flaw;
mod issuer;
mod jose;
mod keys;
mod place;
mod rails;
mod signed;
mod source;
mod tokens;
mod vouched;

use std::sync::Arc;

use http::{HeaderMap, HeaderName};

use crate::{classify::Identity, name::Name};

pub use cache::Cache;
pub use claims::{Moment, Terms};
pub use flaw::Flaw;
pub use issuer::{Answer, Issuer, IssuerReport, IssuerSpec, KeptKeys, Learned};
pub use keys::{Algorithm, Family, KEYS_MAX, Key, KeyError, Keys, PassedOver, Published, key_set};
pub use place::Place;
pub use rails::{RailsCookie, RailsDigest, RailsForm, RailsKey, RailsKeyError, RailsSalts};
pub use signed::Signed;
pub use source::{Invalid, Kind, Proof, Source};
pub use tokens::Tokens;
pub use vouched::{Certificate, Fields};

/// The longest token that is looked at, in bytes. What is longer costs nothing but this comparison.
pub const TOKEN_BYTES_MAX: usize = 8 << 10;

/// The sources of a configuration, in the order in which they are asked.
#[derive(Debug)]
pub struct Identities {
    sources: Box<[Source]>,
    /// Says whether another list means the same: over what was written and the files it names.
    digest: [u8; 32],
}

/// What of a request may prove who asks.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// Its fields, cleaned.
    pub headers: &'a HeaderMap,
    /// Its target's query.
    pub query: Option<&'a str>,
    /// Whether its peer is one of `trusted_proxies`.
    pub trusted: bool,
    /// The subject of the certificate that the peer showed, which has been verified.
    pub certificate: Option<&'a str>,
}

/// Who asks, as far as it could be found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Who asks; `None`: somebody.
    pub identity: Option<Arc<Identity>>,
    /// Whether the request is to be refused, since it carries something invalid.
    pub refused: bool,
}

/// What came of asking a source: `Ok` when it proved something.
pub type Outcome = Result<(), Flaw>;

// === impl Identities ===

impl Identities {
    /// These sources, asked in this order.
    pub fn new(sources: Vec<Source>, digest: [u8; 32]) -> Self {
        Self { sources: sources.into(), digest }
    }

    /// Who asks. `told` hears of every source that found something to look at, by its place.
    pub fn find(
        &self,
        evidence: &Evidence<'_>,
        cache: &mut Cache,
        now: Moment,
        mut told: impl FnMut(usize, Outcome),
    ) -> Found {
        for (place, source) in self.sources.iter().enumerate() {
            match source.ask(evidence, cache, now) {
                None => {}
                Some(Ok(identity)) => {
                    told(place, Ok(()));
                    return Found { identity: Some(identity), refused: false };
                }
                Some(Err(flaw)) => {
                    told(place, Err(flaw));
                    // What cannot be verified is not known to be invalid.
                    if source.invalid == Invalid::Refuse && flaw != Flaw::NoKeys {
                        return Found { identity: None, refused: true };
                    }
                }
            }
        }
        Found::default()
    }

    /// The sources.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Lets the sources have the keys of issuers: whoever outlives this list says who each is.
    pub fn bind(&self, mut issuer: impl FnMut(&IssuerSpec) -> Arc<Issuer>) {
        let published = self.sources.iter().flat_map(Source::published);
        published.for_each(|published| published.bind(&mut issuer));
    }

    /// Whoever publishes keys, with the name of each source that has them; the same one once for
    /// each of its sources.
    pub fn issuers(&self) -> impl Iterator<Item = (&Name, &Arc<Issuer>)> {
        self.sources.iter().flat_map(|source| {
            source.published().filter_map(|it| Some((&*source.name, it.issuer()?)))
        })
    }

    /// The names of the sources, in their order.
    pub fn names(&self) -> impl Iterator<Item = &Name> {
        self.sources.iter().map(|source| &*source.name)
    }

    /// The fields of a request that any source looks at.
    pub fn fields(&self) -> impl Iterator<Item = HeaderName> {
        self.sources.iter().flat_map(Source::fields)
    }

    /// Fields that say who asks when a trusted proxy writes them, and that nobody else may write.
    pub fn vouched(&self) -> impl Iterator<Item = &HeaderName> {
        self.sources.iter().flat_map(Source::vouched)
    }

    /// Whether any source refuses requests.
    pub fn may_refuse(&self) -> bool {
        self.sources.iter().any(|source| source.invalid == Invalid::Refuse)
    }
}

impl PartialEq for Identities {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}
