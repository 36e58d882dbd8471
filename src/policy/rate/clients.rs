//! How often each client has asked, in a table of fixed size.
//!
//! A cell is one word: 16 bits of the client's key and 48 bits of the moment, in microseconds, at
//! which its bucket is full again. Eight cells are a set and lie in one line of the cache; a client
//! has its cell in the one set that its key names. Everything is done by compare-and-swap, so that
//! workers need not wait for one another, and a cell that has come to rest needs no sweeping: a
//! bucket that is full is as good as none.
//!
//! A set that is full of clients which are being counted lets go of the one whose bucket is full
//! soonest. It is counted anew when it comes again: when there are more clients than cells, some
//! are let through that should not be, and nobody is refused for what another did. Two clients are
//! taken for one where set and tag agree, which happens to one of ten thousand in a full table. The
//! key is hashed with a secret of the process, so that nobody can choose to be somebody else.

use std::{
    hash::{BuildHasher, RandomState},
    net::IpAddr,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use super::Terms;
use crate::peer::Client;

/// Ticks a second.
pub(super) const TICKS: u64 = 1_000_000;

/// Cells in a set.
const WAYS: usize = 8;
const SETS: usize = 8192;

/// How many clients of one audience are counted at a time; half a MiB of memory.
pub const CLIENTS_MAX: usize = WAYS * SETS;

const MOMENT_BITS: u32 = 48;
const MOMENT: u64 = (1 << MOMENT_BITS) - 1;

/// How often a set is looked at again because others changed it meanwhile.
const LOOKS: usize = 8;

/// Every client that has asked lately. Made when the first one does.
#[derive(Debug)]
pub struct Clients {
    sets: OnceLock<Box<[Set]>>,
    secret: RandomState,
    forgotten: AtomicU64,
}

/// Cells that lie together.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([AtomicU64; WAYS]);

// === impl Clients ===

impl Clients {
    pub(super) fn new() -> Self {
        let forgotten = AtomicU64::new(0);
        Self { sets: OnceLock::new(), secret: RandomState::new(), forgotten }
    }

    /// Takes one from the bucket of the client with this `key`, or tells in how long there is one.
    pub(super) fn take(&self, key: u128, now: u64, terms: Terms) -> Result<(), u64> {
        let sets = self.sets.get_or_init(|| (0..SETS).map(|_| Set::default()).collect());
        let hash = self.secret.hash_one(key);
        let cells = &sets[hash as usize % SETS].0;
        // An empty cell is 0, so no tag is.
        let tag = (hash >> MOMENT_BITS).max(1) << MOMENT_BITS;
        for _ in 0..LOOKS {
            let words: [u64; WAYS] = std::array::from_fn(|way| cells[way].load(Relaxed));
            let own = words.iter().position(|word| word & !MOMENT == tag);
            let way = own.unwrap_or_else(|| soonest(&words));
            let full = if own.is_some() { words[way] & MOMENT } else { 0 };
            let next = terms.take(full, now)?.min(MOMENT);
            let swapped = cells[way].compare_exchange(words[way], tag | next, Relaxed, Relaxed);
            if swapped.is_ok() {
                if own.is_none() && words[way] & MOMENT > now {
                    self.forgotten.fetch_add(1, Relaxed);
                }
                return Ok(());
            }
        }
        // So many others at the very same moment: nobody is refused for that.
        Ok(())
    }

    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten.load(Relaxed)
    }
}

/// The cell that is full soonest, or has been for longest.
fn soonest(words: &[u64; WAYS]) -> usize {
    let mut ways = 0..WAYS;
    let first = ways.next().unwrap_or_default();
    ways.fold(
        first,
        |best, way| if words[way] & MOMENT < words[best] & MOMENT { way } else { best },
    )
}

/// What makes two addresses one client: with IPv6 a household has a network of 64 bits, and as many
/// addresses in it as it likes (RFC 6177).
pub(super) fn client_key(client: Client) -> u128 {
    match client {
        Client::Ip(IpAddr::V4(address)) => u128::from(address.to_bits()),
        Client::Ip(IpAddr::V6(address)) => address.to_bits() >> 64 << 64 | 1 << 63,
        // No address of IPv4 is as large, and none of IPv6 is as small.
        Client::Unix => 1 << 32,
    }
}
