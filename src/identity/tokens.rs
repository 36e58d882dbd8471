//! JSON Web Tokens.

use std::{borrow::Cow, sync::Arc};

use http::HeaderName;

use super::{
    Evidence, Flaw, Keys, Moment, Place, Published, Terms, jose::Unverified, source::Proof,
};
use crate::name::Name;

/// Where JSON Web Tokens stand, who signs them, and what they have to say.
#[derive(Debug)]
pub struct Tokens {
    places: Vec<Place>,
    keys: Keys,
    terms: Terms,
}

// === impl Tokens ===

impl Tokens {
    /// Tokens that stand in one of `places`, were signed with one of `keys` and say what `terms`
    /// ask for.
    pub fn new(places: Vec<Place>, keys: Keys, terms: Terms) -> Self {
        Self { places, keys, terms }
    }

    /// The fields that they stand in.
    pub(super) fn fields(&self) -> impl Iterator<Item = HeaderName> {
        self.places.iter().filter_map(Place::field)
    }

    /// The token in the first place that has one.
    pub(super) fn read<'a>(&self, evidence: &Evidence<'a>) -> Option<Cow<'a, [u8]>> {
        self.places.iter().find_map(|place| place.read(evidence))
    }

    /// What `token` proves.
    pub(super) fn verify(
        &self,
        token: &[u8],
        source: &Arc<Name>,
        now: Moment,
    ) -> Result<Proof, Flaw> {
        let token = Unverified::parse(token)?;
        self.keys.verify(&token)?;
        self.terms.judge(&token.claims()?, source, now)
    }

    /// Which keys they are verified with now: another number, other keys.
    pub(super) fn edition(&self) -> u64 {
        self.keys.edition()
    }

    /// The keys that come from somewhere else.
    pub(super) fn published(&self) -> impl Iterator<Item = &Published> {
        self.keys.published()
    }

    pub(super) fn looks_at(&self) -> String {
        let places: Vec<String> = self.places.iter().map(Place::to_string).collect();
        places.join(" or ")
    }
}
