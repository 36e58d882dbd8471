//! A request's body on its way into a stream.
//!
//! More of it is asked for only when what came before has been given to the connection, and that
//! takes no more than the endpoint has room for: so an endpoint which takes nothing is felt where
//! the body comes from.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::HeaderMap;
use http_body::{Body as _, Frame};

use crate::{body::Body, fault::Fault};

/// The most that is given to the connection at once, in bytes: a frame of the usual size.
const PIECE_BYTES_MAX: usize = 16 * 1024;

/// What is still to be sent.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    stream: Option<SendStream<Bytes>>,
    /// Comes next.
    piece: Bytes,
    body: Option<Body>,
    trailers: Option<HeaderMap>,
    /// Whether the body has been asked for anything.
    touched: bool,
}

// === impl Outgoing ===

impl Outgoing {
    /// Of a request with this body.
    pub(super) fn new(body: Body) -> Self {
        let body = (!body.is_end_stream()).then_some(body);
        Self { body, ..Self::default() }
    }

    /// Whether there is no body.
    pub(super) fn is_empty(&self) -> bool {
        self.body.is_none()
    }

    /// The head has gone, and the rest goes here.
    pub(super) fn begin(&mut self, stream: SendStream<Bytes>) {
        self.stream = Some(stream);
    }

    /// The body, where nobody has asked it for anything.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        self.body.take().filter(|_| !self.touched)
    }

    /// The stream, where it goes on as something else.
    pub(super) fn take_stream(&mut self) -> Option<SendStream<Bytes>> {
        self.stream.take()
    }

    /// Sends what it can. Asking again is harmless; it fails once, when the body breaks off.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let Some(stream) = &mut self.stream else { return Ok(()) };
        // Without a body either all has been said with the head, or a tunnel comes.
        while self.body.is_some() || !self.piece.is_empty() || self.trailers.is_some() {
            if !self.piece.is_empty() {
                let Some(room) = room(stream, self.piece.len(), cx) else { return Ok(()) };
                let piece = self.piece.split_to(room);
                let last = self.piece.is_empty() && self.body.is_none() && self.trailers.is_none();
                // It fails where the stream has ended: the answer says how.
                if stream.send_data(piece, last).is_err() {
                    self.stop();
                    return Ok(());
                }
                continue;
            }
            if let Some(fields) = self.trailers.take() {
                let _ = stream.send_trailers(fields);
                continue;
            }
            let Some(body) = &mut self.body else { return Ok(()) };
            let Poll::Ready(frame) = Pin::new(&mut *body).poll_frame(cx) else { return Ok(()) };
            self.touched = true;
            let ended = body.is_end_stream();
            match frame.transpose() {
                Ok(frame) => {
                    let over = ended || frame.as_ref().is_none_or(Frame::is_trailers);
                    if over {
                        self.body = None;
                    }
                    match frame.map(Frame::into_data) {
                        Some(Ok(data)) => self.piece = data,
                        Some(Err(frame)) => self.trailers = frame.into_trailers().ok(),
                        None => {}
                    }
                    if over && self.piece.is_empty() && self.trailers.is_none() {
                        let _ = stream.send_data(Bytes::new(), true);
                    }
                }
                Err(fault) => {
                    stream.send_reset(Reason::CANCEL);
                    self.stop();
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    fn stop(&mut self) {
        self.body = self.take_body();
        (self.stream, self.piece, self.trailers) = (None, Bytes::new(), None);
    }
}

/// How much of `wanted` bytes the endpoint has room for; `None` when that is nothing now. Where the
/// stream has ended it is as if there were room: sending tells.
fn room(stream: &mut SendStream<Bytes>, wanted: usize, cx: &mut Context<'_>) -> Option<usize> {
    let wanted = wanted.min(PIECE_BYTES_MAX);
    stream.reserve_capacity(wanted);
    loop {
        let room = stream.capacity().min(wanted);
        if room > 0 {
            return Some(room);
        }
        match stream.poll_capacity(cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(_)) | None) => return Some(wanted),
            Poll::Pending => return None,
        }
    }
}
