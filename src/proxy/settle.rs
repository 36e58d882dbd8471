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

use super::{answer::Answer, exchange::Exchange};
use crate::{
    body::Body,
    deadline::Deadline,
    fault::{Blame, Fault},
    http1::lines::Lines,
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

enum Source {
    Made(Option<Bytes>),
    Body(Body),
    /// The monolith's, which its exchange carries.
    Answer,
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
    pub fn answer(mut exchange: Box<Exchange>) -> Self {
        exchange.take_whole();
        Self { source: Source::Answer, owner: Some(Owner::Exchange(exchange)) }
    }

    /// An answer made up by usher, or one without a body.
    pub fn made(bytes: Bytes, exchange: Option<Box<Exchange>>) -> Self {
        Self { source: Source::Made(Some(bytes)), owner: exchange.map(Owner::Exchange) }
    }

    /// Fields of the answer's head that lie outside of its map, once.
    pub fn take_lines(&mut self) -> Lines {
        let answer = self.exchange_mut().and_then(Exchange::answer_mut);
        answer.map(|answer| std::mem::take(answer.lines())).unwrap_or_default()
    }

    /// What the request has waited by, for the door to set anew; before it is settled.
    pub fn take_deadline(&mut self) -> Option<Box<Deadline>> {
        self.exchange_mut()?.give_deadline()
    }

    /// The last byte was handed to the connection; tells when that was, unless it has been settled
    /// already.
    pub fn delivered(&mut self) -> Option<Instant> {
        self.settle(End::Delivered)
    }

    /// When it began, if it is the monolith's.
    pub fn began(&self) -> Option<Instant> {
        self.exchange().and_then(Exchange::first_byte)
    }

    /// The door gives up on this answer because of `fault`: the client stalled or left.
    pub fn broken(&mut self, fault: Fault) {
        self.settle(End::Broken(fault));
    }

    fn settle(&mut self, end: End) -> Option<Instant> {
        match self.owner.take() {
            Some(Owner::Exchange(mut exchange)) => {
                orphan(&mut exchange, end);
                exchange.settle(end)
            }
            Some(Owner::Hook(hook)) => {
                hook(end);
                None
            }
            None => None,
        }
    }

    /// Takes what the monolith has ready off its hands while the client takes nothing, so that a
    /// slow client costs memory and no slot. A door calls it, with the waker of the task that
    /// delivers, when it has as much of the answer as it keeps itself.
    pub fn read_ahead(&mut self, cx: &mut Context<'_>) {
        if let Some(exchange) = self.exchange_mut() {
            exchange.read_ahead(cx);
        }
    }

    fn exchange(&self) -> Option<&Exchange> {
        match &self.owner {
            Some(Owner::Exchange(exchange)) => Some(exchange),
            Some(Owner::Hook(_)) | None => None,
        }
    }

    /// The monolith's answer, where it is one.
    fn carried(&self) -> Option<&Answer> {
        self.exchange()?.answer()
    }

    fn exchange_mut(&mut self) -> Option<&mut Exchange> {
        match &mut self.owner {
            Some(Owner::Exchange(exchange)) => Some(exchange),
            Some(Owner::Hook(_)) | None => None,
        }
    }

    fn poll_source(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.source {
            Source::Made(bytes) => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            Source::Body(body) => Pin::new(body).poll_frame(cx),
            Source::Answer => match self.exchange_mut() {
                Some(exchange) => exchange.poll_answer(cx),
                None => Poll::Ready(None),
            },
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
                if let Some(exchange) = self.exchange_mut() {
                    exchange.sent(frame.data_ref().map_or(0, Bytes::len));
                    exchange.let_go_when_ended();
                }
            }
            Poll::Ready(Some(Err(fault))) => {
                let fault = *fault;
                if let Some(exchange) = self.exchange()
                    && exchange.answer().is_some_and(|answer| !answer.has_broken_off())
                {
                    exchange.accuse(fault);
                }
                self.settle(End::Broken(fault));
            }
            Poll::Ready(None) => {
                if let Some(exchange) = self.exchange_mut() {
                    exchange.let_go_when_ended();
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Made(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            Source::Body(body) => body.is_end_stream(),
            Source::Answer => self.carried().is_none_or(Answer::is_end_stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Made(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Body(body) => body.size_hint(),
            Source::Answer => {
                self.carried().map_or_else(|| SizeHint::with_exact(0), Answer::size_hint)
            }
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.settle(End::Broken(Fault::ClientLeft));
    }
}

/// An answer that the monolith is still saying goes on without its client.
fn orphan(exchange: &mut Exchange, end: End) {
    let End::Broken(fault) = end else { return };
    if fault.blame() != Blame::Upstream || fault == Fault::BetweenBytesTimeout {
        exchange.leave();
    }
}
