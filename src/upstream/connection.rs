//! A connection to an endpoint, as one request has it.
//!
//! It is a value: whoever holds it sends a request on it, waits for the answer and reads that,
//! whatever is spoken. Who waits polls; nothing happens on it by itself, but over HTTP/2.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, request::Parts};
use http_body::{Frame, SizeHint};
use rustls::HandshakeKind;

use super::{
    broken::Broken,
    dialect::{Behalf, Dialect},
    h1::Http1,
    seated::Seated,
    switched::Switched,
    trunk::{Break, Trunk},
    wire::{Far, Stream},
};
use crate::{body::Body, http1::lines::Lines};

/// A connection to an endpoint. Dropping it closes it, or leaves the seat on it.
#[derive(Debug)]
pub struct Connection {
    line: Line,
    reused: bool,
    /// The number of the dialect in which it was begun.
    dialect: u32,
    /// The worker on whose shelf it lay last, whose runtime watches it.
    home: usize,
    /// On whose behalf, where the endpoint has been told: nobody else's requests may go there.
    behalf: Option<Box<Behalf>>,
    /// How hands were shaken for it, where it is encrypted and this is its first request.
    handshake: Option<HandshakeKind>,
}

/// What is spoken on it. Boxed, since a connection is moved often.
#[derive(Debug)]
enum Line {
    /// HTTP/1.1: one request after the other.
    Http1(Box<Http1>),
    /// HTTP/2: this request beside others.
    Http2(Box<Seated>),
}

// === impl Connection ===

impl Connection {
    /// HTTP/1.1 on `stream`.
    pub(super) fn alone(stream: Stream) -> Self {
        Self::on(Line::Http1(Box::new(Http1::new(stream))))
    }

    /// A seat on a trunk of `dialect`.
    pub(super) fn seated(seated: Seated, dialect: &Dialect) -> Self {
        let mut connection = Self::on(Line::Http2(Box::new(seated)));
        connection.dialect = dialect.number();
        connection
    }

    fn on(line: Line) -> Self {
        Self { line, reused: false, dialect: 0, home: 0, behalf: None, handshake: None }
    }

    /// It was begun in the dialect of this number, on behalf of this client where the endpoint was
    /// told, with such a handshake where there was one.
    pub(super) fn began(
        &mut self,
        dialect: u32,
        behalf: Option<Behalf>,
        handshake: Option<HandshakeKind>,
    ) {
        (self.dialect, self.handshake) = (dialect, handshake);
        self.behalf = behalf.map(Box::new);
    }

    /// The number of the dialect in which it was begun.
    pub(super) fn dialect(&self) -> u32 {
        self.dialect
    }

    /// Whether the session of an earlier connection was resumed for it; `None` where no hands were
    /// shaken for this request.
    pub fn resumed(&self) -> Option<bool> {
        self.handshake.map(|kind| kind == HandshakeKind::Resumed)
    }

    /// Whether it was begun as endpoints are spoken to in `dialect`, and on this client's behalf
    /// where they are told.
    pub fn suits(&self, dialect: &Dialect, behalf: Option<Behalf>) -> bool {
        self.dialect == dialect.number() && self.is_for(behalf)
    }

    pub(super) fn is_for(&self, behalf: Option<Behalf>) -> bool {
        self.behalf.as_deref() == behalf.as_ref()
    }

    /// What carries it beside others.
    pub(super) fn trunk(&self) -> Option<&Arc<Trunk>> {
        match &self.line {
            Line::Http1(_) => None,
            Line::Http2(seated) => Some(seated.trunk()),
        }
    }

    /// Whether it carries other requests at the same time.
    pub fn is_shared(&self) -> bool {
        matches!(self.line, Line::Http2(_))
    }

    /// What it has become behind a 101; `None` where nothing was switched.
    pub fn switch(self) -> Option<Switched> {
        match self.line {
            Line::Http1(line) => {
                let (stream, said) = line.into_stream();
                Some(Switched { far: Far::Alone(stream), said, _seated: None })
            }
            Line::Http2(seated) => seated.switch(),
        }
    }

    /// Whether a WebSocket may be asked for on it; over HTTP/2 that is known once the endpoint has
    /// said its settings.
    pub async fn admits_websockets(&mut self) -> bool {
        let trunk = match &self.line {
            Line::Http1(_) => return true,
            Line::Http2(seated) => seated.trunk().clone(),
        };
        trunk.admits_websockets().await
    }

    /// Whether it carried a request before: then its end may have nothing to do with this one.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// It has carried a request, and lies on the shelf of `worker` until it carries another.
    pub(super) fn rest(&mut self, worker: usize) {
        (self.reused, self.home) = (true, worker);
    }

    /// It for a request of `worker`, on whose thread this is called; `None` when it is closed.
    pub(super) fn for_use(mut self, worker: usize) -> Option<Self> {
        if !self.is_ready() {
            return None;
        }
        if let Line::Http1(line) = &mut self.line
            && self.home != worker
        {
            line.adopt().ok()?;
        }
        Some(self)
    }

    /// The request on it ended as `broken` says. Where that is the end of what carries others too,
    /// no more are to follow.
    pub fn broke_at(&self, broken: &Broken) {
        let Some(trunk) = self.trunk() else { return };
        match broken.way() {
            Some(Break::Leaving | Break::Ended) => trunk.retire(),
            Some(Break::Refused | Break::Reset | Break::Malformed) | None if !self.has_sent() => {
                trunk.retire();
            }
            Some(Break::Refused | Break::Reset | Break::Malformed) | None => {}
        }
    }

    /// Whether it may carry another request, as far as is known without looking.
    pub fn is_good(&self) -> bool {
        match &self.line {
            Line::Http1(line) => line.is_resting(),
            Line::Http2(seated) => !seated.trunk().has_ended(),
        }
    }

    /// Whether it may carry another request now: nothing has come on it, nor its end.
    pub(super) fn is_ready(&mut self) -> bool {
        match &mut self.line {
            Line::Http1(line) => line.is_resting() && line.is_quiet(),
            Line::Http2(seated) => !seated.trunk().has_ended(),
        }
    }

    /// How much has been heard on it so far: bytes, or where it carries others too, interim answers
    /// to this request.
    pub fn bytes_read(&self) -> u64 {
        match &self.line {
            Line::Http1(line) => line.bytes_read(),
            Line::Http2(seated) => seated.interims() as u64,
        }
    }

    /// Begins to send a request, whose head says how its body ends; `lines` are those of its fields
    /// that go on as they came.
    pub fn send(&mut self, head: &Parts, lines: &Lines, body: Body) {
        match &mut self.line {
            Line::Http1(line) => line.begin(head, lines, body),
            Line::Http2(seated) => seated.send(head, lines.clone(), body),
        }
    }

    /// The fields of the answer that go on as they came, once its head has been read.
    pub fn take_lines(&mut self) -> Lines {
        match &mut self.line {
            Line::Http1(line) => line.take_lines(),
            Line::Http2(_) => Lines::default(),
        }
    }

    /// Whether anything of the request may have gone out.
    pub fn has_sent(&self) -> bool {
        match &self.line {
            Line::Http1(line) => line.has_sent(),
            Line::Http2(seated) => seated.has_sent(),
        }
    }

    /// The body of a request that broke, where nobody has asked it for anything.
    pub fn take_body(&mut self) -> Option<Body> {
        match &mut self.line {
            Line::Http1(line) => line.take_body(),
            Line::Http2(seated) => seated.take_body(),
        }
    }

    /// The head of the request's answer; interim ones are shown to `interim`.
    pub fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        interim: impl FnMut(StatusCode, &HeaderMap),
    ) -> Poll<Result<Response<()>, Broken>> {
        match &mut self.line {
            Line::Http1(line) => line.poll_answer(cx, interim),
            Line::Http2(seated) => seated.poll_answer(cx, interim),
        }
    }

    /// The next frame of the answer's body.
    pub fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.line {
            Line::Http1(line) => line.poll_frame(cx),
            Line::Http2(seated) => seated.poll_frame(cx),
        }
    }

    /// The answer's whole body, where that has come with its head; it has been read then.
    pub fn take_whole(&mut self) -> Option<Bytes> {
        match &mut self.line {
            Line::Http1(line) => line.take_whole(),
            Line::Http2(_) => None,
        }
    }

    /// Sends what it can of the request while nobody reads its answer.
    pub fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        match &mut self.line {
            Line::Http1(line) => line.poll_send(cx),
            Line::Http2(seated) => seated.poll_send(cx),
        }
    }

    /// Whether the answer has been read to its end.
    pub fn has_answered(&self) -> bool {
        match &self.line {
            Line::Http1(line) => line.has_answered(),
            Line::Http2(seated) => seated.has_answered(),
        }
    }

    /// How much of the answer's body is still to come.
    pub fn size_hint(&self) -> SizeHint {
        match &self.line {
            Line::Http1(line) => line.size_hint(),
            Line::Http2(seated) => seated.size_hint(),
        }
    }
}
