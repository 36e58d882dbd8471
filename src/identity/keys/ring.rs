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
    let verified = verifiers.take(TRIED_MAX).any(|verifier| {
        #[cfg(test)]
        tests::VERIFIED.with(|count| count.set(count.get() + 1));
        verifier.verifies(token)
    });
    if verified { Ok(()) } else { Err(Flaw::BadSignature) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
    use serde_json::json;

    use super::*;
    use crate::{
        identity::{
            Cache, Evidence, Identities, Invalid, KEYS_MAX, Kind, Moment, Place, Source, Terms,
            Tokens, key_set,
        },
        name::Name,
    };

    thread_local! {
        /// How many signatures this thread has verified.
        pub(super) static VERIFIED: Cell<usize> = const { Cell::new(0) };
    }

    /// As many keys as there may be, with names or without.
    fn identities(named: bool) -> Identities {
        let key = |number: usize| {
            let pair = Ed25519KeyPair::generate().unwrap();
            let x = URL_SAFE_NO_PAD.encode(pair.public_key());
            let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": x });
            if named {
                key["kid"] = number.to_string().into();
            }
            key
        };
        let set = json!({ "keys": (0..KEYS_MAX).map(key).collect::<Vec<_>>() });
        let keys = Keys::new(key_set(set.to_string().as_bytes(), &[]).unwrap());
        let tokens = Tokens::new(vec![Place::Header(AUTHORIZATION)], keys, Terms::default());
        let name = Name::parse("jwt").unwrap();
        Identities::new(vec![Source::new(name, Invalid::Anonymous, Kind::Tokens(tokens))], [0; 32])
    }

    fn token(header: &str, payload_bytes: usize) -> String {
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let payload = part(&vec![b'x'; payload_bytes]);
        format!("{}.{payload}.{}", part(header.as_bytes()), part(&[7; 64]))
    }

    /// How many signatures are verified for each of two requests with `token`.
    fn verified(identities: &Identities, token: &str) -> [usize; 2] {
        let mut cache = Cache::default();
        [(); 2].map(|()| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
            headers.insert(AUTHORIZATION, value);
            let evidence =
                Evidence { headers: &headers, query: None, trusted: false, certificate: None };
            let before = VERIFIED.get();
            let found = identities.find(&evidence, &mut cache, Moment::now(), |_, _| {});
            assert!(found.identity.is_none());
            VERIFIED.get() - before
        })
    }

    #[test]
    fn a_hostile_token_costs_few_verifications_once_or_none_at_all() {
        let (named, nameless) = (identities(true), identities(false));
        let fine = r#"{"alg":"EdDSA"}"#;
        for (identities, what, token, costs) in [
            (&named, "one key is meant", token(r#"{"alg":"EdDSA","kid":"3"}"#, 10), [1, 0]),
            (&named, "none is meant", token(fine, 10), [TRIED_MAX, 0]),
            (&nameless, "none has a name", token(r#"{"alg":"EdDSA","kid":"3"}"#, 10), [8, 0]),
            (&named, "an unknown key", token(r#"{"alg":"EdDSA","kid":"x"}"#, 10), [0, 0]),
            (&named, "another algorithm", token(r#"{"alg":"HS256"}"#, 10), [0, 0]),
            (&named, "no algorithm", token(r#"{"alg":"none"}"#, 10), [0, 0]),
            (&named, "too long", token(fine, 8 << 10), [0, 0]),
            (&named, "no header", token("[]", 10), [0, 0]),
            (&named, "a deep header", token(&"[".repeat(4000), 10), [0, 0]),
            (&named, "a critical header", token(r#"{"alg":"EdDSA","crit":[]}"#, 10), [0, 0]),
            (&named, "no parts", "x".repeat(8000), [0, 0]),
            (&named, "nothing but dots", ".".repeat(8000), [0, 0]),
        ] {
            assert_eq!(verified(identities, &token), costs, "{what}");
        }
    }
}
