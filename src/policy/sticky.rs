//! Where somebody stands, between 0 and 1: always at the same place, on every replica.
//!
//! A share of everybody is whoever stands below it. So it is **monotone**: who belongs to 5 %
//! belongs to 10 % as well, and raising a share moves nobody back. And it is **independent**
//! between salts: who is among the first of one thing is no likelier to be among the first of
//! another. Nothing is stored, and nothing is agreed on between replicas.
//!
//! This is the only hash by which anybody is chosen, for a share as for the endpoint of a pool with
//! `balance: hash`. It is public (`docs/sticky.md`), so that an application can work out where its
//! own users stand; changing it moves everybody.

use sha2::{Digest, Sha256};

/// Where somebody stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(u64);

// === impl Place ===

impl Place {
    /// Where `who` stands in what is called `salt`.
    ///
    /// The first 64 bits, big end first, of SHA-256 over the salt's length (64 bits, big end
    /// first), the salt and `who`: the same in every version and on every machine, and even however
    /// alike ids are.
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

    /// Where this and `other` stand together: elsewhere for each pair, at no cost to speak of. For
    /// choosing one of several things that have places of their own.
    pub fn beside(self, other: Self) -> Self {
        Self(mix(self.0 ^ other.0))
    }
}

/// SplitMix64's finaliser: every bit of the input reaches every bit of the output.
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests;
