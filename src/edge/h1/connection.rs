//! A connection between its exchanges: idle, gathering a head, and at its end.

use std::{
    convert::Infallible,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Response;
use parking_lot::Mutex;
use tokio::time::Instant;
use tower::Service;

use crate::{
    body::Body,
    deadline::{Deadline, Wheel},
    drain::{Drain, Stage},
    edge::{h2::frames::PREFACE, leave::Leave},
    fault::Fault,
    peer::{Peer, Protocol},
    proxy::{Arrival, Contact, Incoming, Informational, Presence, Settling, upgrade::Tunnel},
};

use super::{
    super::Stream,
    Released, Rules,
    answer::Asked,
    body::Reader,
    exchange::{Exchange, Manner, Next},
    fields::Framing,
    head::{Assembler, Head, Verdict},
    intake::Intake,
    linger,
    writer::Writer,
};

/// How long an idle connection is kept when usher no longer accepts. A client that is at work sends
/// its next request within that, and learns from the answer that the connection closes; one that
/// were closed at once would lose the request that is on its way.
const LAST_CALL: Duration = Duration::from_secs(1);

/// One client's connection.
pub(super) struct Connection<S> {
    stream: Arc<Stream>,
    intake: Arc<Mutex<Intake>>,
    peer: Arc<Peer>,
    rules: Arc<Rules>,
    wheel: Wheel,
    leave: Leave,
    presence: Presence,
    /// 1xx answers of the request under way, once there was one.
    informational: Option<Informational>,
    assembler: Assembler,
    phase: Phase,
    /// Whether what has come may be the beginning of HTTP/2's preface.
    may_be_http2: bool,
    /// Ends the phase; with the request under way, where there is one. It is one for all, so that
    /// its place in the wheel stays: what it is set to is mostly put off.
    deadline: Option<Box<Deadline>>,
    /// When the connection is too old for another request.
    expires: Instant,
    /// Whether this is the last time that it may be idle.
    last_call: bool,
    service: S,
}

/// How the wait for a head ended.
pub(super) enum Awaited {
    /// A head was read, or refused.
    Head(Verdict),
    /// The first thing that came was the preface of HTTP/2.
    Http2,
    /// The client left or was idle for too long, or all connections are to end.
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Gathering,
}

// === impl Connection ===

impl<S> Connection<S> {
    pub(super) fn new(
        stream: Stream,
        peer: Arc<Peer>,
        rules: Arc<Rules>,
        wheel: Wheel,
        drain: Drain,
        service: S,
    ) -> Self {
        let stream = Arc::new(stream);
        let presence = Presence::default();
        let intake = Intake::new(stream.clone(), rules.clone(), wheel.clone(), presence.clone());
        let now = Instant::now();
        let expires = now + rules.lifetime(fastrand::f64());
        Self {
            stream,
            intake: Arc::new(Mutex::new(intake)),
            peer,
            leave: Leave::new(drain),
            presence,
            informational: None,
            assembler: Assembler::default(),
            phase: Phase::Idle,
            may_be_http2: rules.h2c,
            deadline: Some(Box::new(wheel.at(expires.min(now + rules.keep_alive)))),
            expires,
            last_call: false,
            rules,
            wheel,
            service,
        }
    }

    /// Waits for the next head, with no buffer while there is nothing of it.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Awaited> {
        let mut intake = self.intake.lock();
        loop {
            if self.may_be_http2 {
                let here = intake.buffer.len().min(PREFACE.len());
                self.may_be_http2 = intake.buffer[..here] == PREFACE[..here];
                if self.may_be_http2 && here == PREFACE.len() {
                    return Poll::Ready(Awaited::Http2);
                }
            }
            // What may still become a preface is no head yet.
            if !self.may_be_http2
                && let Some(verdict) = self.assembler.step(&mut intake.buffer, &self.rules)
            {
                self.assembler = Assembler::default();
                return Poll::Ready(Awaited::Head(self.secured(verdict)));
            }
            match intake.poll_fill(cx) {
                Poll::Ready(Ok(read)) if read > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Awaited::Over),
                Poll::Pending => break,
            }
        }
        intake.park();
        let deadline = self.deadline.get_or_insert_with(|| self.wheel.spare());
        if self.phase == Phase::Idle && !intake.buffer.is_empty() {
            self.phase = Phase::Gathering;
            deadline.reset(Instant::now() + self.rules.head_wait);
        }
        match (self.leave.poll_stage(cx), self.phase) {
            (Stage::Running | Stage::Grace, _) | (Stage::Finishing, Phase::Gathering) => {}
            (Stage::Finishing, Phase::Idle) => {
                if !std::mem::replace(&mut self.last_call, true) {
                    let last = deadline.instant().min(Instant::now() + LAST_CALL);
                    deadline.reset(last);
                }
            }
            (Stage::Cutting | Stage::Ending, _) => return Poll::Ready(Awaited::Over),
        }
        Pin::new(deadline).poll(cx).map(|()| match self.phase {
            Phase::Idle => Awaited::Over,
            Phase::Gathering => Awaited::Head(Err(Box::new(self.assembler.late(&intake.buffer)))),
        })
    }

    /// RFC 9110 §7.4: who asks for an `https` resource has to do so over TLS, or through a proxy
    /// that ended it.
    fn secured(&self, verdict: Verdict) -> Verdict {
        let head = verdict?;
        if head.https && self.peer.tls.is_none() && !self.peer.trusted {
            return Err(Box::new(head.refused(Fault::BadTarget)));
        }
        Ok(head)
    }

    /// Begins to be idle, `now`.
    pub(super) fn rest(&mut self, now: Instant) {
        self.phase = Phase::Idle;
        let deadline = self.deadline.get_or_insert_with(|| self.wheel.spare());
        deadline.reset(self.expires.min(now + self.rules.keep_alive));
    }

    /// Closes the connection.
    pub(super) async fn close(self, manner: Manner) {
        linger::close(&self.stream, &self.intake, &self.wheel, manner).await;
    }

    /// Gives the stream, and what has arrived on it, to a tunnel that ends it.
    pub(super) async fn hand_over(self, tunnel: Tunnel) {
        if let Some(Released { stream, early }) = self.let_go() {
            tunnel.carry(stream, early).await;
        }
    }

    /// The stream, and what has arrived on it.
    pub(super) fn let_go(self) -> Option<Released> {
        let Self { stream, intake, service, .. } = self;
        drop(service);
        let early = intake.lock().release();
        drop(intake);
        // Nobody else holds the stream now: bodies reach it only through what let go of it.
        Arc::into_inner(stream).map(|stream| Released { stream, early })
    }

    /// A request with its body, ready for the service.
    fn admit(&self, head: Head) -> Box<Incoming> {
        let turn = {
            let mut intake = self.intake.lock();
            let turn = intake.begin(head.framing, head.expects);
            intake.park();
            turn
        };
        let mut request = head.request;
        if head.framing != Framing::None {
            request.body = Body::new(Reader::new(self.intake.clone(), turn, head.framing));
        }
        request
    }
}

impl<S> Connection<S>
where
    S: Service<Arrival, Response = Response<Settling>, Error = Infallible>,
{
    /// Hands what was read to the service, and writes its answer.
    #[inline(always)]
    pub(super) async fn exchange(&mut self, verdict: Verdict) -> Next {
        let arrived = Instant::now().into_std();
        let facts = Facts::of(&verdict);
        let request = match verdict {
            Ok(head) => Ok(self.admit(head)),
            Err(refusal) => {
                self.intake.lock().begin(Framing::None, false);
                Err(refusal)
            }
        };
        let informational = facts.may_be_informed.then(|| {
            let informational = self.informational.get_or_insert_default();
            informational.renew();
            &*informational
        });
        let (presence, informing) = (Some(self.presence.clone()), informational.cloned());
        let contact = Contact { presence, informational: informing };
        let (peer, protocol) = (self.peer.clone(), facts.asked.protocol);
        let deadline = self.deadline.take();
        let arrival = Arrival { peer, protocol, arrived, contact, deadline, request };
        let Ok(()) = poll_fn(|cx| self.service.poll_ready(cx)).await;
        let service = self.service.call(arrival);
        let mut exchange = Exchange {
            stream: &self.stream,
            intake: &self.intake,
            wheel: &self.wheel,
            leave: &mut self.leave,
            deadline: &mut self.deadline,
            writer: Writer::new(&self.stream, &self.wheel, self.rules.write_wait),
            informational,
            asked: facts.asked,
            has_body: facts.has_body,
            upgrade: facts.upgrade,
            client_closes: facts.client_closes,
            persists: facts.persists,
            expires: self.expires,
            reset: None,
        };
        pin!(exchange.run(service)).await
    }
}

/// What the door keeps of a request.
struct Facts {
    asked: Asked,
    has_body: bool,
    /// Whether its client knows 1xx answers.
    may_be_informed: bool,
    upgrade: bool,
    client_closes: bool,
    persists: bool,
}

// === impl Facts ===

impl Facts {
    fn of(verdict: &Verdict) -> Self {
        match verdict {
            Ok(head) => Self {
                asked: Asked::new(Some(&head.request.head.method), head.protocol),
                has_body: head.framing != Framing::None,
                may_be_informed: head.protocol == Protocol::Http11,
                upgrade: head.upgrade,
                client_closes: !head.persists,
                persists: head.persists,
            },
            Err(refusal) => Self {
                asked: Asked::new(refusal.method.as_ref(), Protocol::Http11),
                has_body: false,
                may_be_informed: false,
                upgrade: false,
                client_closes: false,
                persists: false,
            },
        }
    }
}
