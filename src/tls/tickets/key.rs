//! One key that seals tickets.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey},
    rand,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::OPENS;
use crate::tls::kept::{KeptKey, Secret};

/// How a key seals: with a nonce drawn for each ticket, of which 2³² are safe with one key. Six
/// hours of 100,000 handshakes a second are as many.
pub const SEAL: &str = "AES-256-GCM";

/// The longest ticket that TLS can carry.
pub const TICKET_BYTES_MAX: usize = u16::MAX as usize;

/// What a ticket is longer than the session in it.
pub const BESIDE_BYTES: usize = NAME_BYTES + NONCE_LEN + TAG_BYTES;

pub const NAME_BYTES: usize = 16;
pub const SECRET_BYTES: usize = 32;
const TAG_BYTES: usize = 16;

/// One key.
pub struct Key {
    /// What its tickets begin with.
    pub name: [u8; NAME_BYTES],
    secret: Zeroizing<Box<[u8]>>,
    /// Wipes its own copy of the secret.
    cipher: RandomizedNonceKey,
    /// In seconds since 1970.
    made: u64,
}

// === impl Key ===

impl Key {
    /// A new one; none when the system gives no random bytes.
    pub fn draw(made: u64) -> Option<Self> {
        let (mut name, mut secret) = ([0; NAME_BYTES], blank());
        rand::fill(&mut name).ok()?;
        rand::fill(&mut secret).ok()?;
        Self::new(name, secret, made)
    }

    fn new(name: [u8; NAME_BYTES], secret: Zeroizing<Box<[u8]>>, made: u64) -> Option<Self> {
        let cipher = RandomizedNonceKey::new(&AES_256_GCM, &secret).ok()?;
        Some(Self { name, secret, cipher, made })
    }

    /// The one that another process has kept; none when it is no such key, or too old.
    pub fn taken(kept: &KeptKey, now: u64) -> Option<Self> {
        let name = STANDARD.decode(&kept.name).ok()?.try_into().ok()?;
        let mut secret = blank();
        let length = STANDARD.decode_slice(kept.secret.text(), &mut secret).ok()?;
        let key = Self::new(name, secret, kept.made)?;
        (length == SECRET_BYTES && key.age(now) < OPENS).then_some(key)
    }

    /// As another process is told of it.
    pub fn keep(&self) -> KeptKey {
        KeptKey {
            made: self.made,
            name: STANDARD.encode(self.name),
            secret: Secret::new(STANDARD.encode(&*self.secret)),
        }
    }

    /// How old it is at `now`, in seconds. A clock that was set back by much makes it old as well:
    /// else it would go on until the clock is again where it was.
    pub fn age(&self, now: u64) -> u64 {
        now.abs_diff(self.made)
    }

    /// The key's name, a nonce, the session as nobody can read it, a tag.
    pub fn seal(&self, session: &[u8], policy: &str) -> Option<Vec<u8>> {
        let bytes = session.len() + BESIDE_BYTES;
        if bytes > TICKET_BYTES_MAX {
            return None;
        }
        let mut ticket = Vec::with_capacity(bytes);
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&[0; NONCE_LEN]);
        ticket.extend_from_slice(session);
        let (head, sealed) = ticket.split_at_mut(NAME_BYTES + NONCE_LEN);
        let aad = Aad::from(policy.as_bytes());
        let (nonce, tag) = self.cipher.seal_in_place_separate_tag(aad, sealed).ok()?;
        head[NAME_BYTES..].copy_from_slice(nonce.as_ref());
        ticket.extend_from_slice(tag.as_ref());
        Some(ticket)
    }

    /// What was sealed, out of what stands behind the name.
    pub fn open(&self, sealed: &[u8], policy: &str) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut session = sealed.to_vec();
        let aad = Aad::from(policy.as_bytes());
        let length = self.cipher.open_in_place(nonce, aad, &mut session).ok()?.len();
        session.truncate(length);
        Some(session)
    }
}

// === free functions ===

/// Room for a secret.
fn blank() -> Zeroizing<Box<[u8]>> {
    Zeroizing::new(vec![0; SECRET_BYTES].into_boxed_slice())
}
