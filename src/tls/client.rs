//! The TLS side of a pool: usher as the client of its endpoints.

use std::{fmt, sync::Arc};

use rustls::{ClientConfig, client::Resumption, pki_types::ServerName};

use super::{Certificate, Roots, provider};

/// Sessions that are kept for resumption, over all endpoints of a pool.
const SESSIONS: usize = 256;

/// How connections to a pool's endpoints are encrypted. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    config: Arc<ClientConfig>,
    name: Option<ServerName<'static>>,
    roots: Roots,
    certificate: Option<Arc<Certificate>>,
}

/// Why endpoints cannot be spoken to so.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ClientError {
    /// The name is neither a host's nor an address.
    #[error("it is neither a host name nor an IP address")]
    BadName,
    /// rustls does not take it.
    #[error("{0}")]
    Refused(rustls::Error),
}

// === impl Client ===

impl Client {
    /// Verifies by `roots` that endpoints are called `name` (else what their address says), and
    /// shows `certificate`.
    ///
    /// # Errors
    /// The name or the certificate is of no use.
    pub fn new(
        roots: Roots,
        name: Option<&str>,
        certificate: Option<Arc<Certificate>>,
    ) -> Result<Self, ClientError> {
        let name = name.map(|name| ServerName::try_from(name.to_owned())).transpose();
        let name = name.map_err(|_| ClientError::BadName)?;
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(ClientError::Refused)?
            .with_root_certificates(roots.store.clone());
        let mut config = match &certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let own = rustls::sign::SingleCertAndKey::from((*certificate.certified).clone());
                builder.with_client_cert_resolver(Arc::new(own))
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config), name, roots, certificate })
    }

    /// What rustls connects with.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }

    /// What an endpoint must be called that was written as `host`; `None` when nobody said.
    pub fn name_of(&self, host: Option<&str>) -> Option<ServerName<'static>> {
        self.name.clone().or_else(|| ServerName::try_from(host?.to_owned()).ok())
    }
}

impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
            && self.roots == other.roots
            && self.certificate == other.certificate
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("name", &self.name).finish_non_exhaustive()
    }
}
