//! usher's own cookie: what the application says of a user, and its signature.
//!
//! `PAYLOAD.SIGNATURE`, both in base64url without padding. The payload is a JSON object with `sub`,
//! `exp` and what else the application wants to say; the signature is the application's over
//! `usher-identity.PAYLOAD`, by Ed25519, or by ECDSA on P-256 with SHA-256 as OpenSSL writes it.
//! The words in front are signed as well, so that nothing that is signed elsewhere with the same
//! key can be taken for such a cookie.

use std::{borrow::Cow, sync::Arc};

use serde_json::Value;

use super::{
    Evidence, Flaw, Keys, Moment, Place, Terms,
    jose::{decode, object},
    source::Proof,
};
use crate::name::Name;

/// What is signed in front of every payload.
const PREFIX: &[u8] = b"usher-identity.";

/// Cookies of usher's own kind.
#[derive(Debug)]
pub struct Signed {
    place: Place,
    keys: Keys,
    terms: Terms,
}

// === impl Signed ===

impl Signed {
    /// Cookies called `cookie`, signed with one of `keys`.
    pub fn new(cookie: String, keys: Keys, terms: Terms) -> Self {
        Self { place: Place::Cookie(cookie), keys, terms }
    }

    pub(super) fn read<'a>(&self, evidence: &Evidence<'a>) -> Option<Cow<'a, [u8]>> {
        self.place.read(evidence)
    }

    /// What `cookie` proves.
    pub(super) fn verify(
        &self,
        cookie: &[u8],
        source: &Arc<Name>,
        now: Moment,
    ) -> Result<Proof, Flaw> {
        let dot = memchr::memchr(b'.', cookie).ok_or(Flaw::Malformed)?;
        let (payload, signature) = (&cookie[..dot], decode(&cookie[dot + 1..])?);
        let signed = [PREFIX, payload].concat();
        if !self.keys.own().any(|key| key.signed_by_openssl(&signed, &signature)) {
            return Err(Flaw::BadSignature);
        }
        self.terms.judge(&Value::Object(object(&decode(payload)?)?), source, now)
    }

    pub(super) fn looks_at(&self) -> String {
        self.place.to_string()
    }
}
