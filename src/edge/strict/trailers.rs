//! Fields after a body: which of them may pass.
//!
//! RFC 9110 §6.5.1: a field that frames, routes, authenticates or modifies a request must not come
//! after it, since who has decided already would decide differently.

use http::{HeaderMap, HeaderName};

use crate::http1::chunked::Trailers;

/// How much of them a client may send.
pub(in crate::edge) const MAX: Trailers = Trailers { bytes_max: 8 * 1024, fields_max: 64 };

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
