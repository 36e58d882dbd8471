//! How the endpoints of a pool are spoken to: what a connection to one of them begins with.
//!
//! A connection belongs to the dialect in which it was begun. When the configuration wants another
//! one (a certificate was renewed, say), those that are idle are not used again, and those that are
//! busy finish what they are at.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use rustls::{ClientConfig, pki_types::ServerName};

use super::address::Address;
use crate::{
    config::{self, AddressSpec},
    proxy_protocol::{Version, write, write_local},
    tls,
};

/// What is offered inside TLS (RFC 7301) where HTTP/1.1 is spoken.
const HTTP1: &[u8] = b"http/1.1";

/// What is offered where HTTP/2 is.
pub(super) const HTTP2: &[u8] = b"h2";

/// How many names of endpoints are remembered: twice as many as a pool may have at once.
const NAMES_MAX: usize = 1_000;

/// How the endpoints of one pool are spoken to.
#[derive(Debug)]
pub struct Dialect {
    number: u32,
    tls: Option<tls::Client>,
    proxy: Option<Version>,
    http2: bool,
    /// The names under which endpoints were written, by their numbers.
    names: Mutex<FxHashMap<u32, ServerName<'static>>>,
}

/// On whose behalf a connection is made: what its PROXY header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Behalf {
    /// The client; port 0 where only its address is known.
    pub source: SocketAddr,
    /// Where it has connected to.
    pub destination: SocketAddr,
}

/// What a TLS handshake with an endpoint begins with.
#[derive(Debug)]
pub(super) struct Secret {
    pub(super) config: Arc<ClientConfig>,
    pub(super) name: ServerName<'static>,
}

// === impl Dialect ===

impl Dialect {
    /// HTTP/1.1 without anything around it.
    pub fn plain() -> Self {
        Self { number: 0, tls: None, proxy: None, http2: false, names: Mutex::default() }
    }

    /// As `spec` wants it.
    pub(super) fn new(spec: &config::Dialect) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        if spec.is_plain() {
            return Self::plain();
        }
        let tls = spec.tls.as_ref().map(|tls| {
            let client = tls::Client::new(tls, if spec.http2 { &[HTTP2] } else { &[HTTP1] });
            client.expect("it was tried when the configuration was read")
        });
        let number = LAST.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let config::Dialect { proxy_protocol: proxy, http2, .. } = *spec;
        Self { number, tls, proxy, http2, names: Mutex::default() }
    }

    /// A number that no other dialect of this process has; 0 for all that are plain.
    pub(super) fn number(&self) -> u32 {
        self.number
    }

    /// Whether TLS is spoken.
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Whether HTTP/2 is spoken, so that a connection carries many requests at once.
    pub(super) fn is_shared(&self) -> bool {
        self.http2
    }

    /// Whether each connection begins with a PROXY header, so that it belongs to one client.
    pub fn introduces(&self) -> bool {
        self.proxy.is_some()
    }

    /// The header that a connection on behalf of this client begins with, or one that is on
    /// nobody's; `None` where there is none.
    pub(super) fn header(&self, behalf: Option<Behalf>) -> Option<Vec<u8>> {
        let version = self.proxy?;
        Some(match behalf {
            Some(Behalf { source, destination }) => write(version, source, destination),
            None => write_local(version),
        })
    }

    /// Learns which endpoints, by their numbers, were written under a name of a host: that is what
    /// their certificates have to be good for where no other name was written.
    pub(super) fn learn<'a>(&self, written: impl Iterator<Item = (u32, &'a AddressSpec)>) {
        if self.tls.as_ref().is_none_or(|tls| tls.name().is_some()) {
            return;
        }
        let named = written.filter_map(|(id, address)| {
            let host = address.host()?.trim_end_matches('.').to_owned();
            Some((id, ServerName::try_from(host).ok()?))
        });
        let mut names = self.names.lock();
        // Who has just taken a slot of one that is gone may still connect to it.
        if names.len() > NAMES_MAX {
            names.clear();
        }
        names.extend(named);
    }

    /// What a handshake with the endpoint of this number at `address` begins with; `None` in plain
    /// text.
    pub(super) fn secret(&self, endpoint_id: u32, address: &Address) -> Option<Secret> {
        let tls = self.tls.as_ref()?;
        let own = || match address {
            Address::Socket(socket) => ServerName::from(socket.ip().to_canonical()),
            // Refused by the configuration; no certificate is good for it.
            Address::Unix(_) => ServerName::from(IpAddr::from([0, 0, 0, 0])),
        };
        let written = || self.names.lock().get(&endpoint_id).cloned();
        let name = tls.name().cloned().or_else(written).unwrap_or_else(own);
        Some(Secret { config: tls.config(endpoint_id), name })
    }
}
