//! Who is here: open connections, over all, by listener and by client address.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

use crate::{bind::Bind, peer::Client};

/// Counts connections. It is written when one opens or closes, never for a request.
#[derive(Debug, Default)]
pub struct Census {
    total: AtomicU64,
    listeners: Mutex<Vec<Known>>,
    clients: Mutex<FxHashMap<Client, u64>>,
    /// Told when a connection has closed.
    left: Notify,
}

#[derive(Debug)]
struct Known {
    address: Bind,
    configured: Bind,
    counts: Arc<Counts>,
}

/// What is counted at one listener.
#[derive(Debug, Default)]
pub struct Counts {
    connections: AtomicU64,
    handshakes: [AtomicU64; Handshake::ALL.len()],
    introductions: [AtomicU64; Introduction::ALL.len()],
}

/// A listener's counts, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Where it listens.
    pub listener: Bind,
    /// What was configured for it.
    pub configured: Bind,
    /// Connections that are open.
    pub connections: u64,
    /// TLS handshakes so far, in the order of [`Handshake::ALL`].
    pub handshakes: [u64; Handshake::ALL.len()],
    /// PROXY headers so far, in the order of [`Introduction::ALL`].
    pub introductions: [u64; Introduction::ALL.len()],
}

/// What became of a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduction {
    /// It names a client.
    Client,
    /// Its sender speaks for itself.
    Sender,
    /// The peer is nobody who may send one.
    Untrusted,
    /// There is none, or it is malformed.
    Malformed,
    /// It did not come in time.
    Late,
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    /// Well, with certificate and signature.
    Full,
    /// Well, out of an earlier session.
    Resumed,
    /// The two do not understand each other, or the client left.
    Failed,
    /// It took too long.
    Late,
    /// The client asked for a name that is not served.
    UnknownName,
}

/// A connection's place. Dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    census: Arc<Census>,
    listener: Arc<Counts>,
    client: Option<Client>,
}

// === impl Census ===

impl Census {
    /// The counts of the listener at `address`, which was `configured` so, from now until it is
    /// forgotten.
    pub fn listener(&self, address: Bind, configured: Bind) -> Arc<Counts> {
        let mut listeners = self.listeners.lock();
        if let Some(known) = listeners.iter().find(|known| known.address == address) {
            return known.counts.clone();
        }
        let counts = Arc::<Counts>::default();
        listeners.push(Known { address, configured, counts: counts.clone() });
        counts
    }

    /// Every listener's counts. One that was removed is told of until its last
    /// connection has closed.
    pub fn listeners(&self) -> Vec<Reading> {
        let mut listeners = self.listeners.lock();
        // Held by its door or by a connection besides this list.
        listeners.retain(|known| Arc::strong_count(&known.counts) > 1);
        let read = |Known { address, configured, counts }: &Known| Reading {
            listener: address.clone(),
            configured: configured.clone(),
            connections: counts.connections.load(Ordering::Relaxed),
            handshakes: counts.handshakes.each_ref().map(|count| count.load(Ordering::Relaxed)),
            introductions: counts.introductions.each_ref().map(|it| it.load(Ordering::Relaxed)),
        };
        listeners.iter().map(read).collect()
    }

    /// A place for a connection from `client`, unless that address has `per_client` already.
    ///
    /// `None` for `client` is a trusted proxy, behind which there are many.
    pub fn enter(
        self: &Arc<Self>,
        listener: &Arc<Counts>,
        client: Option<Client>,
        per_client: u64,
    ) -> Option<Place> {
        if let Some(client) = client {
            let mut clients = self.clients.lock();
            let here = clients.entry(client).or_default();
            if *here >= per_client {
                return None;
            }
            *here += 1;
        }
        self.total.fetch_add(1, Ordering::Relaxed);
        listener.connections.fetch_add(1, Ordering::Relaxed);
        Some(Place { census: self.clone(), listener: listener.clone(), client })
    }

    /// Ready once there are fewer than `max` connections.
    pub async fn room(&self, max: u64) {
        loop {
            let left = self.left.notified();
            if self.total() < max {
                return;
            }
            left.await;
        }
    }

    /// Open connections.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

// === impl Introduction ===

impl Introduction {
    /// Everything there is.
    pub const ALL: [Introduction; 5] = [
        Introduction::Client,
        Introduction::Sender,
        Introduction::Untrusted,
        Introduction::Malformed,
        Introduction::Late,
    ];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Introduction::Client => "client",
            Introduction::Sender => "sender",
            Introduction::Untrusted => "untrusted",
            Introduction::Malformed => "malformed",
            Introduction::Late => "late",
        }
    }
}

// === impl Handshake ===

impl Handshake {
    /// Every end there is.
    pub const ALL: [Handshake; 5] = [
        Handshake::Full,
        Handshake::Resumed,
        Handshake::Failed,
        Handshake::Late,
        Handshake::UnknownName,
    ];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Handshake::Full => "full",
            Handshake::Resumed => "resumed",
            Handshake::Failed => "failed",
            Handshake::Late => "late",
            Handshake::UnknownName => "unknown_name",
        }
    }
}

// === impl Place ===

impl Place {
    /// Counts the connection as one of `client`, who has been found behind the peer. False when
    /// that address has `per_client` already.
    pub fn belongs_to(&mut self, client: Client, per_client: u64) -> bool {
        let mut clients = self.census.clients.lock();
        let here = clients.entry(client).or_default();
        if *here >= per_client {
            return false;
        }
        *here += 1;
        self.client = Some(client);
        true
    }

    /// Counts a PROXY header that was read, or not.
    pub fn introduced(&self, end: Introduction) {
        self.listener.introductions[end as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a TLS handshake that ended.
    pub fn shook_hands(&self, end: Handshake) {
        self.listener.handshakes[end as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let census = &self.census;
        if let Some(client) = self.client {
            let mut clients = census.clients.lock();
            if let Some(here) = clients.get_mut(&client) {
                *here -= 1;
                if *here == 0 {
                    clients.remove(&client);
                }
            }
        }
        self.listener.connections.fetch_sub(1, Ordering::Relaxed);
        census.total.fetch_sub(1, Ordering::Relaxed);
        census.left.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_take_more_than_its_share_and_leaves_nothing_behind() {
        let census = Arc::new(Census::default());
        let address = Bind::Tcp(([127, 0, 0, 1], 80).into());
        let listener = census.listener(address.clone(), address.clone());
        let client = Some(Client::Ip([10, 0, 0, 1].into()));
        let first = census.enter(&listener, client, 2);
        let second = census.enter(&listener, client, 2);
        assert!(first.is_some() && second.is_some());
        assert!(census.enter(&listener, client, 2).is_none());
        assert!(census.enter(&listener, Some(Client::Ip([10, 0, 0, 2].into())), 2).is_some());
        assert!(census.enter(&listener, None, 0).is_some(), "a trusted proxy has no share");
        drop(first);
        assert!(census.enter(&listener, client, 2).is_some());
        drop(second);
        assert_eq!(census.total(), 0);
        let reading = Reading {
            listener: address.clone(),
            configured: address,
            connections: 0,
            handshakes: Default::default(),
            introductions: Default::default(),
        };
        assert_eq!(census.listeners(), [reading]);
        drop(listener);
        assert_eq!(census.listeners(), [], "a listener that has gone is forgotten");
        assert!(census.clients.lock().is_empty());
    }
}
