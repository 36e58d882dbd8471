//! What is remembered of tokens, so that each is verified once and not with every request.
//!
//! A worker has one, and nobody else touches it. What is remembered is keyed by the token's SHA-256
//! and by the source that verified it: whoever could make another token with the same digest could
//! as well forge certificates. It never outlives the token's own end, nor the keys that it was
//! verified with: other keys are another source, or another edition of those that an issuer
//! publishes. Tokens themselves are not kept.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustc_hash::FxHashMap;

use super::{Flaw, Moment, source::Proof};
use crate::classify::Identity;

/// How many tokens are remembered that proved somebody, and how many that did not.
const PROVED_MAX: usize = 16_384;
const FLAWED_MAX: usize = 4_096;

/// What is remembered of tokens.
#[derive(Debug)]
pub struct Cache {
    proved: Halves<Proof>,
    /// Apart, so that a flood of bad tokens pushes no good one out.
    flawed: Halves<Flaw>,
}

/// Which keys: the source's number, and the edition of what its issuers publish.
type Keys = (u64, u64);

/// Which token: the keys, and the digest.
type Key = (Keys, [u8; 32]);

/// Two maps, of which the younger takes what is new. When it is full it becomes the elder, and what
/// was in the elder and not asked for meanwhile is forgotten.
#[derive(Debug)]
struct Halves<V> {
    younger: FxHashMap<Key, V>,
    elder: FxHashMap<Key, V>,
    half_max: usize,
}

// === impl Cache ===

impl Cache {
    /// What `verify` said of `token` when it was asked last, or says now.
    pub(super) fn known(
        &mut self,
        keys: Keys,
        token: &[u8],
        now: Moment,
        verify: impl FnOnce() -> Result<Proof, Flaw>,
    ) -> Result<Arc<Identity>, Flaw> {
        let digest = digest(&SHA256, token);
        let digest: [u8; 32] = digest.as_ref().try_into().map_err(|_| Flaw::Malformed)?;
        let key = (keys, digest);
        if let Some(proof) = self.proved.find(&key) {
            if now < proof.until {
                return Ok(proof.identity.clone());
            }
            return Err(Flaw::Expired);
        }
        if let Some(flaw) = self.flawed.find(&key) {
            return Err(*flaw);
        }
        match verify() {
            Ok(proof) => {
                let identity = proof.identity.clone();
                self.proved.keep(key, proof);
                Ok(identity)
            }
            Err(flaw) => {
                // What cost no more than reading is not worth remembering; what may become right
                // as time goes by must not be.
                if matches!(flaw, Flaw::BadSignature | Flaw::Expired) {
                    self.flawed.keep(key, flaw);
                }
                Err(flaw)
            }
        }
    }

    /// How many tokens are remembered.
    pub fn len(&self) -> usize {
        self.proved.len() + self.flawed.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self { proved: Halves::new(PROVED_MAX / 2), flawed: Halves::new(FLAWED_MAX / 2) }
    }
}

// === impl Halves ===

impl<V> Halves<V> {
    fn new(half_max: usize) -> Self {
        Self { younger: FxHashMap::default(), elder: FxHashMap::default(), half_max }
    }

    fn find(&mut self, key: &Key) -> Option<&V> {
        if !self.younger.contains_key(key) {
            let value = self.elder.remove(key)?;
            self.keep(*key, value);
        }
        self.younger.get(key)
    }

    fn keep(&mut self, key: Key, value: V) {
        if self.younger.len() >= self.half_max {
            self.elder = std::mem::take(&mut self.younger);
        }
        self.younger.insert(key, value);
    }

    fn len(&self) -> usize {
        self.younger.len() + self.elder.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Name;

    const ONE: Keys = (1, 0);
    const OTHER: Keys = (2, 0);

    fn proof(until: u64) -> Result<Proof, Flaw> {
        let source = Arc::new(Name::parse("jwt").expect("a name"));
        let identity =
            Identity { subject: "1".into(), roles: Box::default(), claims: Box::default(), source };
        Ok(Proof { identity: Arc::new(identity), until: Moment(until) })
    }

    fn never() -> Result<Proof, Flaw> {
        panic!("it was asked for again")
    }

    #[test]
    fn a_token_is_verified_once_and_not_believed_beyond_its_end() {
        let mut cache = Cache::default();
        assert!(cache.known(ONE, b"token", Moment(10), || proof(20)).is_ok());
        assert!(cache.known(ONE, b"token", Moment(19), never).is_ok());
        assert_eq!(cache.known(ONE, b"token", Moment(20), never), Err(Flaw::Expired));
        assert_eq!(cache.len(), 1);
    }

    #[test]
    fn other_keys_verify_anew() {
        let mut cache = Cache::default();
        assert!(cache.known(ONE, b"token", Moment(10), || proof(20)).is_ok());
        let other = cache.known(OTHER, b"token", Moment(10), || Err(Flaw::BadSignature));
        assert_eq!(other, Err(Flaw::BadSignature));
        assert!(cache.known(ONE, b"token", Moment(10), never).is_ok());
        let rotated = cache.known((1, 1), b"token", Moment(10), || Err(Flaw::UnknownKey));
        assert_eq!(rotated, Err(Flaw::UnknownKey), "what an issuer has taken back proves nothing");
    }

    #[test]
    fn what_time_may_heal_is_not_remembered() {
        let mut cache = Cache::default();
        let early = cache.known(ONE, b"token", Moment(10), || Err(Flaw::NotYetValid));
        assert_eq!(early, Err(Flaw::NotYetValid));
        assert!(cache.known(ONE, b"token", Moment(11), || proof(20)).is_ok());
        let forged = cache.known(ONE, b"forged", Moment(10), || Err(Flaw::BadSignature));
        assert_eq!(forged, Err(Flaw::BadSignature));
        assert_eq!(cache.known(ONE, b"forged", Moment(10), never), Err(Flaw::BadSignature));
    }

    #[test]
    fn it_is_bounded_and_forgets_what_is_not_asked_for() {
        let mut cache = Cache::default();
        assert!(cache.known(ONE, b"regular", Moment(1), || proof(20)).is_ok());
        for token in 0..100_000_u32 {
            let token = token.to_le_bytes();
            assert!(cache.known(ONE, &token, Moment(1), || proof(20)).is_ok());
            assert!(cache.known(ONE, b"regular", Moment(1), never).is_ok());
            let bad = cache.known(OTHER, &token, Moment(1), || Err(Flaw::BadSignature));
            assert_eq!(bad, Err(Flaw::BadSignature));
        }
        assert!(cache.len() <= PROVED_MAX + FLAWED_MAX, "{}", cache.len());
    }
}
