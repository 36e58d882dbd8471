//! The connection for an attempt: one that is there, or a new one.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant as Clock,
};

use tokio::time::Instant;

use super::{Failed, Journey};
use crate::{
    fault::Fault,
    meters::SecretEnd,
    proxy::asked::Asked,
    upstream::{Behalf, ConnectError, Connection, Dialect, Spare, Way, reach},
};

// === impl Journey ===

impl Journey<'_> {
    /// How the pool's endpoints are spoken to.
    fn dialect(&self) -> Option<&Dialect> {
        self.exchange.pool().map(|pool| &**pool.upstream.dialect())
    }

    /// On whose behalf a connection is made, where endpoints are told.
    fn behalf(&self) -> Option<Behalf> {
        self.dialect().filter(|dialect| dialect.introduces())?;
        let Asked { peer, client, .. } = self.exchange.asked();
        let ip = client.ip()?;
        // The port of a client behind a trusted proxy is not known.
        let own = peer.address.filter(|_| peer.client() == *client);
        let source = SocketAddr::new(ip, own.map_or(0, |address| address.port()));
        // Nor where it has connected to, when that is a Unix socket of ours.
        let nowhere = || match ip {
            IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        Some(Behalf { source, destination: peer.local.unwrap_or_else(nowhere) })
    }

    /// An idle connection to the endpoint of the lease, that is good `now`.
    pub(super) fn idle(&self, now: Clock) -> Option<Connection> {
        let (endpoint, dialect) = (self.exchange.endpoint()?, self.dialect()?);
        self.exchange.worker().connections.take(endpoint, dialect, self.behalf(), now)
    }

    /// The connection that came with the slot, if it is good for this request.
    pub(super) fn accept(&self, spare: Spare) -> Option<Connection> {
        self.exchange.worker().connections.accept(spare, self.dialect()?, self.behalf())
    }

    /// A new connection to the endpoint of the lease, and when there was one.
    pub(super) async fn connect(&mut self) -> Result<(Connection, Clock), Failed> {
        let (Some(endpoint), Some(dialect)) = (self.exchange.endpoint(), self.dialect()) else {
            return Err(Failed::Fault(Fault::NoEndpoint));
        };
        let began = Clock::now();
        let wait = self.timeouts.connect.min(self.total_at - Instant::now());
        let worker = self.exchange.worker();
        let (address, endpoint_id) = (endpoint.address(), endpoint.id());
        let way = Way { address, endpoint_id, dialect, behalf: self.behalf() };
        // On the heap, so that the futures of requests that need no new one stay small.
        let made = Box::pin(reach(way, wait, &worker.wheel, &worker.connections)).await;
        self.count(&made);
        let now = Clock::now();
        self.exchange.connected(now.saturating_duration_since(began));
        made.map(|connection| (connection, now)).map_err(|error| self.unconnected(&error))
    }

    /// What it means that there is no connection.
    fn unconnected(&mut self, error: &ConnectError) -> Failed {
        if let Some(endpoint) = self.exchange.endpoint() {
            let endpoint = endpoint.as_str();
            tracing::debug!(endpoint, %error, "no connection");
            if error.stays() {
                let say = || tracing::warn!(endpoint, %error, "an endpoint cannot be used");
                self.exchange.worker().complain(say);
            }
        }
        if matches!(error, ConnectError::NoDescriptor(_)) {
            return Failed::Fault(Fault::NoDescriptor);
        }
        let late = Instant::now() >= self.total_at;
        // Cut short by the deadline of the whole, a connection has not had its time.
        if let Some(evidence) = error.evidence().filter(|_| !late) {
            self.exchange.endpoint_failed(evidence, || error.to_string());
        }
        // Another attempt may have to wait for its slot; this one is of no more use.
        self.exchange.give_back(None);
        if late { Failed::Fault(Fault::TotalTimeout) } else { Failed::Unconnected }
    }

    /// Counts how the handshake ended, where there was one.
    fn count(&self, made: &Result<Connection, ConnectError>) {
        let Some(pool) = self.exchange.pool().filter(|it| it.upstream.dialect().is_encrypted())
        else {
            return;
        };
        let end = match made {
            Ok(connection) => match connection.resumed() {
                Some(true) => SecretEnd::Resumed,
                Some(false) => SecretEnd::Full,
                None => return,
            },
            Err(ConnectError::Tls(_) | ConnectError::NoHttp2) => SecretEnd::Failed,
            Err(_) => return,
        };
        pool.meter.shook_hands(self.exchange.worker().index, end);
    }
}
