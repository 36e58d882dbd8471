//! TLS: files become certificates and keys that fit, or problems.

use std::{
    fs,
    sync::Arc,
    time::{Duration, SystemTime},
};

use crate::{
    config::{
        document::{self, At, FilePath, Reader},
        source::Span,
    },
    tls::{Certificate, Clients, Roots, Server, ServerSpec},
    units::format_duration,
};

/// The largest file with certificates or a key, in bytes: room for all roots of a system.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// How long before its end a certificate is warned of. Whoever renews them by a machine does so a
/// month before; less than this says that the machine has stopped.
pub(crate) const EXPIRY_WARNED: Duration = Duration::from_secs(14 * 24 * 3600);

/// The TLS of a listener; `None` after a complaint.
pub(super) fn server(at: &At<document::Tls>, reader: &mut Reader) -> Option<ServerSpec> {
    let written = &at.value;
    let clients = written.clients.as_ref().map(|at| clients(&at.value, reader));
    let list = written.certificates.as_ref()?;
    if list.value.empty {
        let hint = "write `certificates: [{ cert: tls.crt, key: tls.key }]`";
        reader.error_with(list.span, "a TLS listener needs at least one certificate", hint);
    }
    let mut certificates = Vec::new();
    for at in &list.value.items {
        let (cert, key) = (at.value.cert.as_ref()?, at.value.key.as_ref()?);
        certificates.extend(certificate(cert, key, reader));
    }
    let whole = certificates.len() == list.value.items.len() && !certificates.is_empty();
    let spec = ServerSpec {
        certificates,
        unknown_name: written.unknown_name.as_ref().map(|at| at.value.0).unwrap_or_default(),
        lowest: written.lowest.as_ref().map(|at| at.value.0).unwrap_or_default(),
        clients: match clients {
            None => None,
            Some(clients) => Some(clients?),
        },
        any_host: written.hosts.as_ref().is_some_and(|at| at.value.any),
    };
    if !whole {
        return None;
    }
    match Server::new(&spec, None) {
        Ok(_) => Some(spec),
        Err(error) => {
            reader.error(at.key, format!("no TLS can be made of this: {error}"));
            None
        }
    }
}

fn clients(written: &document::Clients, reader: &mut Reader) -> Option<Clients> {
    let required = written.verify.as_ref().is_none_or(|at| at.value.required);
    Some(Clients { roots: roots(written.roots.as_ref()?, reader)?, required })
}

/// A certificate and its key. What has no end soon is warned of.
pub(super) fn certificate(
    cert: &At<FilePath>,
    key: &At<FilePath>,
    reader: &mut Reader,
) -> Option<Arc<Certificate>> {
    let (cert_bytes, key_bytes) = (file(cert, reader), file(key, reader));
    let (cert_bytes, key_bytes) = (cert_bytes?, key_bytes?);
    match Certificate::read(&cert_bytes, &key_bytes) {
        Ok(certificate) => {
            timely(&certificate, cert.span, reader);
            Some(Arc::new(certificate))
        }
        Err(error) => {
            use crate::tls::CertificateError::{BrokenCertificate, NoCertificate};
            let at = if matches!(error, NoCertificate | BrokenCertificate) { cert } else { key };
            let path = reader.path(at.span, &at.value.text);
            reader.error(at.span, format!("{}: {error}", path.display()));
            None
        }
    }
}

/// Roots out of a file.
pub(super) fn roots(at: &At<FilePath>, reader: &mut Reader) -> Option<Roots> {
    let bytes = file(at, reader)?;
    Roots::read(&bytes)
        .map_err(|error| {
            let path = reader.path(at.span, &at.value.text);
            reader.error(at.span, format!("{}: {error}", path.display()));
        })
        .ok()
}

fn file(at: &At<FilePath>, reader: &mut Reader) -> Option<Vec<u8>> {
    let looked_at = reader.path(at.span, &at.value.text);
    reader.looked_at.push(looked_at);
    let path = reader.file_is_there(at.span, &at.value.text)?;
    if path.metadata().is_ok_and(|about| about.len() > FILE_BYTES_MAX) {
        reader.error(at.span, format!("{} is larger than 1 MiB", path.display()));
        return None;
    }
    match fs::read(&path) {
        Ok(bytes) => {
            reader.read.push(bytes.clone());
            Some(bytes)
        }
        Err(error) => {
            reader.error(at.span, format!("{} cannot be read: {error}", path.display()));
            None
        }
    }
}

/// An end that is near or past is a warning, not an error: an usher that does not start because a
/// certificate ended last night makes a bad night worse.
fn timely(certificate: &Certificate, span: Span, reader: &mut Reader) {
    let now = SystemTime::now();
    let subject = certificate.subject();
    let rounded = |span: Duration| {
        let seconds = span.as_secs();
        let unit = if seconds < 3600 { 60 } else { 3600 };
        format_duration(Duration::from_secs(seconds / unit * unit))
    };
    if let Ok(early) = certificate.begins().duration_since(now)
        && early > Duration::ZERO
    {
        let message = format!("the certificate of `{subject}` is not valid yet");
        reader.warn(span, message, "look at this machine's clock, or wait");
    }
    let hint = "renew it; usher takes the new one into use within two seconds";
    match certificate.expires().duration_since(now) {
        Err(past) => {
            let message =
                format!("the certificate of `{subject}` ended {} ago", rounded(past.duration()));
            reader.warn(span, message, hint);
        }
        Ok(left) if left < EXPIRY_WARNED => {
            let message = format!("the certificate of `{subject}` ends in {}", rounded(left));
            reader.warn(span, message, hint);
        }
        Ok(_) => {}
    }
}
