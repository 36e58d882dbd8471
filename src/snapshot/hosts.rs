//! The TLS of listeners: kept while what is written of it stays, and its tickets for longer.

use std::sync::Arc;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use crate::{
    bind::Bind,
    config::Config,
    tls::{self, KeptTickets, ServerSpec, Tickets},
};

/// The TLS of all listeners. Sessions are resumed by tickets that are sealed by one listener and
/// opened by no other, so that none carries what one listener asks for past another.
#[derive(Debug, Default)]
pub struct Hosts(Mutex<FxHashMap<Bind, Host>>);

/// The TLS of a listener.
#[derive(Debug)]
struct Host {
    spec: Arc<ServerSpec>,
    server: Arc<tls::Server>,
    tickets: Option<Tickets>,
}

// === impl Hosts ===

impl Hosts {
    /// What each listener of `config` that speaks TLS serves with; what `config` does not name is
    /// forgotten.
    pub(super) fn servers(&self, config: &Config) -> Vec<(Bind, Arc<tls::Server>)> {
        let mut hosts = self.0.lock();
        hosts.retain(|bind, _| config.listeners.iter().any(|listener| listener.bind == *bind));
        let mut servers = Vec::new();
        for listener in &config.listeners {
            let Some(spec) = &listener.tls else {
                hosts.remove(&listener.bind);
                continue;
            };
            let host = match hosts.remove(&listener.bind) {
                Some(host) if host.spec == *spec => host,
                known => Host::new(spec.clone(), known.and_then(|host| host.tickets)),
            };
            servers.push((listener.bind.clone(), host.server.clone()));
            hosts.insert(listener.bind.clone(), host);
        }
        servers
    }

    /// What seals the tickets of each, for the process that takes over.
    pub fn keep(&self) -> Vec<KeptTickets> {
        let hosts = self.0.lock();
        let kept =
            |(bind, host): (&Bind, &Host)| Some(host.tickets.as_ref()?.keep(bind.to_string()));
        hosts.iter().filter_map(kept).collect()
    }

    /// Goes on with what another process has `kept`: a listener with what was written alike, where
    /// it asks the same of its clients.
    pub fn take_over(&self, kept: &[KeptTickets]) {
        for (bind, host) in self.0.lock().iter() {
            let listener = bind.to_string();
            let kept = kept.iter().find(|kept| kept.listener == listener);
            if let (Some(kept), Some(tickets)) = (kept, &host.tickets) {
                tickets.take_over(kept);
            }
        }
    }
}

// === impl Host ===

impl Host {
    fn new(spec: Arc<ServerSpec>, known: Option<Tickets>) -> Self {
        let tickets = Tickets::of(&spec, known);
        let server = tls::Server::new(&spec, tickets.as_ref());
        let server = Arc::new(server.expect("it was tried when the configuration was read"));
        Self { spec, server, tickets }
    }
}
