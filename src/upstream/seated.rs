//! A seat on a trunk, and the request that is said on it: HTTP/2 as HTTP/1.1 looks from above.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, Uri, Version,
    header::{CONNECTION, CONTENT_LENGTH, HOST, SEC_WEBSOCKET_KEY, UPGRADE},
    request::Parts,
    uri::PathAndQuery,
};
use http_body::{Body as _, Frame, SizeHint};
use hyper::{body::Incoming, client::conn::TrySendError, ext::Protocol, upgrade::OnUpgrade};

use super::{
    broken::Broken,
    dialect::Dialect,
    h1::{self, Flaw},
    trunk::{Seat, Trunk},
};
use crate::body::Body;

/// A seat, and what is said on it.
#[derive(Debug)]
pub(super) struct Seated {
    seat: Seat,
    scheme: &'static str,
    talk: Talk,
    /// Whether the request may have gone out.
    sent: bool,
    /// The body of a request that came back unsent.
    unsent: Option<Body>,
    /// What the stream goes on as, where the answer agrees to switch.
    upgrade: Option<OnUpgrade>,
}

/// How far a request and its answer have come.
enum Talk {
    Resting,
    Sending(Sending),
    Saying(Incoming),
    /// The answer has been read to its end.
    Said,
}

/// A request that has been sent, and whose answer is waited for.
type Sending =
    Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + Send>>;

// === impl Seated ===

impl Seated {
    /// On `seat`, to be spoken on as in `dialect`.
    pub(super) fn new(seat: Seat, dialect: &Dialect) -> Self {
        let scheme = if dialect.is_encrypted() { "https" } else { "http" };
        Self { seat, scheme, talk: Talk::Resting, sent: false, unsent: None, upgrade: None }
    }

    /// The trunk that it is on.
    pub(super) fn trunk(&self) -> &Arc<Trunk> {
        self.seat.trunk()
    }

    /// Sends a request whose head is written as for HTTP/1.1.
    pub(super) fn send(&mut self, head: &Parts, body: Body) {
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        address(&mut request, self.scheme);
        extend(&mut request);
        (self.sent, self.unsent, self.upgrade) = (true, None, None);
        let mut sender = self.seat.sender();
        self.talk = Talk::Sending(Box::pin(async move { sender.try_send_request(request).await }));
    }

    /// Whether the request may have gone out.
    pub(super) fn has_sent(&self) -> bool {
        self.sent
    }

    /// The body of a request that came back unsent.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        self.unsent.take()
    }

    /// What the stream goes on as behind an agreement to switch.
    pub(super) fn take_upgrade(&mut self) -> Option<OnUpgrade> {
        self.upgrade.take()
    }

    /// The head of the answer.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<()>, Broken>> {
        let Talk::Sending(sending) = &mut self.talk else {
            return Poll::Ready(Err(Broken::Ended(None)));
        };
        let answered = ready!(sending.as_mut().poll(cx));
        self.talk = Talk::Said;
        Poll::Ready(match answered {
            Ok(mut answer) => {
                self.upgrade = Some(hyper::upgrade::on(&mut answer));
                let (mut head, incoming) = answer.into_parts();
                if !frames_clearly(&head.headers) {
                    return Poll::Ready(Err(Broken::Flawed(Flaw::Framing)));
                }
                head.version = Version::HTTP_11;
                self.talk = Talk::Saying(incoming);
                Ok(Response::from_parts(head, ()))
            }
            Err(mut error) => {
                self.unsent = error.take_message().map(Request::into_body);
                self.sent = self.unsent.is_none();
                Err(Broken::Http2(error.into_error()))
            }
        })
    }

    /// The next frame of the answer's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let Talk::Saying(incoming) = &mut self.talk else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(incoming).poll_frame(cx));
        // Nothing follows trailers.
        if frame.as_ref().is_none_or(|frame| frame.as_ref().is_ok_and(Frame::is_trailers)) {
            self.talk = Talk::Said;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Broken::Http2)))
    }

    /// Whether the answer has been read to its end.
    pub(super) fn has_answered(&self) -> bool {
        match &self.talk {
            Talk::Saying(incoming) => incoming.is_end_stream(),
            Talk::Said => true,
            Talk::Resting | Talk::Sending(_) => false,
        }
    }

    /// How much of the answer's body is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.talk {
            Talk::Saying(incoming) => incoming.size_hint(),
            Talk::Said => SizeHint::with_exact(0),
            Talk::Resting | Talk::Sending(_) => SizeHint::default(),
        }
    }
}

// === impl Talk ===

impl std::fmt::Debug for Talk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Talk::Resting => "Resting",
            Talk::Sending(_) => "Sending",
            Talk::Saying(_) => "Saying",
            Talk::Said => "Said",
        })
    }
}

/// Whether there is one length at most, which everybody reads alike. hyper takes `5, 5` and `05`.
fn frames_clearly(fields: &HeaderMap) -> bool {
    let mut lengths = fields.get_all(CONTENT_LENGTH).iter();
    lengths.next().is_none_or(|length| h1::length(length.as_bytes()).is_some())
        && lengths.next().is_none()
}

/// Moves `Host` to where HTTP/2 has it.
fn address(request: &mut Request<Body>, scheme: &'static str) {
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

/// Asks for a WebSocket as HTTP/2 does (RFC 8441 §4), where that is what is asked for. No key goes
/// along, since no answer to it comes back.
fn extend(request: &mut Request<Body>) {
    let headers = request.headers_mut();
    if headers.remove(UPGRADE).is_none() {
        return;
    }
    headers.remove(CONNECTION);
    headers.remove(SEC_WEBSOCKET_KEY);
    *request.method_mut() = Method::CONNECT;
    request.extensions_mut().insert(Protocol::from_static("websocket"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_goes_where_http2_has_it() {
        for (target, host, sent) in [
            ("/a?b=c", "shop.example:80", "http://shop.example:80/a?b=c"),
            ("*", "shop.example", "http://shop.example*"),
            ("//double", "[::1]:3000", "http://[::1]:3000//double"),
        ] {
            let request = Request::builder().uri(target).header(HOST, host);
            let mut request = request.body(Body::empty()).expect("a request");
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
        let mut request = request.body(Body::empty()).expect("a request");
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
        assert!(frames_clearly(&fields(&[])) && frames_clearly(&fields(&["5"])));
        for lengths in [&["5, 5"][..], &["05"], &["+5"]] {
            assert!(!frames_clearly(&fields(lengths)), "{lengths:?}");
        }
        let mut twice = fields(&["5"]);
        twice.append(CONTENT_LENGTH, HeaderValue::from_static("5"));
        assert!(!frames_clearly(&twice));
    }
}
