//! A certificate with its key, and roots, as they lie in PEM files.

use std::{fmt, sync::Arc, time::SystemTime};

use rustls::{
    Error, InconsistentKeys, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};

use super::{
    provider,
    x509::{self, Says},
};

/// A certificate with those that signed it, and its key, which fits.
#[derive(Clone)]
pub struct Certificate {
    says: Says,
    pub(super) certified: Arc<CertifiedKey>,
}

/// Why a certificate and a key are of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The certificate's file holds none.
    #[error("there is no certificate in it (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// A block of the certificate's file is broken.
    #[error("a certificate in it is cut or broken")]
    BrokenCertificate,
    /// The key's file holds none.
    #[error("there is no private key in it (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey,
    /// The key asks for a password, which nobody is there to enter.
    #[error("the private key is encrypted: decrypt it with `openssl pkey`")]
    EncryptedKey,
    /// The key is broken, or of a kind that is not supported.
    #[error("the private key is broken, or neither RSA (2048 to 8192 bits), ECDSA nor Ed25519")]
    UnusableKey,
    /// The key belongs to another certificate.
    #[error("the private key does not belong to the certificate")]
    OthersKey,
}

/// Certificates that others must have been signed by.
#[derive(Clone)]
pub struct Roots {
    pub(super) store: Arc<RootCertStore>,
    fingerprints: Vec<Box<str>>,
}

/// Why a file with roots is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// It holds none.
    #[error("there is no certificate in it (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// One of them is broken.
    #[error("certificate {0} in it is cut or broken, or cannot be a root")]
    Broken(usize),
    /// This system has none.
    #[error("this system has no roots (Debian's are in the package `ca-certificates`)")]
    NoSystem,
}

// === impl Certificate ===

impl Certificate {
    /// Out of what the two files hold; one file may hold both.
    pub fn read(certificates: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let chain = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| CertificateError::BrokenCertificate)?;
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let says = x509::read(first).ok_or(CertificateError::BrokenCertificate)?;
        if memchr::memmem::find(key, b"ENCRYPTED").is_some() {
            return Err(CertificateError::EncryptedKey);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
        let certified =
            CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                    CertificateError::OthersKey
                }
                Error::InvalidCertificate(_) => CertificateError::BrokenCertificate,
                _ => CertificateError::UnusableKey,
            })?;
        Ok(Self { says, certified: Arc::new(certified) })
    }

    /// Who it speaks for, as RFC 4514 writes it.
    pub fn subject(&self) -> &str {
        &self.says.subject
    }

    /// SHA-256 of the certificate, in lower-case hex.
    pub fn fingerprint(&self) -> &str {
        &self.says.fingerprint
    }

    /// The DNS names and IP addresses that it is good for, in lower case.
    pub fn names(&self) -> &[String] {
        &self.says.names
    }

    /// From when on it is valid.
    pub fn begins(&self) -> SystemTime {
        self.says.begins
    }

    /// Until when it is valid.
    pub fn expires(&self) -> SystemTime {
        self.says.expires
    }
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        // One certificate has one public key, and the private one fits it.
        self.certified.cert == other.certified.cert
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("says", &self.says).finish_non_exhaustive()
    }
}

// === impl Roots ===

impl Roots {
    /// Out of what a file holds.
    pub fn read(pem: &[u8]) -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        let mut fingerprints = Vec::new();
        for (index, root) in CertificateDer::pem_slice_iter(pem).enumerate() {
            let root = root.map_err(|_| RootsError::Broken(index + 1))?;
            let says = x509::read(&root).ok_or(RootsError::Broken(index + 1))?;
            store.add(root).map_err(|_| RootsError::Broken(index + 1))?;
            fingerprints.push(says.fingerprint);
        }
        if store.is_empty() {
            return Err(RootsError::NoCertificate);
        }
        Ok(Self { store: Arc::new(store), fingerprints })
    }

    /// Those that this system believes, as other programs on it do: its own files, or what
    /// `SSL_CERT_FILE` and `SSL_CERT_DIR` name. One that cannot be read is passed over.
    pub fn system() -> Result<Self, RootsError> {
        let mut store = RootCertStore::empty();
        let mut fingerprints = Vec::new();
        for root in rustls_native_certs::load_native_certs().certs {
            let Some(says) = x509::read(&root) else { continue };
            if store.add(root).is_ok() {
                fingerprints.push(says.fingerprint);
            }
        }
        if store.is_empty() {
            return Err(RootsError::NoSystem);
        }
        Ok(Self { store: Arc::new(store), fingerprints })
    }

    /// What tells them from others, over processes as well.
    pub fn fingerprint(&self) -> String {
        let all = self.fingerprints.join(" ");
        Sha256::digest(all).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl PartialEq for Roots {
    fn eq(&self, other: &Self) -> bool {
        self.fingerprints == other.fingerprints
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Roots").field(&self.fingerprints).finish()
    }
}
