//! Certificates, made when a test asks for them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose,
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::Resumption,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Who signs.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, as PEM.
pub struct Issued {
    pub cert: String,
    pub key: String,
}

// === impl Authority ===

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(params, key).expect("a root"))
    }

    /// Its own certificate, as PEM.
    pub fn root(&self) -> String {
        self.0.pem()
    }

    /// A certificate for a server with these names.
    pub fn issue(&self, names: &[&str]) -> Issued {
        self.issue_with(names, |_| {})
    }

    /// A certificate for a server, with what `adapt` says.
    pub fn issue_with(&self, names: &[&str], adapt: impl FnOnce(&mut CertificateParams)) -> Issued {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("good names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        adapt(&mut params);
        let key = KeyPair::generate().expect("a key");
        let cert = params.signed_by(&key, &self.0).expect("it is signed");
        Issued { cert: cert.pem(), key: key.serialize_pem() }
    }

    /// A certificate for a server with these names, good until `ends`.
    pub fn issue_until(&self, names: &[&str], ends: SystemTime) -> Issued {
        self.issue_with(names, |params| params.not_after = ends.into())
    }

    /// A certificate for a client called `name`.
    pub fn issue_client(&self, name: &str) -> Issued {
        self.issue_with(&[], |params| is_client(params, name))
    }

    /// A certificate for a client called `name`, good until `ends`.
    pub fn issue_client_until(&self, name: &str, ends: SystemTime) -> Issued {
        self.issue_with(&[], |params| {
            is_client(params, name);
            params.not_after = ends.into();
        })
    }

    /// How a client connects that believes this authority, and resumes no session.
    pub fn client(&self) -> ClientConfig {
        let mut config = believing(&self.root()).with_no_client_auth();
        config.resumption = Resumption::disabled();
        config
    }

    /// As [`client`](Self::client), and shows a certificate.
    pub fn client_showing(&self, shown: &Issued) -> ClientConfig {
        let chain = CertificateDer::pem_slice_iter(shown.cert.as_bytes());
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("a certificate");
        let key = rustls::pki_types::PrivateKeyDer::from_pem_slice(shown.key.as_bytes());
        let config = believing(&self.root()).with_client_auth_cert(chain, key.expect("a key"));
        let mut config = config.expect("they fit");
        config.resumption = Resumption::disabled();
        config
    }
}

// === impl Issued ===

impl Issued {
    /// Writes both into `directory` as `NAME.crt` and `NAME.key`.
    pub fn write(&self, directory: &Path, name: &str) {
        fs::write(directory.join(format!("{name}.crt")), &self.cert).expect("it can be written");
        fs::write(directory.join(format!("{name}.key")), &self.key).expect("it can be written");
    }
}

fn is_client(params: &mut CertificateParams, name: &str) {
    params.distinguished_name.push(DnType::CommonName, name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
}

/// Where the certificate lies that all tests over TLS share, as `shop.crt`, `shop.key` and
/// `root.crt`. Made by the first that needs it; it is good until the year 4096.
pub fn shared() -> PathBuf {
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("certificates");
    if !shared.is_dir() {
        let made = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let authority = Authority::new("usher's tests");
        authority.issue(&["shop.example"]).write(made.path(), "shop");
        fs::write(made.path().join("root.crt"), authority.root()).expect("it can be written");
        // Another process may have been faster, which is as good.
        let _ = fs::rename(made.path(), &shared);
    }
    shared
}

/// How a client connects that believes the authority of [`shared`].
pub fn shared_client() -> Arc<ClientConfig> {
    Arc::new(believing(&shared_root()).with_no_client_auth())
}

/// As [`shared_client`], speaks one version, and comes back with the tickets that it was given.
pub fn shared_client_speaking(version: &'static SupportedProtocolVersion) -> Arc<ClientConfig> {
    let mut config = believing_in(&shared_root(), &[version]).with_no_client_auth();
    config.resumption = Resumption::in_memory_sessions(16);
    Arc::new(config)
}

fn shared_root() -> String {
    fs::read_to_string(shared().join("root.crt")).expect("a root")
}

type Believing = rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>;

fn believing(root: &str) -> Believing {
    believing_in(root, rustls::DEFAULT_VERSIONS)
}

fn believing_in(root: &str, versions: &[&'static SupportedProtocolVersion]) -> Believing {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(root.as_bytes()) {
        roots.add(root.expect("a certificate")).expect("a root");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions).expect("versions");
    builder.with_root_certificates(roots)
}
