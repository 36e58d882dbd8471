//! The head of an answer as HTTP/2 carries it.

use http::{
    HeaderMap, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, DATE, SEC_WEBSOCKET_ACCEPT},
    response::Parts,
};

use crate::{
    edge::{date, strict::length},
    http2,
};

/// What an answer's body is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// There is none, whatever the service gives.
    pub(super) bodiless: bool,
    /// So long, where the head says so.
    pub(super) length: Option<u64>,
}

/// The head of a final answer, to a HEAD if `head_only`.
pub(super) fn head(mut parts: Parts, head_only: bool) -> (Response<()>, Shape) {
    let headers = &mut parts.headers;
    strip(headers);
    let empty = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = one_length(headers).filter(|_| parts.status != StatusCode::NO_CONTENT);
    if length.is_none() {
        headers.remove(CONTENT_LENGTH);
    }
    if !headers.contains_key(DATE) {
        headers.insert(DATE, date::field());
    }
    let shape = Shape { bodiless: head_only || empty, length };
    parts.version = Version::HTTP_2;
    (Response::from_parts(parts, ()), shape)
}

/// The head that agrees to a WebSocket. The key was usher's own, so the answer to it ends here.
pub(super) fn switch(mut parts: Parts) -> Response<()> {
    strip(&mut parts.headers);
    parts.headers.remove(SEC_WEBSOCKET_ACCEPT);
    parts.headers.remove(CONTENT_LENGTH);
    if !parts.headers.contains_key(DATE) {
        parts.headers.insert(DATE, date::field());
    }
    parts.status = StatusCode::OK;
    parts.version = Version::HTTP_2;
    Response::from_parts(parts, ())
}

/// Removes what speaks about a connection.
pub(super) fn strip(headers: &mut HeaderMap) {
    for name in &http2::OF_A_CONNECTION {
        headers.remove(name);
    }
}

/// The one length that the service gave; several or a wrong one are none.
fn one_length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = length::read(lengths.next()?.as_bytes());
    length.filter(|_| lengths.next().is_none())
}
