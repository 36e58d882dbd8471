//! What holds for connections at one door, until another snapshot is published.

use std::{sync::Arc, time::Duration};

use tokio::sync::Semaphore;

use super::h1::Rules;
use crate::{
    bind::Bind,
    peer::{Client, Network},
    snapshot::{Published, Snapshot},
    tls,
};

/// The rules of one door. Connections keep those that they came in by.
#[derive(Debug)]
pub struct House {
    pub(super) bind: Bind,
    generation: u64,
    pub(super) rules: Arc<Rules>,
    pub(super) per_client: u64,
    pub(super) connections_max: u64,
    pub(super) trusted: Vec<Network>,
    pub(super) tls: Option<Lock>,
    /// Whether every connection begins with a PROXY header.
    pub(super) proxy_protocol: bool,
    /// From the accepted connection to the first byte of HTTP.
    pub(super) handshake_wait: Duration,
}

/// What a door that speaks TLS has beside the others.
#[derive(Clone, Debug)]
pub(super) struct Lock {
    pub(super) server: Arc<tls::Server>,
    /// A permit for each handshake in progress.
    pub(super) turns: Arc<Semaphore>,
    turns_max: usize,
}

// === impl House ===

impl House {
    /// What `snapshot` says about the listener that was configured as `bind`.
    pub(super) fn of(snapshot: &Snapshot, bind: &Bind, connections_auto: u64) -> Self {
        let listener = snapshot.listener(bind);
        let limits = listener.map(|listener| listener.limits.clone()).unwrap_or_default();
        let mut rules = Rules::from(&limits);
        rules.h2c = listener.is_some_and(|listener| listener.h2c && listener.tls.is_none());
        rules.underscores.clone_from(&snapshot.config.underscore_headers);
        let lock = |server: &Arc<tls::Server>| {
            let turns_max = usize::try_from(limits.handshakes).unwrap_or(usize::MAX);
            let turns_max = turns_max.min(Semaphore::MAX_PERMITS);
            let turns = Arc::new(Semaphore::new(turns_max));
            Lock { server: server.clone(), turns, turns_max }
        };
        Self {
            bind: bind.clone(),
            generation: snapshot.generation,
            rules: Arc::new(rules),
            per_client: limits.per_client,
            connections_max: limits.connections.unwrap_or(connections_auto),
            trusted: snapshot.config.trusted_proxies.clone(),
            tls: snapshot.tls(bind).map(lock),
            proxy_protocol: listener.is_some_and(|listener| listener.proxy_protocol),
            handshake_wait: limits.handshake_wait,
        }
    }

    /// The same door by the snapshot that is current, if that is another. A listener that it does
    /// not know is about to be closed, and keeps what held for it.
    pub(super) fn renewed(&self, published: &Published, connections_auto: u64) -> Option<Self> {
        let snapshot = published.current();
        if snapshot.generation == self.generation || snapshot.listener(&self.bind).is_none() {
            return None;
        }
        let mut renewed = Self::of(&snapshot, &self.bind, connections_auto);
        // Handshakes that are in progress count on.
        if let (Some(old), Some(new)) = (&self.tls, &mut renewed.tls)
            && old.turns_max == new.turns_max
        {
            new.turns = old.turns.clone();
        }
        Some(renewed)
    }

    /// Whether `client` is of `trusted_proxies`.
    pub(super) fn trusts(&self, client: Client) -> bool {
        self.trusted.iter().any(|network| network.contains(client))
    }
}
