//! A request's body on its way from a door to an endpoint.
//!
//! A door makes it, the proxy gathers it or hands it on, a connection to an endpoint reads it.
//! There is one type for all of them, so that no type parameter runs through the proxy.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use crate::fault::Fault;

type Source = Pin<Box<dyn http_body::Body<Data = Bytes, Error = Fault> + Send + Sync>>;

/// A request's body.
///
/// It fails with the fault that ended it: the client broke the framing, was too slow, sent too
/// much, or left.
#[derive(Default)]
pub struct Body(Inner);

#[derive(Default)]
enum Inner {
    #[default]
    Empty,
    Source(Source),
}

// === impl Body ===

impl Body {
    /// No body at all.
    pub fn empty() -> Self {
        Self(Inner::Empty)
    }

    /// A body that comes out of `source`.
    pub fn new(
        source: impl http_body::Body<Data = Bytes, Error = Fault> + Send + Sync + 'static,
    ) -> Self {
        Self(Inner::Source(Box::pin(source)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        match &mut self.0 {
            Inner::Empty => Poll::Ready(None),
            Inner::Source(source) => source.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Inner::Empty => true,
            Inner::Source(source) => source.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Inner::Empty => SizeHint::with_exact(0),
            Inner::Source(source) => source.size_hint(),
        }
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}
