//! The body of every answer. It owns the exchange; its end, its failure or its drop settles it.
//!
//! ```text
//!   carrying ── last byte from the monolith ──> ended ── last byte to the client ──> settled
//!      │                (lease goes back)         │
//!      └── broken off by either side, or dropped ─┴────────────────────────────────> settled
//!        (lease orphaned while the monolith goes on)
//! ```

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use super::{answer::Answer, exchange::Exchange, orphan::Unwanted};
use crate::{
    body::Body,
    fault::{Blame, Fault},
    http1::lines::Lines,
    upstream::Evidence,
};

/// How an answer's way to the client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Its last byte was handed to the connection.
    Delivered,
    /// It broke off, with this fault.
    Broken(Fault),
}

/// The body of an answer on its way to a client.
///
/// A door polls it to its end, writes what it gets, and calls [`Settling::delivered`] once the
/// last byte has been handed to the connection. Dropped before that, the client has left.
pub struct Settling {
    source: Source,
    owner: Option<Owner>,
}

#[expect(clippy::large_enum_variant, reason = "nearly all are answers of the monolith")]
enum Source {
    Made(Option<Bytes>),
    Body(Body),
    Answer(Answer),
}

enum Owner {
    Exchange(Box<Exchange>),
    Hook(Box<dyn FnOnce(End) + Send>),
}

// === impl Settling ===

impl Settling {
    /// An answer's body whose end is told to `end`, exactly once.
    pub fn new(body: Body, end: impl FnOnce(End) + Send + 'static) -> Self {
        Self { source: Source::Body(body), owner: Some(Owner::Hook(Box::new(end))) }
    }

    /// The monolith's answer, whose head has just come. Where all of it has come with that, its
    /// lease goes back at once.
    pub fn answer(mut answer: Answer, mut exchange: Box<Exchange>) -> Self {
        answer.read_whole();
        if answer.has_ended() {
            let now = exchange.first_byte().unwrap_or_else(Instant::now);
            exchange.give_back_at(now, answer.take_connection());
        }
        Self { source: Source::Answer(answer), owner: Some(Owner::Exchange(exchange)) }
    }

    /// An answer made up by usher, or one without a body.
    pub fn made(bytes: Bytes, exchange: Option<Box<Exchange>>) -> Self {
        Self { source: Source::Made(Some(bytes)), owner: exchange.map(Owner::Exchange) }
    }

    /// Fields of the answer's head that lie outside of its map, once.
    pub fn take_lines(&mut self) -> Lines {
        match &mut self.source {
            Source::Answer(answer) => std::mem::take(answer.lines()),
            Source::Made(_) | Source::Body(_) => Lines::default(),
        }
    }

    /// The last byte was handed to the connection; tells when that was, unless it has been settled
    /// already.
    pub fn delivered(&mut self) -> Option<Instant> {
        self.settle(End::Delivered)
    }

    /// When it began, if it is the monolith's.
    pub fn began(&self) -> Option<Instant> {
        match &self.owner {
            Some(Owner::Exchange(exchange)) => exchange.first_byte(),
            Some(Owner::Hook(_)) | None => None,
        }
    }

    /// The door gives up on this answer because of `fault`: the client stalled or left.
    pub fn broken(&mut self, fault: Fault) {
        self.settle(End::Broken(fault));
    }

    fn settle(&mut self, end: End) -> Option<Instant> {
        match self.owner.take() {
            Some(Owner::Exchange(mut exchange)) => {
                self.orphan(&mut exchange, end);
                exchange.settle(end)
            }
            Some(Owner::Hook(hook)) => {
                hook(end);
                None
            }
            None => None,
        }
    }

    /// An answer that the monolith is still saying goes on without its client.
    fn orphan(&mut self, exchange: &mut Exchange, end: End) {
        let End::Broken(fault) = end else { return };
        let goes_on = fault.blame() != Blame::Upstream || fault == Fault::BetweenBytesTimeout;
        let Source::Answer(answer) = &mut self.source else { return };
        if goes_on {
            leave(answer, exchange);
        }
    }

    /// Takes what the monolith has ready off its hands while the client takes nothing, so that a
    /// slow client costs memory and no slot. A door calls it, with the waker of the task that
    /// delivers, when it has as much of the answer as it keeps itself.
    pub fn read_ahead(&mut self, cx: &mut Context<'_>) {
        let Some(Owner::Exchange(exchange)) = &mut self.owner else { return };
        let Source::Answer(answer) = &mut self.source else { return };
        match answer.read_ahead(cx, |bytes_max| exchange.ahead(bytes_max)) {
            Ok(()) => self.let_go_when_ended(),
            Err(fault) => {
                accuse(exchange, fault);
                // Neither slot nor thread has to wait until the client has read what came.
                match fault {
                    Fault::BetweenBytesTimeout => leave(answer, exchange),
                    _ => {
                        drop(answer.abandon());
                        exchange.give_back(None);
                    }
                }
            }
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.source {
            Source::Made(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Source::Body(body) => Pin::new(body).poll_frame(cx),
            Source::Answer(answer) => answer.poll(cx),
        }
    }

    /// The lease and the connection go back as soon as the monolith has said its last byte, not
    /// when a slow client has read it.
    fn let_go_when_ended(&mut self) {
        let Some(Owner::Exchange(exchange)) = &mut self.owner else { return };
        let Source::Answer(answer) = &mut self.source else { return };
        if answer.has_ended() {
            exchange.give_back(answer.take_connection());
        }
    }
}

impl http_body::Body for Settling {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let polled = self.poll_source(cx);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(Ok(frame))) => {
                if let (Some(Owner::Exchange(exchange)), Some(data)) =
                    (&mut self.owner, frame.data_ref())
                {
                    exchange.sent(data.len());
                }
                self.let_go_when_ended();
            }
            Poll::Ready(Some(Err(fault))) => {
                let fault = *fault;
                if let (Some(Owner::Exchange(exchange)), Source::Answer(answer)) =
                    (&self.owner, &self.source)
                    && !answer.has_broken_off()
                {
                    accuse(exchange, fault);
                }
                self.settle(End::Broken(fault));
            }
            Poll::Ready(None) => self.let_go_when_ended(),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Made(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Source::Body(body) => body.is_end_stream(),
            Source::Answer(answer) => answer.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Made(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Body(body) => body.size_hint(),
            Source::Answer(answer) => answer.size_hint(),
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.settle(End::Broken(Fault::ClientLeft));
    }
}

/// What an answer that broke off says of its endpoint; nothing where it was not the endpoint.
fn accuse(exchange: &Exchange, fault: Fault) {
    if fault.blame() != Blame::Upstream {
        return;
    }
    exchange.endpoint_failed(Evidence::BrokeOff, || format!("answer broke off: {fault}"));
}

/// Leaves the lease to an orphan while the monolith says the rest of `answer`.
fn leave(answer: &mut Answer, exchange: &mut Exchange) {
    if let Some(connection) = answer.abandon()
        && let Some(orphan) = exchange.orphan()
    {
        orphan.hold(connection, Unwanted::Said);
    }
}
