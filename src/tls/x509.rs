//! What certificates say, beyond what is needed to verify them.

use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_cert::{
    certificate::{CertificateInner, Raw},
    der::Decode,
    ext::pkix::{SubjectAltName, name::GeneralName},
};

use crate::peer::ClientCertificate;

/// What is read out of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Says {
    /// RFC 4514, in ASCII.
    pub(super) subject: Box<str>,
    /// SHA-256, in lower-case hex.
    pub(super) fingerprint: Box<str>,
    /// DNS names and IP addresses that it is good for.
    pub(super) names: Vec<String>,
    /// From when on it is valid.
    pub(super) begins: SystemTime,
    /// Until when it is valid.
    pub(super) expires: SystemTime,
}

/// Who a client is by the certificate that it showed.
///
/// `None` for what cannot be read, which a verified certificate does not come to.
pub fn identity(certificate: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let Says { subject, fingerprint, .. } = read(certificate)?;
    Some(ClientCertificate { subject, fingerprint })
}

/// Reads `certificate`.
pub(super) fn read(certificate: &CertificateDer<'_>) -> Option<Says> {
    // What other readers pass over (a serial number that is too long) is passed over here too.
    let parsed = CertificateInner::<Raw>::from_der(certificate).ok()?;
    let parsed = parsed.tbs_certificate();
    let alternatives = parsed.get_extension::<SubjectAltName>().ok().flatten();
    let names = alternatives.iter().flat_map(|(_, names)| &names.0).filter_map(name);
    let since_1970 = |time: &x509_cert::time::Time| -> Duration { time.to_unix_duration() };
    Some(Says {
        subject: ascii(&parsed.subject().to_string()).into(),
        fingerprint: hex(&Sha256::digest(certificate)).into(),
        names: names.collect(),
        begins: SystemTime::UNIX_EPOCH + since_1970(&parsed.validity().not_before),
        expires: SystemTime::UNIX_EPOCH + since_1970(&parsed.validity().not_after),
    })
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.as_str().to_ascii_lowercase()),
        GeneralName::IpAddress(octets) => match octets.as_bytes().len() {
            4 => <[u8; 4]>::try_from(octets.as_bytes()).ok().map(std::net::IpAddr::from),
            16 => <[u8; 16]>::try_from(octets.as_bytes()).ok().map(std::net::IpAddr::from),
            _ => None,
        }
        .map(|address| address.to_string()),
        _ => None,
    }
}

/// Whatever is no visible ASCII as RFC 4514 allows it to be written: `\c3\a9`. The subject goes
/// into a header's value, where anything else would be read in two ways.
fn ascii(subject: &str) -> String {
    let mut text = String::with_capacity(subject.len());
    for byte in subject.bytes() {
        match byte {
            b' '..=b'~' => text.push(char::from(byte)),
            _ => text.push_str(&format!("\\{byte:02x}")),
        }
    }
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
