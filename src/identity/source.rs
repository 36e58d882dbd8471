//! One entry of `identity:`.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use http::{HeaderName, header::COOKIE};

use super::{
    Cache, Certificate, Evidence, Fields, Flaw, IssuerSpec, Moment, Published, RailsCookie, Signed,
    TOKEN_BYTES_MAX, Tokens,
};
use crate::{classify::Identity, name::Name};

/// One entry of `identity:`.
#[derive(Debug)]
pub struct Source {
    /// What it is called in metrics and by `usher explain`.
    pub name: Arc<Name>,
    /// What becomes of requests that carry something invalid.
    pub invalid: Invalid,
    /// What it looks at.
    kind: Kind,
    /// Tells its tokens from those of all other sources of this process, in caches.
    epoch: u64,
}

/// What becomes of a request that carries something invalid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Invalid {
    /// It is as if it carried nothing.
    #[default]
    Anonymous,
    /// It is refused with 401.
    Refuse,
}

/// Who asks, and until when that may be believed.
#[derive(Clone, Debug)]
pub struct Proof {
    /// Who asks.
    pub identity: Arc<Identity>,
    /// From then on it is not believed any more.
    pub until: Moment,
}

/// What a source looks at.
#[derive(Debug)]
pub enum Kind {
    /// JSON Web Tokens.
    Tokens(Tokens),
    /// usher's own cookie.
    Signed(Signed),
    /// Cookies as Rails writes them.
    Rails(RailsCookie),
    /// Fields that a trusted proxy writes.
    Fields(Fields),
    /// The certificate that the peer showed.
    Certificate(Certificate),
}

// === impl Source ===

impl Source {
    /// A source that is called `name`.
    pub fn new(name: Name, invalid: Invalid, kind: Kind) -> Self {
        static EPOCHS: AtomicU64 = AtomicU64::new(1);
        let epoch = EPOCHS.fetch_add(1, Ordering::Relaxed);
        Self { name: Arc::new(name), invalid, kind, epoch }
    }

    /// What the request proves to this source; `None` when it carries nothing for it.
    pub(super) fn ask(
        &self,
        evidence: &Evidence<'_>,
        cache: &mut Cache,
        now: Moment,
    ) -> Option<Result<Arc<Identity>, Flaw>> {
        let name = &self.name;
        match &self.kind {
            Kind::Tokens(tokens) => {
                let token = tokens.read(evidence)?;
                let edition = tokens.edition();
                let verify = |token: &[u8]| tokens.verify(token, name, now);
                Some(self.known(&token, edition, cache, now, verify))
            }
            Kind::Signed(signed) => {
                let cookie = signed.read(evidence)?;
                Some(self.known(&cookie, 0, cache, now, |cookie| signed.verify(cookie, name, now)))
            }
            Kind::Rails(rails) => {
                let cookie = rails.read(evidence)?;
                Some(self.known(&cookie, 0, cache, now, |cookie| rails.verify(cookie, name, now)))
            }
            Kind::Fields(fields) => fields.ask(evidence, name),
            Kind::Certificate(certificate) => certificate.ask(evidence, name),
        }
    }

    /// Where it looks, for people.
    pub fn looks_at(&self) -> String {
        match &self.kind {
            Kind::Tokens(tokens) => tokens.looks_at(),
            Kind::Signed(signed) => signed.looks_at(),
            Kind::Rails(rails) => rails.looks_at(),
            Kind::Fields(fields) => format!("header {} of a trusted proxy", fields.user),
            Kind::Certificate(_) => "the client's certificate".to_owned(),
        }
    }

    /// Where keys are published that it verifies with.
    pub fn publishers(&self) -> impl Iterator<Item = &IssuerSpec> {
        self.published().map(Published::spec)
    }

    /// The fields of a request that it looks at.
    pub(super) fn fields(&self) -> Vec<HeaderName> {
        match &self.kind {
            Kind::Tokens(tokens) => tokens.fields().collect(),
            Kind::Signed(_) | Kind::Rails(_) => vec![COOKIE],
            Kind::Fields(fields) => fields.names().cloned().collect(),
            Kind::Certificate(_) => Vec::new(),
        }
    }

    /// Fields that say who asks when a trusted proxy writes them.
    pub(super) fn vouched(&self) -> impl Iterator<Item = &HeaderName> {
        let fields = match &self.kind {
            Kind::Fields(fields) => Some(fields),
            Kind::Tokens(_) | Kind::Signed(_) | Kind::Rails(_) | Kind::Certificate(_) => None,
        };
        fields.into_iter().flat_map(Fields::names)
    }

    /// The keys that it has from somewhere else.
    pub(super) fn published(&self) -> impl Iterator<Item = &Published> {
        let tokens = match &self.kind {
            Kind::Tokens(tokens) => Some(tokens),
            Kind::Signed(_) | Kind::Rails(_) | Kind::Fields(_) | Kind::Certificate(_) => None,
        };
        tokens.into_iter().flat_map(Tokens::published)
    }

    /// What `token` proves: what is remembered of it, or what `verify` says. `edition` is that of
    /// the keys, and was read before they are.
    fn known(
        &self,
        token: &[u8],
        edition: u64,
        cache: &mut Cache,
        now: Moment,
        verify: impl FnOnce(&[u8]) -> Result<Proof, Flaw>,
    ) -> Result<Arc<Identity>, Flaw> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Flaw::Oversized);
        }
        cache.known((self.epoch, edition), token, now, || verify(token))
    }
}
