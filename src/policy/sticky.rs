//! Where somebody stands, between 0 and 1: always at the same place, on every replica.
//!
//! A share of everybody is whoever stands below it. So it is **monotone**: who belongs to 5 %
//! belongs to 10 % as well, and raising a share moves nobody back. And it is **independent**
//! between salts: who is among the first of one thing is no likelier to be among the first of
//! another. Nothing is stored, and nothing is agreed on between replicas.

use sha2::{Digest, Sha256};

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

// === impl Place ===

impl Place {
    /// Where `who` stands in what is called `salt`.
    ///
    /// The first 64 bits of SHA-256 over the salt's length, the salt and `who`: the same in every
    /// version and on every machine, and even however alike ids are.
    pub fn of(salt: &str, who: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update((salt.len() as u64).to_be_bytes());
        hash.update(salt);
        hash.update(who);
        let digest: [u8; 32] = hash.finalize().into();
        let (first, _) = digest.split_first_chunk().expect("32 bytes are more than 8");
        Self(u64::from_be_bytes(*first))
    }

    /// Whether it is within `share`: 0 is nobody, 1 everybody.
    pub fn is_within(self, share: f64) -> bool {
        share >= 1.0 || self.fraction() < share
    }

    /// From 0 on, and below 1.
    pub fn fraction(self) -> f64 {
        // 53 bits are what a fraction can tell apart.
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// As a number, for choices between things rather than shares.
    pub fn bits(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// How many of 20,000 users with plain ids stand where `fits` says.
    fn share(fits: impl Fn(&[u8]) -> bool) -> f64 {
        let users = 1..=20_000;
        let fitting = users.filter(|id: &u32| fits(id.to_string().as_bytes())).count();
        fitting as f64 / 20_000.0
    }

    #[test]
    fn it_is_the_same_in_every_version() {
        assert_eq!(Place::of("release-7", b"42").bits(), 0x5309_ca01_3271_7457);
        assert_eq!(Place::of("", b"").bits(), 0xaf55_70f5_a181_0b7a);
    }

    #[test]
    fn a_share_of_users_is_that_share() {
        for wanted in [0.01, 0.05, 0.5, 0.9] {
            let found = share(|user| Place::of("release-7", user).is_within(wanted));
            assert!((found - wanted).abs() < 0.01, "{found} and not {wanted}");
        }
        assert!(share(|user| Place::of("x", user).is_within(0.0)) == 0.0);
        assert!(share(|user| Place::of("x", user).is_within(1.0)) == 1.0);
    }

    #[test]
    fn salts_are_independent_of_one_another() {
        let both = share(|user| {
            Place::of("a", user).is_within(0.3) && Place::of("b", user).is_within(0.3)
        });
        assert!((both - 0.09).abs() < 0.01, "{both}");
        assert_ne!(Place::of("ab", b"c"), Place::of("a", b"bc"), "where the salt ends counts");
    }

    proptest! {
        #[test]
        fn a_larger_share_holds_everybody_of_a_smaller_one(
            salt in ".{0,20}", who in ".{0,40}", one in 0.0..=1.0, other in 0.0..=1.0,
        ) {
            let place = Place::of(&salt, who.as_bytes());
            let (less, more) = if one < other { (one, other) } else { (other, one) };
            prop_assert!(!place.is_within(less) || place.is_within(more));
            prop_assert_eq!(place, Place::of(&salt, who.as_bytes()));
        }
    }
}
