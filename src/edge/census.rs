//! Who is here: open connections, over all, by listener and by client address.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;

/// Counts connections. It is written when one opens or closes, never for a request.
#[derive(Debug, Default)]
pub struct Census {
    total: AtomicU64,
    listeners: Mutex<Vec<(SocketAddr, Arc<AtomicU64>)>>,
    clients: Mutex<FxHashMap<IpAddr, u64>>,
    /// Told when a connection has closed.
    left: Notify,
}

/// A connection's place. Dropping it makes room for another.
#[derive(Debug)]
pub struct Place {
    census: Arc<Census>,
    listener: Arc<AtomicU64>,
    client: Option<IpAddr>,
}

// === impl Census ===

impl Census {
    /// The count of connections at the listener `address`, from now until it is forgotten.
    pub fn listener(&self, address: SocketAddr) -> Arc<AtomicU64> {
        let mut listeners = self.listeners.lock();
        if let Some((_, count)) = listeners.iter().find(|(known, _)| *known == address) {
            return count.clone();
        }
        let count = Arc::new(AtomicU64::new(0));
        listeners.push((address, count.clone()));
        count
    }

    /// Every listener's open connections. One that was removed is told of until its last
    /// connection has closed.
    pub fn listeners(&self) -> Vec<(SocketAddr, u64)> {
        let mut listeners = self.listeners.lock();
        listeners.retain(|(_, count)| {
            // Held by its door or by a connection besides this list.
            Arc::strong_count(count) > 1
        });
        let read = |(address, count): &(SocketAddr, Arc<AtomicU64>)| {
            (*address, count.load(Ordering::Relaxed))
        };
        listeners.iter().map(read).collect()
    }

    /// A place for a connection from `client`, unless that address has `per_client` already.
    ///
    /// `None` for `client` is a trusted proxy, behind which there are many.
    pub fn enter(
        self: &Arc<Self>,
        listener: &Arc<AtomicU64>,
        client: Option<IpAddr>,
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
        listener.fetch_add(1, Ordering::Relaxed);
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

// === impl Place ===

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
        self.listener.fetch_sub(1, Ordering::Relaxed);
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
        let listener = census.listener(([127, 0, 0, 1], 80).into());
        let client = Some([10, 0, 0, 1].into());
        let first = census.enter(&listener, client, 2);
        let second = census.enter(&listener, client, 2);
        assert!(first.is_some() && second.is_some());
        assert!(census.enter(&listener, client, 2).is_none());
        assert!(census.enter(&listener, Some([10, 0, 0, 2].into()), 2).is_some());
        assert!(census.enter(&listener, None, 0).is_some(), "a trusted proxy has no share");
        drop(first);
        assert!(census.enter(&listener, client, 2).is_some());
        drop(second);
        assert_eq!(census.total(), 0);
        assert_eq!(census.listeners(), [(([127, 0, 0, 1], 80).into(), 0)]);
        drop(listener);
        assert_eq!(census.listeners(), [], "a listener that has gone is forgotten");
        assert!(census.clients.lock().is_empty());
    }
}
