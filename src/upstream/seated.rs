//! A seat on a trunk, and the request that is said on it: HTTP/2 as HTTP/1.1 looks from above.
//!
//! Like a connection over HTTP/1.1 it is a value: whoever waits for the answer polls it, and doing
//! so sends what is left of the request as well. Only bytes are moved by the trunk's own task.
//!
//! ```text
//!            send           a stream is open       final head          last byte
//! resting ────────▶ opening ───────────────▶ sent ───────────▶ saying ──────────▶ said
//!                                             │ ▲                │
//!                                             └─┘ 1xx            └─ agreed to ──▶ a tunnel's
//! ```

mod outgoing;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    Reason, RecvStream,
    client::{ResponseFuture, SendRequest},
    ext::Protocol,
};
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, Version,
    header::{CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
    uri::PathAndQuery,
};
use http_body::{Frame, SizeHint};

use super::{
    broken::Broken,
    dialect::Dialect,
    h1::{self, Flaw, INTERIM_MAX},
    switched::Switched,
    trunk::{Seat, Trunk},
    wire::Far,
};
use crate::{
    body::Body,
    http1::lines::Lines,
    http2::{Duplex, OF_A_CONNECTION},
};

use outgoing::Outgoing;

/// A seat, and what is said on it.
#[derive(Debug)]
pub(super) struct Seated {
    seat: Seat,
    scheme: &'static str,
    talk: Talk,
    outgoing: Outgoing,
    /// Whether the request may have gone out.
    sent: bool,
    /// How many interim answers it has had.
    interims: usize,
}

/// How far a request and its answer have come.
#[derive(Debug)]
enum Talk {
    Resting,
    /// It waits for a stream of its own.
    Opening(Box<(SendRequest<Bytes>, Request<()>)>),
    /// Its answer is waited for.
    Sent(ResponseFuture),
    Saying(Incoming),
    /// The answer has been read to its end.
    Said,
}

/// The rest of an answer.
#[derive(Debug)]
struct Incoming {
    stream: RecvStream,
    /// How many bytes are still to come, where the head says so.
    left: Option<u64>,
}

// === impl Seated ===

impl Seated {
    /// On `seat`, to be spoken on as in `dialect`.
    pub(super) fn new(seat: Seat, dialect: &Dialect) -> Self {
        let scheme = if dialect.is_encrypted() { "https" } else { "http" };
        let outgoing = Outgoing::default();
        Self { seat, scheme, talk: Talk::Resting, outgoing, sent: false, interims: 0 }
    }

    /// The trunk that it is on.
    pub(super) fn trunk(&self) -> &Arc<Trunk> {
        self.seat.trunk()
    }

    /// Begins a request whose head is written as for HTTP/1.1. It is sent while its answer is
    /// waited for.
    pub(super) fn send(&mut self, head: &Parts, lines: Lines, body: Body) {
        let mut request = Request::new(());
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        lines.pour(request.headers_mut());
        *request.version_mut() = Version::HTTP_2;
        address(&mut request, self.scheme);
        extend(&mut request);
        (self.sent, self.interims, self.outgoing) = (false, 0, Outgoing::new(body));
        self.talk = Talk::Opening(Box::new((self.seat.sender(), request)));
    }

    /// Whether the request may have gone out.
    pub(super) fn has_sent(&self) -> bool {
        self.sent
    }

    /// How many interim answers the request has had.
    pub(super) fn interims(&self) -> usize {
        self.interims
    }

    /// The body of a request that broke, where nobody has asked it for anything.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        self.outgoing.take_body()
    }

    /// What the stream goes on as behind an agreement to switch.
    pub(super) fn switch(mut self: Box<Self>) -> Option<Switched> {
        let Talk::Saying(incoming) = std::mem::replace(&mut self.talk, Talk::Said) else {
            return None;
        };
        let duplex = Duplex::new(incoming.stream, self.outgoing.take_stream()?);
        let far = Far::Shared(Box::new(duplex));
        Some(Switched { far, said: Bytes::new(), _seated: Some(self) })
    }

    /// Sends what it can of the request, whose answer nobody is ready to read on.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        self.outgoing.poll(cx).map_err(Broken::Upload)
    }

    /// The head of the final answer; those of others are shown to `interim`.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        mut interim: impl FnMut(StatusCode, &HeaderMap),
    ) -> Poll<Result<Response<()>, Broken>> {
        ready!(self.poll_open(cx))?;
        self.poll_send(cx)?;
        let Talk::Sent(answer) = &mut self.talk else {
            return Poll::Ready(Err(Broken::Ended(None)));
        };
        // None is left once the final one is there, or the end.
        while let Some(answer) = ready!(answer.poll_informational(cx)) {
            let head = answer?;
            self.interims += 1;
            // RFC 9113 §8.6 has no 101.
            let flaw = match head.status() {
                StatusCode::SWITCHING_PROTOCOLS => Some(Flaw::StatusLine),
                _ => (self.interims > INTERIM_MAX).then_some(Flaw::Flood),
            };
            if let Some(flaw) = flaw {
                return Poll::Ready(Err(self.flawed(flaw)));
            }
            interim(head.status(), head.headers());
        }
        let answer = ready!(Pin::new(answer).poll(cx));
        Poll::Ready(self.take(answer?))
    }

    /// Takes a stream once there is one.
    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let Talk::Opening(opening) = &mut self.talk else { return Poll::Ready(Ok(())) };
        let (sender, request) = &mut **opening;
        ready!(sender.poll_ready(cx))?;
        let request = std::mem::take(request);
        let ends = self.outgoing.is_empty() && request.method() != Method::CONNECT;
        let (answer, stream) = sender.send_request(request, ends)?;
        self.outgoing.begin(stream);
        (self.sent, self.talk) = (true, Talk::Sent(answer));
        Poll::Ready(Ok(()))
    }

    /// Takes over a final head.
    fn take(&mut self, answer: Response<RecvStream>) -> Result<Response<()>, Broken> {
        let (mut head, stream) = answer.into_parts();
        let Ok(left) = one_length(&head.headers) else {
            return Err(self.flawed(Flaw::Framing));
        };
        self.talk = Talk::Saying(Incoming { stream, left });
        head.version = Version::HTTP_11;
        Ok(Response::from_parts(head, ()))
    }

    fn flawed(&mut self, flaw: Flaw) -> Broken {
        self.talk = Talk::Said;
        Broken::Flawed(flaw)
    }

    /// The next frame of the answer's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.poll_send(cx)?;
        let Talk::Saying(incoming) = &mut self.talk else { return Poll::Ready(None) };
        let frame = ready!(incoming.poll_frame(cx));
        // Nothing follows trailers.
        if frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers)) {
            self.talk = Talk::Said;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Broken::Http2)))
    }

    /// Whether the answer has been read to its end.
    pub(super) fn has_answered(&self) -> bool {
        match &self.talk {
            Talk::Saying(incoming) => incoming.stream.is_end_stream(),
            Talk::Said => true,
            Talk::Resting | Talk::Opening(_) | Talk::Sent(_) => false,
        }
    }

    /// How much of the answer's body is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.talk {
            Talk::Saying(incoming) => incoming.size_hint(),
            Talk::Said => SizeHint::with_exact(0),
            Talk::Resting | Talk::Opening(_) | Talk::Sent(_) => SizeHint::default(),
        }
    }
}

// === impl Incoming ===

impl Incoming {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        while let Some(data) = ready!(self.stream.poll_data(cx)) {
            let data = match data {
                Ok(data) => data,
                // The whole answer was said, and no more of the request is wanted (RFC 9113 §8.1).
                // One that is taken back otherwise is not whole, whatever has come of it.
                Err(error)
                    if error.is_remote()
                        && error.reason() == Some(Reason::NO_ERROR)
                        && self.left.is_none_or(|left| left == 0) =>
                {
                    return Poll::Ready(None);
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            // Room is given for what is taken. It fails only where the stream has ended, which the
            // next look at it tells.
            let _ = self.stream.flow_control().release_capacity(data.len());
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(trailers.transpose().map(|fields| fields.map(Frame::trailers)))
    }

    fn size_hint(&self) -> SizeHint {
        match self.left {
            _ if self.stream.is_end_stream() => SizeHint::with_exact(0),
            Some(left) => SizeHint::with_exact(left),
            None => SizeHint::default(),
        }
    }
}

/// The one length that an answer says, if it says one, which everybody reads alike; `h2` takes the
/// first of several, and `05`.
fn one_length(fields: &HeaderMap) -> Result<Option<u64>, Flaw> {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else { return Ok(None) };
    let length = h1::length(length.as_bytes()).filter(|_| lengths.next().is_none());
    length.map(Some).ok_or(Flaw::Framing)
}

/// Moves `Host` to where HTTP/2 has it.
fn address(request: &mut Request<()>, scheme: &'static str) {
    let host = request.headers().get(HOST).map(HeaderValue::as_bytes);
    let Some(host) = host.filter(|_| request.uri().authority().is_none()) else { return };
    let whole = request.uri().path_and_query().cloned();
    let whole = whole.unwrap_or_else(|| PathAndQuery::from_static("/"));
    // What is no authority stays where it is: the endpoint judges it.
    if let Ok(uri) = Uri::builder().scheme(scheme).authority(host).path_and_query(whole).build() {
        *request.uri_mut() = uri;
        request.headers_mut().remove(HOST);
    }
}

/// Leaves out what speaks about a connection, and asks for a WebSocket as HTTP/2 does (RFC 8441
/// §4), where that is what is asked for. No key goes along, since no answer to it comes back.
fn extend(request: &mut Request<()>) {
    let headers = request.headers_mut();
    let switches = headers.contains_key(UPGRADE);
    for name in &OF_A_CONNECTION {
        headers.remove(name);
    }
    if !switches {
        return;
    }
    headers.remove(SEC_WEBSOCKET_KEY);
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
}

#[cfg(test)]
mod tests {
    use http::header::CONNECTION;

    use super::*;

    #[test]
    fn a_host_goes_where_http2_has_it() {
        for (target, host, sent) in [
            ("/a?b=c", "shop.example:80", "http://shop.example:80/a?b=c"),
            ("*", "shop.example", "http://shop.example*"),
            ("//double", "[::1]:3000", "http://[::1]:3000//double"),
        ] {
            let request = Request::builder().uri(target).header(HOST, host);
            let mut request = request.body(()).expect("a request");
            address(&mut request, "http");
            assert_eq!(request.uri().authority().map(|it| it.as_str()), Some(host), "{sent}");
            assert!(!request.headers().contains_key(HOST));
        }
    }

    #[test]
    fn a_handshake_becomes_an_extended_connect() {
        let request = Request::builder()
            .uri("/cable?x=1")
            .header(HOST, "shop.example")
            .header(CONNECTION, "Upgrade")
            .header(UPGRADE, "websocket")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-version", "13");
        let mut request = request.body(()).expect("a request");
        address(&mut request, "https");
        extend(&mut request);
        assert_eq!(request.method(), Method::CONNECT);
        assert_eq!(request.uri(), "https://shop.example/cable?x=1");
        assert_eq!(request.headers().len(), 1, "{:?}", request.headers());
        let protocol = request.extensions().get::<Protocol>();
        assert_eq!(protocol.map(Protocol::as_str), Some("websocket"));
    }

    #[test]
    fn an_answer_says_one_length_at_most() {
        let fields = |lengths: &[&'static str]| {
            let value = |length: &&'static str| (CONTENT_LENGTH, HeaderValue::from_static(length));
            lengths.iter().map(value).collect::<HeaderMap>()
        };
        assert_eq!(one_length(&fields(&[])), Ok(None));
        assert_eq!(one_length(&fields(&["5"])), Ok(Some(5)));
        for lengths in [&["5, 5"][..], &["05"], &["+5"], &["5", "5"]] {
            assert_eq!(one_length(&fields(lengths)), Err(Flaw::Framing), "{lengths:?}");
        }
    }
}
