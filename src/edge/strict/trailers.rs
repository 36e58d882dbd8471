//! Fields after a body: which of them may pass.
//!
//! RFC 9110 §6.5.1: a field that frames, routes, authenticates or modifies a request must not come
//! after it, since who has decided already would decide differently.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::fault::Fault;

const FIELDS_MAX: usize = 64;

const FORBIDDEN: &[&str] = &[
    "accept",
    "age",
    "authorization",
    "cache-control",
    "client-ip",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "expect",
    "expires",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "location",
    "max-forwards",
    "origin",
    "pragma",
    "proxy",
    "range",
    "referer",
    "retry-after",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];

const FORBIDDEN_FAMILIES: &[&str] = &[
    "accept-",
    "if-",
    "proxy-",
    "sec-",
    "x-accel-",
    "x-audience",
    "x-client-",
    "x-csrf-",
    "x-forwarded-",
    "x-http-method",
    "x-original-",
    "x-real-",
    "x-request",
    "x-rewrite-",
    "x-sendfile",
    "x-usher-",
];

/// Reads the lines of a trailer section, its last empty one included, and drops what may not pass.
pub(in crate::edge) fn read(lines: &[u8]) -> Result<HeaderMap, Fault> {
    let mut room = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let Ok(httparse::Status::Complete((_, raw))) = httparse::parse_headers(lines, &mut room) else {
        return Err(Fault::BadChunk);
    };
    let mut fields = HeaderMap::new();
    for field in raw {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| Fault::BadChunk)?;
        let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(field.value))
            .map_err(|_| Fault::BadChunk)?;
        if passes(&name) {
            fields.append(name, value);
        }
    }
    Ok(fields)
}

/// Those of `fields` that may follow a body.
pub(in crate::edge) fn passing(fields: HeaderMap) -> HeaderMap {
    let mut name = None;
    let mut passing = HeaderMap::with_capacity(fields.len());
    for (next, value) in fields {
        name = next.or(name);
        if let Some(name) = name.as_ref().filter(|name| passes(name)) {
            passing.append(name.clone(), value);
        }
    }
    passing
}

/// Whether a field may follow a body.
pub(in crate::edge) fn passes(name: &HeaderName) -> bool {
    let name = name.as_str();
    !(name.contains('_')
        || FORBIDDEN.contains(&name)
        || FORBIDDEN_FAMILIES.iter().any(|family| name.starts_with(family)))
}
