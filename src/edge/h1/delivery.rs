//! An answer's body on its way from the service into the writer.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use http_body::Body as _;

use crate::{fault::Fault, proxy::Settling};

use super::{answer::Shape, writer::Writer};

/// Moves frames until the body ends, and judges its end.
pub(super) struct Delivery<'a> {
    shape: &'a mut Shape,
    settling: &'a mut Settling,
    verdict: Option<Result<(), Fault>>,
}

// === impl Delivery ===

impl<'a> Delivery<'a> {
    /// Moves the body of `settling`, delimited as `shape` says.
    pub(super) fn new(shape: &'a mut Shape, settling: &'a mut Settling) -> Self {
        // What is not to be written is not asked for either.
        let verdict = (*shape == Shape::Bodiless).then_some(Ok(()));
        Self { shape, settling, verdict }
    }

    /// Whether the body has come to its end, and whether to a good one.
    pub(super) fn verdict(&self) -> Option<Result<(), Fault>> {
        self.verdict
    }

    /// Lets the service run ahead of a client that takes nothing, when the writer is full.
    pub(super) fn read_ahead(&mut self, cx: &mut Context<'_>) {
        if self.verdict.is_none() {
            self.settling.read_ahead(cx);
        }
    }

    /// Moves what the service has ready. Pending when that is all for now; ready when the body has
    /// ended or the writer is full.
    pub(super) fn poll_gather(
        &mut self,
        cx: &mut Context<'_>,
        writer: &mut Writer<'_>,
    ) -> Poll<()> {
        while self.verdict.is_none() && !writer.is_full() {
            let Poll::Ready(frame) = Pin::new(&mut *self.settling).poll_frame(cx) else {
                return Poll::Pending;
            };
            self.verdict = match frame {
                None => Some(self.shape.finish(writer)),
                Some(Err(fault)) => Some(Err(fault)),
                Some(Ok(frame)) => match self.shape.push(frame, writer) {
                    Err(fault) => Some(Err(fault)),
                    Ok(()) if self.settling.is_end_stream() => Some(self.shape.finish(writer)),
                    Ok(()) => None,
                },
            };
        }
        Poll::Ready(())
    }
}
