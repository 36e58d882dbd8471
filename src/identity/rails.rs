//! Cookies as Rails signs and encrypts them, read and never written.
//!
//! Three forms (`ActionDispatch::Cookies`, `ActiveSupport::MessageEncryptor` and `MessageVerifier`
//! of Rails 5.2 to 7.2): encrypted with AES-256-GCM; encrypted with AES-256-CBC and signed (before
//! Rails 5.2, and applications that kept it); and signed alone. What is inside is JSON, or it is
//! refused: Marshal is never parsed.

mod envelope;
mod keys;

use std::{borrow::Cow, sync::Arc};

use super::{Evidence, Flaw, Moment, Place, Terms, source::Proof};
use crate::name::Name;

use envelope::Envelope;

pub use keys::{RailsDigest, RailsForm, RailsKey, RailsKeyError, RailsSalts};

/// Cookies as Rails writes them.
#[derive(Debug)]
pub struct RailsCookie {
    name: String,
    place: Place,
    keys: Vec<RailsKey>,
    terms: Terms,
    /// Whether a cookie has to say what it is for, as those since Rails 5.2 do.
    purpose_required: bool,
}

// === impl RailsCookie ===

impl RailsCookie {
    /// Cookies called `name`, made with one of `keys`.
    pub fn new(name: String, keys: Vec<RailsKey>, terms: Terms, purpose_required: bool) -> Self {
        Self { place: Place::Cookie(name.clone()), name, keys, terms, purpose_required }
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
        let mut flaw = Flaw::BadSignature;
        let opened = self.keys.iter().find_map(|key| match key.open(cookie) {
            Ok(opened) => Some(opened),
            Err(found) => {
                flaw = found;
                None
            }
        });
        let envelope = Envelope::open(&opened.ok_or(flaw)?)?;
        let until = envelope.until(now)?;
        envelope.is_for(&self.name, self.purpose_required)?;
        let identity = self.terms.identity(&envelope.message()?, source)?;
        Ok(Proof { identity: Arc::new(identity), until })
    }

    pub(super) fn looks_at(&self) -> String {
        self.place.to_string()
    }
}
