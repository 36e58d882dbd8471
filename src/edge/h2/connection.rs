//! A connection between its streams: what it accepts, how long it stays, and how it ends.
//!
//! ```text
//!   serving ── idle, old, or usher stops ──> leaving: told twice ── no streams ──> read ──> over
//!      └───── a flood, a stall, an error ─────────────────────────────────────────────────┘
//! ```
//!
//! Whatever a client still has to read is waited for: what it sends while it reads would meet a
//! closed socket, whose reset destroys the rest.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use h2::{Reason, RecvStream, server::SendResponse};
use http::{Method, Request, Response};
use tokio::time::Instant;
use tower::Service;

use crate::{
    body::Body,
    deadline::Deadline,
    drain::Stage,
    edge::{Load, leave::Leave},
    meters::Http2End,
    peer::{Peer, Protocol},
    proxy::{Arrival, Contact, Incoming, Informational, Settling},
};

use super::{
    delivery::Piece,
    farewell::{Farewell, of_error},
    head::{self, Head},
    stream::Exchange,
    streams::{Common, Streams},
    upload::{Upload, Word},
    wire::Wire,
};

/// How often a connection with open streams is looked at: one that has brought nothing since the
/// last look is sent a ping, and has until the next one to say anything at all.
const LOOK: Duration = Duration::from_secs(30);

/// How long a connection without streams may take to answer that it is leaving.
const GOODBYE: Duration = Duration::from_secs(2);

/// One client's connection.
pub(super) struct Connection<S> {
    h2: h2::server::Connection<Wire, Piece>,
    wire: Wire,
    pings: Option<h2::PingPong>,
    peer: Arc<Peer>,
    common: Arc<Common>,
    streams: Streams,
    /// What wakes its task for the crate, and for nothing else.
    bell: Waker,
    leave: Leave,
    service: S,
    /// Requests that were accepted.
    accepted: u64,
    /// Since when it has no streams.
    quiet_since: Option<Instant>,
    /// When it is too old.
    expires: Instant,
    /// When it is looked at next.
    look: Deadline,
    /// When it was last looked whether the client is there, what had been read by then, and whether
    /// a ping was sent then.
    asked_at: Instant,
    read_before: u64,
    pinged: bool,
    leaving: Option<Leaving>,
}

/// A connection that is told to go.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    /// Why.
    end: Http2End,
    /// Since when.
    since: Instant,
    /// Whether its client has been told which request was the last without having answered before.
    told: bool,
}

// === impl Connection ===

impl<S> Connection<S>
where
    S: Service<Arrival, Response = Response<Settling>, Error = Infallible> + Send,
    S::Future: Send + 'static,
{
    pub(super) fn new(
        (mut h2, wire): (h2::server::Connection<Wire, Piece>, Wire),
        peer: Arc<Peer>,
        common: Arc<Common>,
        load: Load,
        service: S,
    ) -> Self {
        let now = Instant::now();
        let streams = Streams::new(load);
        let expires = now + common.rules.lifetime(fastrand::f64());
        Self {
            pings: h2.ping_pong(),
            h2,
            wire,
            peer,
            bell: streams.bell_of_crate(),
            streams,
            leave: Leave::new(common.drain.clone()),
            service,
            accepted: 0,
            quiet_since: Some(now),
            expires,
            look: common.wheel.at(now),
            common,
            asked_at: now,
            read_before: 0,
            pinged: false,
            leaving: None,
        }
    }

    /// Serves the connection to its end.
    pub(super) async fn run(mut self) -> Farewell {
        let end = poll_fn(|cx| self.poll(cx)).await;
        let Self { h2, wire, mut streams, accepted, common, .. } = self;
        // Streams that are left learn from this that their client has gone.
        drop((h2, wire));
        poll_fn(|cx| streams.poll_none(cx)).await;
        Farewell { end, refused: common.watch.opened().saturating_sub(accepted) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Http2End> {
        self.streams.begin(cx);
        loop {
            while self.streams.look() {
                let end = self.look_at_crate();
                if self.wire.finish(&mut Context::from_waker(&self.bell)) {
                    self.common.watch.underway.left();
                }
                if let Some(end) = end {
                    return Poll::Ready(end);
                }
            }
            if self.sees_flood() {
                continue;
            }
            match self.leave.poll_stage(cx) {
                Stage::Running | Stage::Grace => {}
                Stage::Finishing => {
                    if self.say_goodbye(Http2End::Drained) {
                        continue;
                    }
                }
                Stage::Cutting | Stage::Ending => {
                    if self.streams.cut() {
                        // Their clients are told.
                        continue;
                    }
                    if self.streams.is_empty() && self.say_last(Http2End::Drained) {
                        self.common.watch.take_as_read();
                        continue;
                    }
                }
            }
            match self.poll_look(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(end)) => return Poll::Ready(end),
                Poll::Ready(None) => {}
            }
        }
    }

    /// Has the crate read and write, and takes in what requests it has; how it ended, if it has.
    fn look_at_crate(&mut self) -> Option<Http2End> {
        loop {
            match self.h2.poll_accept(&mut Context::from_waker(&self.bell)) {
                Poll::Ready(Some(Ok((request, respond)))) => self.welcome(request, respond),
                Poll::Ready(Some(Err(error))) => return Some(self.verdict(&error)),
                Poll::Ready(None) => {
                    return Some(self.leaving.map_or(Http2End::Closed, |leaving| leaving.end));
                }
                Poll::Pending => return None,
            }
            // All that could be read and written has been. Only where more requests have begun
            // than have been seen here may another one be ready.
            if self.accepted == self.common.watch.opened() {
                return None;
            }
        }
    }

    /// Hands a request to the service, and takes in its stream.
    fn welcome(&mut self, request: Request<RecvStream>, respond: SendResponse<Piece>) {
        let arrived = Instant::now().into_std();
        self.accepted += 1;
        self.quiet_since = None;
        let (parts, stream) = request.into_parts();
        let head_only = parts.method == Method::HEAD;
        let has_body = !stream.is_end_stream();
        let mut exchange = Exchange {
            common: self.common.clone(),
            respond,
            head_only,
            informational: None,
            word: None,
            upgrade: None,
        };
        let request = match head::read(parts, has_body, &self.peer, &self.common.rules) {
            Ok(head) => Ok(self.admit(head, has_body, stream, &mut exchange)),
            Err(refusal) => Err(refusal),
        };
        // A stream that is half-closed is one whose request is whole; who takes it back resets it.
        let contact = Contact { presence: None, informational: exchange.informational.clone() };
        let (peer, protocol, deadline) = (self.peer.clone(), Protocol::Http2, None);
        let arrival = Arrival { peer, protocol, arrived, contact, deadline, request };
        let service = self.service.call(arrival);
        // Boxed here, since it would be moved on the way.
        self.streams.start(Box::pin(exchange.run(service)));
    }

    /// A request with its body, ready for the service, and what the door keeps of it.
    fn admit(
        &self,
        head: Head,
        has_body: bool,
        stream: RecvStream,
        exchange: &mut Exchange,
    ) -> Box<Incoming> {
        let Head { mut request, length, expects, websocket } = head;
        exchange.informational = Some(Informational::default());
        exchange.word = expects.then(Word::default);
        if websocket {
            exchange.upgrade = Some(stream);
        } else if has_body {
            let word = exchange.word.clone();
            request.body = Body::new(Upload::new(stream, self.common.clone(), length, word));
        }
        request
    }

    /// Whether something has just been seen that ends the connection at once.
    fn sees_flood(&mut self) -> bool {
        let Some(end) = self.common.watch.ended() else { return false };
        if self.leaving.is_some_and(|leaving| leaving.end == end) {
            return false;
        }
        self.common.watch.take_as_read();
        self.leave(end, true);
        self.h2.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        self.bell.wake_by_ref();
        true
    }

    /// Tells the client to open no more streams; `false` when it has been told.
    fn say_goodbye(&mut self, end: Http2End) -> bool {
        if self.leaving.is_some() {
            return false;
        }
        self.leave(end, false);
        self.h2.graceful_shutdown();
        self.bell.wake_by_ref();
        true
    }

    /// Tells the client which request was the last, though it has not answered, and lets the
    /// connection end when that has been read; `false` when it has been told.
    fn say_last(&mut self, end: Http2End) -> bool {
        if self.leaving.is_some_and(|leaving| leaving.told) {
            return false;
        }
        self.leave(self.leaving.map_or(end, |leaving| leaving.end), true);
        self.h2.abrupt_shutdown(Reason::NO_ERROR);
        self.bell.wake_by_ref();
        true
    }

    fn leave(&mut self, end: Http2End, told: bool) {
        let since = Instant::now();
        self.leaving = Some(Leaving { end, since, told });
        self.look.reset(since + GOODBYE);
    }

    /// Looks at the connection from time to time. Ready with its end, or when it was changed.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Option<Http2End>> {
        let quiet = self.streams.is_empty() && !self.h2.has_streams();
        if !quiet {
            self.quiet_since = None;
        } else if self.quiet_since.is_none() {
            self.quiet_since = Some(Instant::now());
        }
        if let Some(pings) = &mut self.pings {
            // Whatever was read shows that the client is there; only the state has to move on.
            let _ = pings.poll_pong(cx);
        }
        while Pin::new(&mut self.look).poll(cx).is_ready() {
            let now = Instant::now();
            if let Some(leaving) = self.leaving {
                let is_over = self.has_waited_long_enough(leaving, now);
                if is_over && (leaving.told || self.common.watch.ended().is_some()) {
                    return Poll::Ready(Some(leaving.end));
                }
                self.look.reset(now + GOODBYE);
                if is_over && self.say_last(leaving.end) {
                    return Poll::Ready(None);
                }
                continue;
            }
            let idle_at = self.quiet_since.map(|since| since + self.common.rules.keep_alive);
            let ends = match idle_at {
                Some(idle_at) if now >= idle_at => Some(Http2End::Idle),
                Some(_) | None => (now >= self.expires).then_some(Http2End::Age),
            };
            if let Some(end) = ends {
                self.say_goodbye(end);
                return Poll::Ready(None);
            }
            // Looks may be closer together than a client may be silent.
            if now >= self.asked_at + LOOK && self.is_dead(now) {
                return Poll::Ready(Some(Http2End::PingTimeout));
            }
            // A connection that is busy now may be idle from the next moment on.
            let idle_at = idle_at.unwrap_or(now + self.common.rules.keep_alive);
            self.look.reset(idle_at.min(now + LOOK).min(self.expires));
        }
        Poll::Pending
    }

    /// Whether nothing is open any more, and the client has had its time to answer, or to read.
    fn has_waited_long_enough(&self, leaving: Leaving, now: Instant) -> bool {
        let watch = &self.common.watch;
        if watch.ended().is_some() {
            return now >= leaving.since + GOODBYE;
        }
        let patience = watch.reading(self.common.rules.write_wait).max(GOODBYE);
        self.quiet_since.is_some_and(|quiet| now >= leaving.since.max(quiet) + patience)
    }

    /// Whether a client with open streams has not answered a ping; sends one when it is silent.
    fn is_dead(&mut self, now: Instant) -> bool {
        self.asked_at = now;
        self.common.watch.take_as_read();
        let read = self.common.watch.read();
        let silent = std::mem::replace(&mut self.read_before, read) == read;
        if self.quiet_since.is_some() || !silent {
            self.pinged = false;
            return false;
        }
        if self.pinged {
            return true;
        }
        if let Some(pings) = &mut self.pings {
            self.pinged = pings.send_ping(h2::Ping::opaque()).is_ok();
        }
        false
    }

    /// What an error of the crate says about the end.
    fn verdict(&self, error: &h2::Error) -> Http2End {
        let leaving = self.leaving.filter(|_| error.is_io()).map(|leaving| leaving.end);
        if let Some(known) = self.common.watch.ended().or(leaving) {
            return known;
        }
        tracing::debug!(client = %self.peer.client(), %error, "a connection over HTTP/2 broke");
        of_error(error)
    }
}
