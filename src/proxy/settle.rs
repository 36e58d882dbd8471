//! The body of every answer. It owns the exchange; its end, its failure or its drop settles it.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::{body::Body, fault::Fault};

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
    body: Body,
    end: Option<Box<dyn FnOnce(End) + Send>>,
}

// === impl Settling ===

impl Settling {
    /// An answer's body whose end is told to `end`, exactly once.
    pub fn new(body: Body, end: impl FnOnce(End) + Send + 'static) -> Self {
        Self { body, end: Some(Box::new(end)) }
    }

    /// The last byte was handed to the connection.
    pub fn delivered(&mut self) {
        self.settle(End::Delivered);
    }

    /// The door gives up on this answer because of `fault`: the client stalled or left.
    pub fn broken(&mut self, fault: Fault) {
        self.settle(End::Broken(fault));
    }

    fn settle(&mut self, end: End) {
        if let Some(hook) = self.end.take() {
            hook(end);
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
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if let Poll::Ready(Some(Err(fault))) = &polled {
            let fault = *fault;
            self.settle(End::Broken(fault));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        self.settle(End::Broken(Fault::ClientLeft));
    }
}
