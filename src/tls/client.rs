//! The TLS side of connections to endpoints.
//!
//! An endpoint's certificate is always verified, unless the configuration says in so many words
//! that it is not: whoever stands between usher and an endpoint would read every session cookie.

use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use rustls::{
    CertificateError as Refusal, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        Resumption, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::SingleCertAndKey,
    version::{TLS12, TLS13},
};

use super::{Certificate, Roots, provider};

/// Sessions that are kept for one endpoint, each good for one resumption in TLS 1.3: several
/// connections may be made at once.
const SESSIONS: usize = 16;

/// For how many endpoints sessions are kept. Beyond it all are forgotten, which costs handshakes.
const ENDPOINTS_MAX: usize = 4096;

/// What the configuration says about TLS towards a pool's endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientSpec {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// The name that certificates have to be good for, and that is asked for; an endpoint's own
    /// host or address where there is none.
    pub name: Option<ServerName<'static>>,
    /// What usher shows of itself where it is asked.
    pub certificate: Option<Arc<Certificate>>,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq)]
pub enum Trust {
    /// Those that one of these has signed.
    Roots(Roots),
    /// Anybody's.
    Anybody,
}

/// TLS towards the endpoints of one pool, ready for handshakes.
pub struct Client {
    config: ClientConfig,
    name: Option<ServerName<'static>>,
    /// By endpoint: each seals its tickets with keys of its own, so that none is offered another's.
    endpoints: Mutex<FxHashMap<u32, Arc<ClientConfig>>>,
}

/// Believes everybody who has the key to the certificate that is shown.
#[derive(Debug)]
struct Credulous(Arc<CryptoProvider>);

// === impl Client ===

impl Client {
    /// TLS as `spec` wants it, with `protocols` inside, the better one first.
    ///
    /// # Errors
    /// The roots are of no use to rustls, which says why.
    pub fn new(spec: &ClientSpec, protocols: &[&[u8]]) -> Result<Self, Error> {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13, &TLS12])?;
        let builder = match &spec.trust {
            Trust::Roots(roots) => {
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(roots.store.clone(), provider());
                let verifier =
                    verifier.build().map_err(|error| Error::General(error.to_string()))?;
                builder.with_webpki_verifier(verifier)
            }
            Trust::Anybody => {
                let verifier = Arc::new(Credulous(provider()));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
        };
        let mut config = match &spec.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => {
                let shown = SingleCertAndKey::from(certificate.certified.clone());
                builder.with_client_cert_resolver(Arc::new(shown))
            }
        };
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        // An order in early data could be played again by whoever saw it.
        config.enable_early_data = false;
        Ok(Self { config, name: spec.name.clone(), endpoints: Mutex::default() })
    }

    /// What rustls shakes hands with, for the endpoint of this number: sessions that were had with
    /// it are resumed.
    pub fn config(&self, endpoint_id: u32) -> Arc<ClientConfig> {
        let mut endpoints = self.endpoints.lock();
        if endpoints.len() == ENDPOINTS_MAX && !endpoints.contains_key(&endpoint_id) {
            endpoints.clear();
        }
        let made = || {
            let mut config = self.config.clone();
            config.resumption = Resumption::in_memory_sessions(SESSIONS);
            Arc::new(config)
        };
        endpoints.entry(endpoint_id).or_insert_with(made).clone()
    }

    /// The name that certificates have to be good for, where one was written.
    pub fn name(&self) -> Option<&ServerName<'static>> {
        self.name.as_ref()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("name", &self.name).finish_non_exhaustive()
    }
}

// === impl Credulous ===

impl ServerCertVerifier for Credulous {
    fn verify_server_cert(
        &self,
        _certificate: &CertificateDer<'_>,
        _signers: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// What to do about a handshake with an endpoint that failed because of `error`; nothing where it
/// says all there is to say.
pub fn advice(error: &Error) -> Option<&'static str> {
    match error {
        Error::InvalidCertificate(refusal) => match refusal {
            Refusal::UnknownIssuer => Some("`tls.roots` has not signed its certificate"),
            Refusal::NotValidForName | Refusal::NotValidForNameContext { .. } => {
                Some("write the name that it is good for as `tls.name`")
            }
            Refusal::Expired | Refusal::ExpiredContext { .. } => Some("renew its certificate"),
            _ => None,
        },
        Error::InvalidMessage(_) => Some("it may not speak TLS at this port"),
        Error::AlertReceived(rustls::AlertDescription::CertificateRequired) => {
            Some("it wants a certificate: write `tls.certificate`")
        }
        _ => None,
    }
}
