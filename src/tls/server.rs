//! The TLS side of one listener.

use std::{fmt, sync::Arc};

use rustc_hash::FxHashMap;
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

use super::{Certificate, Names, Roots, Tickets, provider};

/// What is offered, the better one first.
const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Tickets after a handshake in TLS 1.3: a browser opens two connections at once.
const TICKETS: usize = 2;

/// What the configuration says about a listener's TLS.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerSpec {
    /// At least one, in the order in which they were written.
    pub certificates: Vec<Arc<Certificate>>,
    /// What becomes of a client that asks for a name of none of them.
    pub unknown_name: UnknownName,
    /// The lowest version that is spoken.
    pub lowest: Version,
    /// Whose certificates are asked for.
    pub clients: Option<Clients>,
    /// Whether requests for hosts that no certificate covers are served.
    pub any_host: bool,
}

/// What becomes of a client that asks for a name that no certificate covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownName {
    /// It is shown the first certificate, as is one that asks for none.
    #[default]
    First,
    /// The handshake ends, as it does for one that asks for none.
    Refuse,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// TLS 1.2
    #[default]
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// Whose certificates are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Clients {
    /// Who must have signed them.
    pub roots: Roots,
    /// Whether a client without one is turned away.
    pub required: bool,
}

/// A listener's TLS, ready for handshakes.
pub struct Server {
    config: Arc<ServerConfig>,
    names: Names,
    unknown_name: UnknownName,
    any_host: bool,
}

/// Chooses the certificate that a client is shown.
#[derive(Debug, Default)]
struct Chooser {
    exact: FxHashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// By what stands behind the `*.`.
    wildcards: FxHashMap<Box<str>, Vec<Arc<CertifiedKey>>>,
    /// All, in their order, for who asks for no name of theirs.
    all: Vec<Arc<CertifiedKey>>,
}

// === impl Server ===

impl Server {
    /// A listener with `spec`, whose tickets are sealed by `tickets`.
    ///
    /// # Errors
    /// The roots for client certificates are of no use to rustls, which says why.
    pub fn new(spec: &ServerSpec, tickets: Option<&Tickets>) -> Result<Self, rustls::Error> {
        let versions: &[&'static SupportedProtocolVersion] = match spec.lowest {
            Version::Tls12 => &[&TLS13, &TLS12],
            Version::Tls13 => &[&TLS13],
        };
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
        let builder = match &spec.clients {
            None => builder.with_no_client_auth(),
            Some(Clients { roots, required }) => {
                let roots = roots.store.clone();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider());
                let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
                let verifier =
                    verifier.build().map_err(|error| rustls::Error::General(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(Chooser::of(&spec.certificates)));
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        // Sessions live in tickets alone: a cache would be memory that clients can fill.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        match tickets {
            Some(tickets) => {
                config.ticketer = tickets.producer();
                config.send_tls13_tickets = TICKETS;
            }
            None => config.send_tls13_tickets = 0,
        }
        // What comes before the handshake is over can be played again by anyone who saw it.
        config.max_early_data_size = 0;
        let mut names = Names::default();
        for certificate in &spec.certificates {
            names.extend(certificate.names().iter().map(String::as_str));
        }
        let (unknown_name, any_host) = (spec.unknown_name, spec.any_host);
        Ok(Self { config: Arc::new(config), names, unknown_name, any_host })
    }

    /// What rustls serves with.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }

    /// Whether a client that asks for `name` is served at all.
    pub fn admits(&self, name: Option<&str>) -> bool {
        match self.unknown_name {
            UnknownName::First => true,
            UnknownName::Refuse => name.is_some_and(|name| self.names.cover(name)),
        }
    }

    /// Whether a request for `host` belongs here.
    pub fn serves(&self, host: &str) -> bool {
        self.any_host || self.names.cover(host)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("names", &self.names).finish_non_exhaustive()
    }
}

// === impl Chooser ===

impl Chooser {
    fn of(certificates: &[Arc<Certificate>]) -> Self {
        let mut chooser = Self::default();
        for certificate in certificates {
            let certified = &certificate.certified;
            for name in certificate.names() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(parent) => (&mut chooser.wildcards, parent),
                    None => (&mut chooser.exact, name.as_str()),
                };
                map.entry(name.into()).or_default().push(certified.clone());
            }
            chooser.all.push(certified.clone());
        }
        chooser
    }

    fn named(&self, name: &str) -> Option<&Vec<Arc<CertifiedKey>>> {
        let name = name.to_ascii_lowercase();
        let wildcard = || {
            let (_, parent) = name.split_once('.')?;
            self.wildcards.get(parent)
        };
        self.exact.get(&*name).or_else(wildcard)
    }
}

impl ResolvesServerCert for Chooser {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates = hello.server_name().and_then(|name| self.named(name));
        let candidates = candidates.unwrap_or(&self.all);
        // Of two for one name, one with RSA and one with ECDSA, the first that the client can read.
        let readable = |certified: &&Arc<CertifiedKey>| {
            certified.key.choose_scheme(hello.signature_schemes()).is_some()
        };
        candidates.iter().find(readable).or(candidates.first()).cloned()
    }
}
