//! What happens to one request: decide, admit, forward, settle.
//!
//! Values move one way. A door hands in an [`Arrival`]; the snapshot decides whom it is for; the
//! [`Exchange`] opens its ledger; `forward` brings the monolith's answer; the answer's body, a
//! [`Settling`], carries the exchange to its end.

mod ahead;
mod answer;
mod asked;
mod buffers;
mod contact;
mod exchange;
mod forward;
mod gather;
mod handshake;
pub mod headers;
mod hold;
mod informational;
pub mod memory;
mod operation;
mod orphan;
mod panics;
mod presence;
mod record;
mod reply;
mod request_id;
mod settle;
mod slot;
pub mod upgrade;
mod upload;
mod verdict;
mod versions;
mod visitor;
mod worker;

use std::{
    convert::Infallible,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, request::Parts};

use crate::{
    body::Body,
    classify::Facts,
    config::Listener,
    deadline::Deadline,
    fault::Fault,
    http1::lines::Lines,
    identity::{Evidence, Found},
    peer::{Peer, Protocol},
    snapshot::View,
};

use asked::Asked;
use forward::{Said, forward};
use headers::Brought;
use operation::Question;
use panics::Caught;

pub use buffers::Buffers;
pub use contact::Contact;
pub use exchange::Exchange;
pub use gather::Spool;
pub use informational::Informational;
pub use memory::Memory;
pub use presence::{DroppedNames, Presence};
pub use reply::{Form, Unheard};
pub use request_id::RequestId;
pub use settle::{End, Settling};
pub use upgrade::Tunnel;
pub use versions::{is_preflight, place_of};
pub use visitor::Visitor;
pub use worker::{Common, Crew, OnDuty, Pulse, Tunnels, Worker};

/// What a door hands in: a request read and found good, or what is known of one that is not.
pub struct Arrival {
    /// Who asks.
    pub peer: Arc<Peer>,
    /// What the client spoke.
    pub protocol: Protocol,
    /// When the head had been read whole.
    pub arrived: Instant,
    /// How its client is seen and spoken to meanwhile.
    pub contact: Contact,
    /// What it may wait by, where the door has that; [`Settling::take_deadline`] gives it back.
    pub deadline: Option<Box<Deadline>>,
    /// The request, or why there is none.
    pub request: Result<Box<Incoming>, Box<Refusal>>,
}

/// A request as a door has read it. It stays where it was read into until its answer begins.
#[derive(Debug)]
pub struct Incoming {
    /// Its head.
    pub head: Parts,
    /// Those of its fields that lie outside of its map, and go on as they came.
    pub lines: Lines,
    /// Its body.
    pub body: Body,
}

/// A request that a door refused, and what of its head could be read.
pub struct Refusal {
    /// Why.
    pub fault: Fault,
    /// Its method, where it got so far.
    pub method: Option<Method>,
    /// Its host, where it got so far.
    pub host: Option<String>,
    /// Its path without the query, where it got so far.
    pub path: Option<String>,
    /// How its client wants to be told, where it got so far.
    pub form: Form,
}

/// usher's work on one worker. Cheap to clone; each connection has one.
#[derive(Clone, Debug)]
pub struct Proxy {
    worker: Arc<Worker>,
}

/// How a request came.
struct Came {
    peer: Arc<Peer>,
    protocol: Protocol,
    arrived: Instant,
    deadline: Option<Box<Deadline>>,
}

/// A request that has been decided, and what its answer needs of the door.
struct Opened {
    exchange: Box<Exchange>,
    brought: Brought,
    hsts: Option<HeaderValue>,
    /// What its body is to be asked before it is decided for good.
    question: Option<Question>,
}

/// A request on its way to the head of its answer, even when it panics.
pub struct Handling(Caught<Response<Settling>>);

// === impl Proxy ===

impl Proxy {
    /// The proxy that runs on `worker`.
    pub fn new(worker: Arc<Worker>) -> Self {
        Self { worker }
    }

    /// Takes one request from its arrival to the head of its answer.
    pub fn handle(&self, arrival: Arrival) -> Handling {
        let proxy = self.clone();
        let Arrival { peer, protocol, arrived, contact, deadline, request } = arrival;
        let came = Came { peer, protocol, arrived, deadline };
        Handling(match request {
            Ok(request) => panics::caught(|| proxy.serve(came, contact, request)),
            Err(refusal) => panics::caught(|| async move { proxy.refuse(came, &refusal) }),
        })
    }

    #[expect(
        clippy::manual_async_fn,
        reason = "an `async fn` has room for its arguments twice, and these are most of a request"
    )]
    #[inline(always)]
    fn serve(
        self,
        came: Came,
        contact: Contact,
        mut request: Box<Incoming>,
    ) -> impl Future<Output = Response<Settling>> + Send {
        async move {
            let Incoming { head, lines, body } = &mut *request;
            let body = std::mem::take(body);
            let Opened { mut exchange, brought, hsts, question } = self.open(came, head, lines);
            let body = match question {
                None => Ok(body),
                // On the heap, so that all other requests' futures stay as small as they are.
                Some(question) => {
                    Box::pin(operation::ask(&mut exchange, head, question, body)).await
                }
            };
            exchange.decided(head);
            let admitted = body.and_then(|body| {
                exchange.admit()?;
                exchange.admit_by_version()?;
                exchange.admit_by_rate()?;
                Ok(body)
            });
            let said = match admitted {
                Ok(body) => {
                    let forwarded = forward(&mut exchange, head, lines, &contact, brought, body);
                    pin!(forwarded).await
                }
                Err(fault) => Err(fault),
            };
            let deprecation = exchange.deprecation().filter(|_| said.is_ok());
            let mut response = match said {
                Ok(Said::Answer(mut head)) => {
                    if visitor::has_news(&exchange) || deprecation.is_some() || hsts.is_some() {
                        exchange.bring_told(&mut head.headers);
                    }
                    visitor::tell(&exchange, &mut head.headers);
                    Response::from_parts(head, Settling::answer(exchange))
                }
                Ok(Said::Switched(mut head, tunnel)) => {
                    exchange.give_back(None);
                    head.extensions.insert(*tunnel);
                    Response::from_parts(head, Settling::made(Bytes::new(), Some(exchange)))
                }
                Err(fault) => {
                    // However slowly its client takes the refusal: the monolith is done with it.
                    exchange.give_back(None);
                    reply::from_fault(exchange, fault)
                }
            };
            if let Some(deprecation) = deprecation {
                headers::deprecate(response.headers_mut(), deprecation);
            }
            if let Some(hsts) = &hsts {
                headers::insist_on_https(response.headers_mut(), hsts);
            }
            response
        }
    }

    /// Decides whom the request is for, and opens its ledger. The head is clean afterwards.
    fn open(self, came: Came, head: &mut Parts, lines: &mut Lines) -> Opened {
        let Came { peer, protocol, arrived, deadline } = came;
        let view = self.worker.view();
        // Whoever looks into the map finds there what this configuration asks for.
        view.fields_asked().iter().for_each(|name| lines.bring(name, &mut head.headers));
        let trusted = &view.config.trusted_proxies;
        let brought = headers::clean(&head.method, &mut head.headers, lines, &peer, trusted);
        let found = self.identify(&view, head, &peer);
        let mut facts = Facts {
            method: &head.method,
            path: head.uri.path(),
            query: head.uri.query(),
            host: headers::host_of(&head.headers, lines),
            headers: &head.headers,
            client: brought.client,
            subject: peer.client_subject(),
            identity: found.identity.as_deref(),
            operation: None,
        };
        let listener = view.listener(&peer.listener);
        let astray = listener.and_then(|it| astray(&view, it, &peer, &facts, brought.secure));
        let looks = view.operations().filter(|_| astray.is_none());
        let look = looks.and_then(|operations| operations.look(&facts));
        facts.operation = look.as_ref().map(|look| &look.operation);
        let decision = match astray {
            Some(fault) => view.undecided(fault),
            None => view.decide(&facts).refusing(found.refused),
        };
        let hsts = listener.and_then(|it| it.hsts.clone()).filter(|_| brought.secure);
        let request_id = headers::request_id(&head.headers, &peer, || fastrand::u128(..));
        let mut asked = Asked::of(peer, protocol, head, lines, brought.client, request_id);
        asked.identity = found.identity;
        let ask = look.as_ref().and_then(|look| look.body);
        asked.operation = look.map(|look| Arc::new(look.operation));
        asked.secure = brought.secure;
        let mut exchange = Exchange::open(self.worker, view, decision, asked, arrived);
        if let Some(deadline) = deadline {
            exchange.lend(deadline);
        }
        let (client, refused) = (brought.client, found.refused);
        let question = ask.map(|ask| Question { ask, client, refused });
        Opened { exchange, brought, hsts, question }
    }

    /// Who asks, where anything may prove that.
    fn identify(&self, view: &View, head: &mut Parts, peer: &Peer) -> Found {
        let Some(identities) = view.identities() else { return Found::default() };
        if !peer.trusted {
            headers::distrust(&mut head.headers, identities.sources.vouched());
        }
        let evidence = Evidence {
            headers: &head.headers,
            query: head.uri.query(),
            trusted: peer.trusted,
            certificate: peer.client_subject(),
        };
        self.worker.identify(identities, &evidence)
    }

    /// A request that a door has refused is decided, counted and logged like any other.
    fn refuse(self, came: Came, refusal: &Refusal) -> Response<Settling> {
        let Came { peer, protocol, arrived, deadline: _ } = came;
        let view = self.worker.view();
        let decision = view.undecided(refusal.fault);
        let asked = Asked::of_refused(peer, protocol, refusal, || fastrand::u128(..));
        let exchange = Exchange::open(self.worker, view, decision, asked, arrived);
        reply::from_fault(exchange, refusal.fault)
    }
}

impl tower::Service<Arrival> for Proxy {
    type Response = Response<Settling>;
    type Error = Infallible;
    type Future = Handling;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Self::Future {
        self.handle(arrival)
    }
}

// === impl Incoming ===

impl Incoming {
    /// One without anything but `lines`, to be filled where it is.
    pub fn of(lines: Lines) -> Box<Self> {
        let (head, ()) = Request::new(()).into_parts();
        Box::write(Box::new_uninit(), Self { head, lines, body: Body::empty() })
    }
}

impl From<Request<Body>> for Box<Incoming> {
    /// All of its fields lie in its map.
    fn from(request: Request<Body>) -> Self {
        let (head, body) = request.into_parts();
        Self::new(Incoming { head, lines: Lines::default(), body })
    }
}

// === impl Handling ===

impl Future for Handling {
    type Output = Result<Response<Settling>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let polled = Pin::new(&mut self.0).poll(cx);
        polled.map(|handled| Ok(handled.unwrap_or_else(reply::after_panic)))
    }
}

/// Where certificates are asked for by answering what lies there, in plain text (RFC 8555 §8.3).
const ACME_CHALLENGE: &str = "/.well-known/acme-challenge/";

/// Why a request does not belong at the listener that it came to, whoever it is for.
fn astray(
    view: &View,
    listener: &Listener,
    peer: &Peer,
    facts: &Facts<'_>,
    secure: bool,
) -> Option<Fault> {
    if peer.tls.is_some() {
        let served = view.tls(&peer.listener).is_none_or(|server| server.serves(facts.host));
        return (!served).then_some(Fault::Misdirected);
    }
    let sent_on = listener.redirect.is_some() && !secure;
    (sent_on && !facts.path.starts_with(ACME_CHALLENGE)).then_some(Fault::HttpsRequired)
}
