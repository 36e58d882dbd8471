//! One request and its answer: everything between a head that was read and a connection that is
//! idle again, closed, or a tunnel.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
};

use http::{Response, StatusCode, response::Parts};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::{
    deadline::{Deadline, Wheel},
    drain::Stage,
    edge::leave::Leave,
    fault::Fault,
    http1::lines::Lines,
    proxy::{Informational, Settling, Unheard, upgrade::Tunnel},
};

use super::{
    super::Stream,
    answer::{self, Asked, Shape},
    delivery::Delivery,
    intake::Intake,
    linger,
    writer::Writer,
};

/// What a connection does after an exchange.
pub(super) enum Next {
    /// It waits for the next head from then on.
    Idle(Instant),
    /// It closes, in the given manner.
    Close(Manner),
    /// It goes on as a tunnel.
    Tunnel(Tunnel),
}

/// How a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// At once: nothing of value is on its way.
    Now,
    /// With a reset, so that a cut answer cannot pass for a whole one.
    Reset,
    /// With an end and a bounded wait for the client's, so that it can read its answer.
    Linger,
}

/// One request on its way.
pub(super) struct Exchange<'c> {
    pub(super) stream: &'c Arc<Stream>,
    pub(super) intake: &'c Arc<Mutex<Intake>>,
    pub(super) leave: &'c mut Leave,
    /// Lent to the service, and to be had back from its answer.
    pub(super) deadline: &'c mut Option<Box<Deadline>>,
    pub(super) wheel: &'c Wheel,
    pub(super) writer: Writer<'c>,
    /// 1xx answers, for clients that know them.
    pub(super) informational: Option<&'c Informational>,
    pub(super) asked: Asked,
    /// Whether the request has a body; of one without, the reading side has nothing to tell.
    pub(super) has_body: bool,
    /// Whether the client asked for an upgrade.
    pub(super) upgrade: bool,
    /// Whether the client itself wants the connection closed after this.
    pub(super) client_closes: bool,
    /// Whether the connection may go on afterwards, as far as is known at the start.
    pub(super) persists: bool,
    /// The age at which the connection takes no more requests.
    pub(super) expires: Instant,
    pub(super) reset: Option<Pin<Box<dyn Future<Output = ()> + Send + 'c>>>,
}

/// How the writing of an answer ended.
enum Written {
    Whole,
    /// The service broke off, or gave more or less than it had promised.
    Cut(Fault),
    /// The client left or stalled, or stopping cut the answer off.
    Gone(Fault),
}

// === impl Exchange ===

impl Exchange<'_> {
    /// Waits for the service's answer and writes it.
    pub(super) async fn run<E>(
        &mut self,
        service: impl Future<Output = Result<Response<Settling>, E>>,
    ) -> Next {
        let Some(answer) = pin!(self.wait(service)).await else {
            return Next::Close(Manner::Now);
        };
        let (mut parts, mut settling) = answer.into_parts();
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            let tunnel = parts.extensions.remove::<Tunnel>().filter(|_| self.upgrade);
            return Box::pin(self.switch(&parts, &mut settling, tunnel)).await;
        }
        let now = settling.began().map_or_else(Instant::now, Instant::from_std);
        let mut shape = self.begin(&parts, &settling.take_lines(), now);
        drop(parts);
        let written = pin!(self.write(&mut shape, &mut settling)).await;
        match written {
            Written::Whole => {
                *self.deadline = settling.take_deadline();
                let delivered = settling.delivered();
                drop(settling);
                let delivered = delivered.map_or_else(Instant::now, Instant::from_std);
                match self.end_at_once() {
                    true => Next::Idle(delivered),
                    false => Box::pin(self.end()).await,
                }
            }
            Written::Cut(fault) => {
                settling.broken(fault);
                // Only a reset shows that the body was not whole when its end is the close.
                let manner = if shape == Shape::UntilClose { Manner::Reset } else { Manner::Now };
                Next::Close(manner)
            }
            Written::Gone(fault) => {
                settling.broken(fault);
                Next::Close(Manner::Reset)
            }
        }
    }

    /// The service's answer; `None` when the client left first, or stopping cut it off.
    async fn wait<E>(
        &mut self,
        service: impl Future<Output = Result<Response<Settling>, E>>,
    ) -> Option<Response<Settling>> {
        let mut service = pin!(service);
        poll_fn(|cx| match service.as_mut().poll(cx) {
            Poll::Ready(Ok(answer)) if self.is_heard(&answer) => Poll::Ready(Some(answer)),
            Poll::Ready(Ok(_) | Err(_)) => Poll::Ready(None),
            Poll::Pending => self.poll_aside(cx).map(|_| None),
        })
        .await
    }

    /// Whether anybody is there to hear the answer.
    fn is_heard(&self, answer: &Response<Settling>) -> bool {
        answer.extensions().get::<Unheard>().is_none()
            && !(self.has_body && self.intake.lock().fault() == Some(Fault::ClientLeft))
    }

    /// What goes on beside the service: 1xx answers, the client, the word to stop. Ready when the
    /// exchange is over because of one of them.
    fn poll_aside(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if self.has_body && self.intake.lock().continue_due() {
            self.writer.text.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
        if let Some(informational) = &self.informational {
            for (status, fields) in informational.take() {
                answer::append_informational(&mut self.writer.text, status, &fields);
            }
        }
        if let Poll::Ready(Err(fault)) = self.writer.poll_flush(cx) {
            return Poll::Ready(fault);
        }
        self.poll_gone(cx)
    }

    /// Ready when the client has reset the connection, or all is to be cut.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Fault> {
        if self.leave.poll_stage(cx) >= Stage::Cutting {
            return Poll::Ready(Fault::Draining);
        }
        match self.intake.lock().poll_watch(cx) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Err(_)) => return Poll::Ready(Fault::ClientLeft),
            Poll::Ready(Ok(())) => {}
        }
        let stream = self.stream;
        let reset = self.reset.get_or_insert_with(|| Box::pin(stream.broken()));
        reset.as_mut().poll(cx).map(|()| Fault::ClientLeft)
    }

    /// Lays the head of the answer into the writer; the rest is of the shape that comes back.
    fn begin(&mut self, parts: &Parts, lines: &Lines, now: Instant) -> Shape {
        if let Some(informational) = self.informational.take() {
            for (status, fields) in informational.close() {
                answer::append_informational(&mut self.writer.text, status, &fields);
            }
        }
        let length = answer::length(&parts.headers, lines);
        let shape = Shape::of(parts, length, self.asked);
        self.persists &= self.may_persist(shape, now) && !answer::closes(parts);
        let text = self.writer.open();
        let manner = (shape, self.asked.protocol, self.persists);
        answer::append_head(text, parts, (lines, length), manner);
        shape
    }

    /// Whether nothing speaks against another request on this connection, `now`.
    fn may_persist(&self, shape: Shape, now: Instant) -> bool {
        (!self.has_body || self.body_lets_go_on())
            && shape != Shape::UntilClose
            && !self.leave.is_finishing()
            && now < self.expires
            && (!self.upgrade || self.intake.lock().buffer.is_empty())
    }

    /// Whether what is left of the request's body can be read over.
    fn body_lets_go_on(&self) -> bool {
        let mut intake = self.intake.lock();
        // A client that still waits for `100 Continue` may send its body after this answer or not;
        // nobody can tell what its next bytes would be.
        let owed = intake.stop_expecting() && !intake.is_whole();
        !owed
            && intake.fault().is_none()
            && intake.missing() <= intake.buffer.len() as u64 + linger::DRAINED_BYTES_MAX
    }

    /// Writes the head that waits in the writer, and the body behind it.
    async fn write(&mut self, shape: &mut Shape, settling: &mut Settling) -> Written {
        let mut delivery = Delivery::new(shape, settling);
        let mut may_hold_head = true;
        poll_fn(|cx| {
            loop {
                let gathered = delivery.poll_gather(cx, &mut self.writer);
                // The first frame often needs one more turn of the task that reads it from the
                // endpoint: so the head waits for one turn, and goes out alone after that.
                if std::mem::take(&mut may_hold_head) && gathered.is_pending() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                match (self.writer.poll_flush(cx), delivery.verdict()) {
                    (Poll::Ready(Err(fault)), _) => return Poll::Ready(Written::Gone(fault)),
                    (Poll::Ready(Ok(())), Some(Ok(()))) => return Poll::Ready(Written::Whole),
                    (Poll::Ready(Ok(())), Some(Err(fault))) => {
                        return Poll::Ready(Written::Cut(fault));
                    }
                    (Poll::Ready(Ok(())), None) if gathered.is_ready() => {}
                    (Poll::Ready(Ok(())) | Poll::Pending, _) => {
                        if gathered.is_ready() {
                            delivery.read_ahead(cx);
                        }
                        return self.poll_gone(cx).map(Written::Gone);
                    }
                }
            }
        })
        .await
    }

    /// The answer has gone out whole. Whether the connection waits for the next head from then on,
    /// since it persists and the request has been read whole.
    fn end_at_once(&self) -> bool {
        if self.has_body {
            self.intake.lock().revoke();
        }
        self.persists && self.has_read_all()
    }

    fn has_read_all(&self) -> bool {
        !self.has_body || self.intake.lock().is_whole()
    }

    /// What becomes of the connection otherwise.
    async fn end(&mut self) -> Next {
        if self.persists && linger::discard_rest(self.intake, self.wheel).await {
            return Next::Idle(Instant::now());
        }
        let nothing_comes = self.has_read_all() && self.intake.lock().buffer.is_empty();
        Next::Close(if nothing_comes && self.client_closes { Manner::Now } else { Manner::Linger })
    }

    /// Agrees to the upgrade: the head goes out, and the rest belongs to the tunnel. A 101 that
    /// nobody asked for, or without a tunnel behind it, must not reach the client.
    async fn switch(
        &mut self,
        parts: &Parts,
        settling: &mut Settling,
        tunnel: Option<Tunnel>,
    ) -> Next {
        let Some(tunnel) = tunnel else {
            settling.broken(Fault::UpstreamUpgrade);
            return Next::Close(Manner::Reset);
        };
        answer::append_switch(&mut self.writer.text, parts);
        let written = poll_fn(|cx| match self.writer.poll_flush(cx) {
            Poll::Pending => self.poll_gone(cx).map(Err),
            done => done,
        });
        if let Err(fault) = written.await {
            settling.broken(fault);
            return Next::Close(Manner::Reset);
        }
        settling.delivered();
        self.intake.lock().revoke();
        Next::Tunnel(tunnel)
    }
}
