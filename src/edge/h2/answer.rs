//! The head of an answer as HTTP/2 carries it.

use http::{
    HeaderMap, HeaderValue, Response, StatusCode, Version,
    header::{CONTENT_LENGTH, DATE, SEC_WEBSOCKET_ACCEPT},
    response::Parts,
};

use crate::{
    edge::{date, strict::length},
    http1::{lines::Lines, names::Known},
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

/// The head of a final answer, to a HEAD if `head_only`. Lines say nothing about a connection.
pub(super) fn head(mut parts: Parts, mut lines: Lines, head_only: bool) -> (Response<()>, Shape) {
    let headers = &mut parts.headers;
    if !headers.is_empty() {
        strip(headers);
    }
    let empty = matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let length = one_length(headers, &lines).filter(|_| parts.status != StatusCode::NO_CONTENT);
    if length.is_none() {
        headers.remove(CONTENT_LENGTH);
        lines.remove_known(Known::ContentLength);
    }
    let is_dated = lines.has(Known::Date) || headers.contains_key(DATE);
    lines.pour(headers);
    if !is_dated {
        headers.insert(DATE, date::field());
    }
    let shape = Shape { bodiless: head_only || empty, length };
    parts.version = Version::HTTP_2;
    (Response::from_parts(parts, ()), shape)
}

/// The head that agrees to a WebSocket. The key was usher's own, so the answer to it ends here.
pub(super) fn switch(mut parts: Parts, lines: Lines) -> Response<()> {
    lines.pour(&mut parts.headers);
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
fn one_length(headers: &HeaderMap, lines: &Lines) -> Option<u64> {
    let kept = headers.get_all(CONTENT_LENGTH).into_iter().map(HeaderValue::as_bytes);
    let mut lengths = lines.all(Known::ContentLength).chain(kept);
    let length = length::read(lengths.next()?);
    length.filter(|_| lengths.next().is_none())
}
