//! How a pool's endpoints are spoken to.

use std::sync::Arc;

use rustls::pki_types::ServerName;

use super::tls;
use crate::{
    config::{
        AddressSpec, Dialect, EndpointSpec,
        document::{self, At, EndpointTls, FilePath, ProtocolLeaf, Reader, Words},
        source::Span,
    },
    tls::{Client, ClientSpec, Roots, Trust},
};

/// What `roots` says for what this system believes.
const SYSTEM: &str = "system";

/// How the endpoints of `pool` are spoken to.
pub(super) fn lower(
    pool: &document::Pool,
    endpoints: &[(EndpointSpec, Span)],
    reader: &mut Reader,
) -> Dialect {
    let tls = pool.tls.as_ref().and_then(|at| encrypted(at, endpoints, reader));
    let proxy_protocol = pool.proxy_protocol.as_ref().and_then(|at| at.value.0);
    if let Some(at) = pool.health.as_ref().and_then(|at| at.value.plain.as_ref())
        && at.value.0
        && pool.tls.is_none()
        && proxy_protocol.is_none()
        && pool.protocol.is_none()
    {
        let message = "`plain` has no effect: checks of this pool are plain anyway";
        reader.warn(at.key, message, "remove it");
    }
    let http2 = http2(pool, proxy_protocol.is_some(), reader);
    Dialect { tls: tls.map(Arc::new), proxy_protocol, http2 }
}

/// Whether HTTP/2 is spoken, which has to fit what is written beside it.
fn http2(pool: &document::Pool, introduces: bool, reader: &mut Reader) -> bool {
    let Some(at) = &pool.protocol else { return false };
    let complaint = match (at.value, pool.tls.is_some()) {
        (ProtocolLeaf::Http1, _) => return false,
        (ProtocolLeaf::H2, false) => {
            Some(("`h2` is spoken within TLS", "write `tls:` beside it, or `protocol: h2c`"))
        }
        (ProtocolLeaf::H2c, true) => Some((
            "`h2c` is HTTP/2 without TLS, and this pool has `tls`",
            "write `protocol: h2`, or remove `tls`",
        )),
        (ProtocolLeaf::H2, true) | (ProtocolLeaf::H2c, false) => introduces.then_some((
            "a connection over HTTP/2 belongs to many clients, and a PROXY header speaks of one",
            "remove `proxy_protocol`, or write `protocol: http/1.1`",
        )),
    };
    if let Some((message, hint)) = complaint {
        reader.error_with(at.span, message, hint);
    }
    true
}

/// TLS towards the endpoints; `None` after a complaint.
fn encrypted(
    at: &At<EndpointTls>,
    endpoints: &[(EndpointSpec, Span)],
    reader: &mut Reader,
) -> Option<ClientSpec> {
    let written = &at.value;
    let certificate = written.certificate.as_ref().map(|at| {
        let (cert, key) = (at.value.cert.as_ref()?, at.value.key.as_ref()?);
        tls::certificate(cert, key, reader)
    });
    let name = written.name.as_ref().map(|at| name(at, reader));
    let trust = trust(at, reader);
    if written.name.is_none() && trust != Some(Trust::Anybody) {
        sockets_have_no_names(endpoints, reader);
    }
    let spec =
        ClientSpec { trust: trust?, name: optional(name)?, certificate: optional(certificate)? };
    match Client::new(&spec, &[]) {
        Ok(_) => Some(spec),
        Err(error) => {
            reader.error(at.key, format!("no TLS can be made of this: {error}"));
            None
        }
    }
}

/// What was written, if it was; `None` when it was and could not be read.
fn optional<T>(written: Option<Option<T>>) -> Option<Option<T>> {
    match written {
        None => Some(None),
        Some(read) => read.map(Some),
    }
}

fn trust(at: &At<EndpointTls>, reader: &mut Reader) -> Option<Trust> {
    let written = &at.value;
    if let Some(unverified) = written.dangerously_unverified.as_ref().filter(|at| at.value.0) {
        let message = "any certificate is taken: whoever stands between usher and an endpoint can \
                       read and change every request and answer";
        let hint = "write `roots:` with the PEM file of who signs the endpoints' certificates; a \
                    self-signed certificate may stand there itself";
        reader.warn(unverified.key, message, hint);
        if let Some(at) = &written.roots {
            let message = "`roots` has no effect beside `dangerously_unverified: on`";
            reader.warn(at.key, message, "remove one of them");
        }
        return Some(Trust::Anybody);
    }
    roots(written.roots.as_ref(), at.key, reader).map(Trust::Roots)
}

/// Those that are written, or what this system believes; `otherwise` is where to complain of these.
pub(super) fn roots(
    written: Option<&At<FilePath>>,
    otherwise: Span,
    reader: &mut Reader,
) -> Option<Roots> {
    match written {
        Some(at) if at.value.text != SYSTEM => tls::roots(at, reader),
        written => system(written, otherwise, reader),
    }
}

/// What this system believes.
fn system(written: Option<&At<FilePath>>, tls: Span, reader: &mut Reader) -> Option<Roots> {
    let system = Roots::system();
    let complain = |error| {
        let span = written.map_or(tls, |at| at.span);
        let hint = "write `roots:` with a PEM file";
        reader.error_with(span, format!("nobody's certificate is believed: {error}"), hint);
    };
    system.map_err(complain).ok()
}

fn name(at: &At<Words>, reader: &mut Reader) -> Option<ServerName<'static>> {
    let name = ServerName::try_from(at.value.0.clone());
    if name.is_err() {
        let hint = "write a host without a port, such as `rails.internal`";
        reader.error_with(at.span, "this is no name that a certificate could be good for", hint);
    }
    name.ok()
}

/// A certificate is good for hosts and addresses, and a Unix socket has neither.
fn sockets_have_no_names(endpoints: &[(EndpointSpec, Span)], reader: &mut Reader) {
    let is_socket = |it: &&(EndpointSpec, Span)| matches!(it.0.address, AddressSpec::Unix(_));
    if let Some((endpoint, span)) = endpoints.iter().find(is_socket) {
        let message = format!("no certificate can be good for {}", endpoint.address);
        let hint = "write `tls: { name: … }` with the name that its certificate is good for";
        reader.error_with(*span, message, hint);
    }
}
