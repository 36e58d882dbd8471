//! What seals session tickets, and opens them again.
//!
//! A ticket is a session that its client keeps for us. A key seals for six hours and opens for as
//! long again, so that whoever steals one reads hours:
//!
//! ```text
//! made ─── seals and opens ───▶ 6 h ─── opens ───▶ 12 h: is of no use any more
//! ```
//!
//! rustls has such keys as well, and keeps them to itself: none could be handed to the process that
//! takes over, and every client would shake hands in full with that one.
//!
//! **Invariant.** A ticket is opened by the listener that sealed it, for as long as that asks the
//! same of its clients, and by no other: each has keys of its own, and what a key seals is bound to
//! the policy besides. Keys that come from another process are taken under the same terms.

mod key;

use std::{
    fmt,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::server::ProducesTickets;
use sha2::{Digest, Sha256};

use super::{Clients, KeptTickets, ServerSpec, Version};

use key::{Key, NAME_BYTES, SEAL};

/// For how long a key seals, in seconds. They are those of the clock on the wall, which goes on
/// while a machine sleeps.
const SEALS: u64 = 6 * 60 * 60;

/// For how long it opens, from when it was made, in seconds.
const OPENS: u64 = 12 * 60 * 60;

/// Whose sessions lie in the tickets: what another version has written may read otherwise.
const SESSIONS: &str = "rustls 0.23";

/// What seals the tickets of one listener. It stays when certificates are renewed, so that sessions
/// go on, and goes when the listener asks for other client certificates, so that none is carried
/// over.
#[derive(Clone, Debug)]
pub struct Tickets(Arc<Sealer>);

struct Sealer {
    /// What a ticket vouches for, as a digest.
    policy: Box<str>,
    keys: ArcSwap<Keys>,
    /// Held by who changes keys.
    turn: Mutex<()>,
}

/// The keys of a moment.
struct Keys {
    sealing: Arc<Key>,
    before: Option<Arc<Key>>,
}

// === impl Tickets ===

impl Tickets {
    /// What seals the tickets of a listener with `spec`: `known`, if they may go on.
    ///
    /// `None` when the system gives no random bytes: sessions are not resumed then.
    pub fn of(spec: &ServerSpec, known: Option<Self>) -> Option<Self> {
        let policy = policy(spec);
        if let Some(known) = known.filter(|known| known.0.policy == policy) {
            return Some(known);
        }
        let sealing = Arc::new(Key::draw(now())?);
        let keys = ArcSwap::from_pointee(Keys { sealing, before: None });
        Some(Self(Arc::new(Sealer { policy, keys, turn: Mutex::default() })))
    }

    /// For rustls.
    pub(super) fn producer(&self) -> Arc<dyn ProducesTickets> {
        self.0.clone()
    }

    /// The keys of `listener`, for the process that takes over. They go on here.
    pub fn keep(&self, listener: String) -> KeptTickets {
        let (keys, now) = (self.0.keys.load(), now());
        let living = keys.all().filter(|key| key.age(now) < OPENS);
        let keys = living.map(|key| key.keep()).collect();
        KeptTickets { listener, policy: self.0.policy.to_string(), seal: SEAL.to_owned(), keys }
    }

    /// Goes on with the keys of another process, where they are for the same policy. Those that
    /// were here until then are forgotten: nobody has a ticket of theirs.
    pub fn take_over(&self, kept: &KeptTickets) {
        self.0.take_over(kept, now());
    }
}

// === impl Sealer ===

impl Sealer {
    fn take_over(&self, kept: &KeptTickets, now: u64) {
        if *kept.policy != *self.policy || kept.seal != SEAL {
            return;
        }
        let mut taken: Vec<_> = kept.keys.iter().filter_map(|key| Key::taken(key, now)).collect();
        taken.sort_by_key(|key| key.age(now));
        let _turn = self.turn.lock();
        let known = self.keys.load();
        if known.all().any(|known| taken.iter().any(|key| key.name == known.name)) {
            // It has been said before, and this process may have turned since.
            return;
        }
        let mut taken = taken.into_iter().map(Arc::new);
        if let Some(sealing) = taken.next() {
            self.keys.store(Arc::new(Keys { sealing, before: taken.next() }));
        }
    }

    fn seal(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        if keys.sealing.age(now) < SEALS {
            return keys.sealing.seal(session, &self.policy);
        }
        self.turned(now)?.sealing.seal(session, &self.policy)
    }

    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, sealed) = ticket.split_at_checked(NAME_BYTES)?;
        let keys = self.keys.load();
        let key = keys.all().find(|key| key.name == name)?;
        if key.age(now) < OPENS { key.open(sealed, &self.policy) } else { None }
    }

    /// The keys with one that seals at `now`: the one that sealed before only opens.
    fn turned(&self, now: u64) -> Option<Arc<Keys>> {
        let _turn = self.turn.lock();
        let known = self.keys.load_full();
        if known.sealing.age(now) < SEALS {
            // Another has done it meanwhile.
            return Some(known);
        }
        let before = Some(known.sealing.clone()).filter(|key| key.age(now) < OPENS);
        let keys = Arc::new(Keys { sealing: Arc::new(Key::draw(now)?), before });
        self.keys.store(keys.clone());
        Some(keys)
    }
}

impl ProducesTickets for Sealer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        OPENS as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, now())
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").field("policy", &self.policy).finish_non_exhaustive()
    }
}

// === impl Keys ===

impl Keys {
    fn all(&self) -> impl Iterator<Item = &Arc<Key>> {
        std::iter::once(&self.sealing).chain(&self.before)
    }
}

// === free functions ===

/// What a ticket of a listener with `spec` vouches for, in this process and in every other one:
/// whose certificate was asked for, and the lowest version that was spoken.
fn policy(spec: &ServerSpec) -> Box<str> {
    let lowest = match spec.lowest {
        Version::Tls12 => "1.2",
        Version::Tls13 => "1.3",
    };
    let clients = match &spec.clients {
        None => "none".to_owned(),
        Some(Clients { roots, required: true }) => format!("required {}", roots.fingerprint()),
        Some(Clients { roots, required: false }) => format!("optional {}", roots.fingerprint()),
    };
    let text = format!("sessions: {SESSIONS}\nlowest: {lowest}\nclients: {clients}\n");
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests;
