//! HTTP/1.1 towards an endpoint: one connection, one request after the other.
//!
//! ```text
//!        begin            final head             last byte
//! resting ──▶ head awaited ──▶ body being read ──▶ resting
//!    │            │  ▲  └─ 101 ──▶ a tunnel's     │ more came, or it closes
//!    │            └──┘ 1xx                        ▼
//!    └────────── closed, a flaw, an error ───▶ broken
//! ```
//!
//! It is a value without a task: whoever waits for the answer polls it, and doing so sends what is
//! left of the request as well. So the answer may come, and end, before the request is sent whole.
//!
//! Strict by principle: an answer that two readers could understand differently is a [`Flaw`].
//! `docs/http.md` lists what is accepted and refused. Invariants: what comes behind the end of an
//! answer is never read as another; a body that was cut never has a clean end; nothing is read
//! while nobody asks for it.

mod body;
mod flaw;
mod head;
mod outgoing;
#[cfg(test)]
mod tests;

use std::{
    io,
    pin::{Pin, pin},
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Response, StatusCode, request::Parts};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{broken::Broken, wire::Stream};
use crate::{body::Body, http1::lines::Lines};

use body::Rest;
use head::{Head, Heads};
use outgoing::{Halt, Outgoing};

pub use flaw::Flaw;
pub(super) use head::{INTERIM_MAX, length};

/// How much room a read is given at first, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// The most room that it is given, where an endpoint has much to say.
const READ_BYTES_MAX: usize = 256 * 1024;

/// With less room than this part of it, more is made.
const ROOM_SHARE: usize = 4;

/// One connection.
#[derive(Debug)]
pub(super) struct Http1 {
    stream: Stream,
    /// What was read and not taken. It stays with the connection, so that the next answer needs no
    /// other; parts of it are given away, and it is used again when they have gone.
    buffer: BytesMut,
    /// How much room the next read is given.
    read_bytes: usize,
    read: u64,
    outgoing: Outgoing,
    stage: Stage,
    /// Fields of the answer that go on as they came.
    lines: Lines,
    /// Whether the request was a HEAD, whose answer has no body.
    head_only: bool,
    /// Whether another request may follow.
    persists: bool,
}

#[derive(Debug)]
enum Stage {
    Resting,
    Head(Heads),
    Body(Rest),
    /// What comes now is the tunnel's.
    Switched,
    Broken,
}

// === impl Http1 ===

impl Http1 {
    /// Speaks on `stream`, on which nothing was said yet.
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            read_bytes: READ_BYTES,
            read: 0,
            outgoing: Outgoing::default(),
            stage: Stage::Resting,
            lines: Lines::default(),
            head_only: false,
            persists: true,
        }
    }

    /// Bytes read so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Whether another request may be sent, as far as is known without looking.
    pub(super) fn is_resting(&self) -> bool {
        self.persists && matches!(self.stage, Stage::Resting)
    }

    /// Whether the endpoint has neither closed it nor said anything while nobody asked. Asks the
    /// system only where something has come.
    pub(super) fn is_quiet(&mut self) -> bool {
        let mut byte = [0; 1];
        let quiet = match &mut self.stream {
            Stream::Plain(socket) => {
                let read = socket.try_read(&mut byte);
                read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
            // Tickets of the session are no word of the endpoint.
            Stream::Tls(stream) => {
                let mut context = Context::from_waker(Waker::noop());
                let mut room = ReadBuf::new(&mut byte);
                Pin::new(stream).poll_read(&mut context, &mut room).is_pending()
            }
        };
        if !quiet {
            self.stage = Stage::Broken;
        }
        quiet
    }

    /// Has it watched by the runtime that is current. What has come before is seen all the same.
    pub(super) fn adopt(&mut self) -> io::Result<()> {
        self.stream.adopt()
    }

    /// Begins a request. It is sent while its answer is waited for.
    pub(super) fn begin(&mut self, head: &Parts, lines: &Lines, body: Body) {
        self.outgoing.begin(head, lines, body);
        self.head_only = head.method == Method::HEAD;
        self.read_bytes = READ_BYTES;
        self.lines = Lines::default();
        self.stage = Stage::Head(Heads::default());
    }

    /// Whether anything of the request has gone out.
    pub(super) fn has_sent(&self) -> bool {
        self.outgoing.has_sent()
    }

    /// The request's body, where nobody has asked it for anything.
    pub(super) fn take_body(&mut self) -> Option<Body> {
        self.outgoing.take_body()
    }

    /// Sends what it can of the request, whose answer nobody is ready to read on.
    pub(super) fn poll_send(&mut self, cx: &mut Context<'_>) -> Result<(), Broken> {
        match self.outgoing.poll(cx, &mut self.stream) {
            Poll::Pending | Poll::Ready(Ok(())) => Ok(()),
            // The endpoint takes no more. It may have said why: what can be read says so.
            Poll::Ready(Err(Halt::Refused)) => Ok(()),
            Poll::Ready(Err(Halt::Body(fault))) => Err(Broken::Upload(fault)),
        }
    }

    /// The head of the final answer; those of others are shown to `interim`.
    pub(super) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        mut interim: impl FnMut(StatusCode, &HeaderMap),
    ) -> Poll<Result<Response<()>, Broken>> {
        self.poll_send(cx)?;
        loop {
            let Stage::Head(heads) = &mut self.stage else {
                return Poll::Ready(Err(Broken::Ended(None)));
            };
            match heads.step(&mut self.buffer) {
                Ok(Some(head)) if head.is_interim() => {
                    interim(head.status, &head.into_fields());
                    continue;
                }
                Ok(Some(head)) => return Poll::Ready(self.take(head)),
                Ok(None) => {}
                Err(flaw) => return Poll::Ready(Err(self.flawed(flaw))),
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => return Poll::Ready(Err(self.ended(None))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(self.ended(Some(error)))),
            }
        }
    }

    /// Takes over a final head, and what of its body has come with it: a flaw in that is one of the
    /// answer as long as nobody has seen its head.
    #[inline(always)]
    fn take(&mut self, head: Head) -> Result<Response<()>, Broken> {
        self.persists &= head.persists();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            self.stage = Stage::Switched;
            return Ok(self.answer(head));
        }
        let mut rest = match Rest::of(&head, self.head_only) {
            Ok(rest) => rest,
            Err(flaw) => return Err(self.flawed(flaw)),
        };
        if let Err(flaw) = rest.look_ahead(&mut self.buffer) {
            return Err(self.flawed(flaw));
        }
        let over = rest.is_over();
        self.stage = Stage::Body(rest);
        if over {
            self.rest();
        }
        Ok(self.answer(head))
    }

    #[inline(always)]
    fn answer(&mut self, head: Head) -> Response<()> {
        let (response, lines) = head.into_response();
        self.lines = lines;
        response
    }

    /// The fields of the answer that go on as they came, once.
    pub(super) fn take_lines(&mut self) -> Lines {
        std::mem::take(&mut self.lines)
    }

    /// The next frame of the answer's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if matches!(self.stage, Stage::Body(_)) {
            self.poll_send(cx)?;
        }
        loop {
            let Stage::Body(rest) = &mut self.stage else {
                let broken = matches!(self.stage, Stage::Broken);
                return Poll::Ready(broken.then_some(Err(Broken::Ended(None))));
            };
            match rest.step(&mut self.buffer) {
                Ok(Some(frame)) => {
                    if rest.is_over() {
                        self.rest();
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Ok(None) if rest.is_over() => {
                    self.rest();
                    return Poll::Ready(None);
                }
                Ok(None) => {}
                Err(flaw) => return Poll::Ready(Some(Err(self.flawed(flaw)))),
            }
            let until_close = rest.ends_with_the_connection();
            match ready!(self.poll_read(cx)) {
                Ok(0) if until_close => {
                    self.persists = false;
                    self.rest();
                    return Poll::Ready(None);
                }
                Ok(0) => return Poll::Ready(Some(Err(self.ended(None)))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(self.ended(Some(error))))),
            }
        }
    }

    /// The answer's body, where all of it is here and has a length.
    pub(super) fn take_whole(&mut self) -> Option<Bytes> {
        let Stage::Body(Rest::Length(left)) = self.stage else { return None };
        let length = usize::try_from(left).ok().filter(|&length| length <= self.buffer.len())?;
        // What is left of the request may still break off, which is told to who reads frames.
        if !self.outgoing.is_over() {
            return None;
        }
        let bytes = self.buffer.split_to(length).freeze();
        self.rest();
        Some(bytes)
    }

    /// Whether the answer has been read to its end.
    pub(super) fn has_answered(&self) -> bool {
        matches!(self.stage, Stage::Resting)
    }

    /// How much of the answer's body is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        match &self.stage {
            Stage::Body(rest) => rest.size_hint(),
            Stage::Resting => SizeHint::with_exact(0),
            Stage::Head(_) | Stage::Switched | Stage::Broken => SizeHint::default(),
        }
    }

    /// The stream, and what was read of it behind a 101.
    pub(super) fn into_stream(self) -> (Stream, Bytes) {
        // A tunnel lives long, and its first bytes are few: they must not hold the whole buffer.
        (self.stream, Bytes::copy_from_slice(&self.buffer))
    }

    /// The answer has been read to its end. Whoever says more than that, or answers before the
    /// request has been sent whole, is not asked again here.
    fn rest(&mut self) {
        self.stage = Stage::Resting;
        self.persists &= self.buffer.is_empty() && self.outgoing.is_over();
        self.outgoing.rest();
        if self.read_bytes > READ_BYTES {
            self.buffer = BytesMut::new();
        }
    }

    fn flawed(&mut self, flaw: Flaw) -> Broken {
        self.stage = Stage::Broken;
        Broken::Flawed(flaw)
    }

    fn ended(&mut self, error: Option<io::Error>) -> Broken {
        self.stage = Stage::Broken;
        // Why it could not be written says more than that there was nothing to read.
        Broken::Ended(self.outgoing.take_error().or(error))
    }

    /// Makes room for the next read: in the same memory once nobody has a part of it any more.
    fn make_room(&mut self) {
        if !self.buffer.is_empty() {
            self.buffer.reserve(self.read_bytes);
        } else if !self.buffer.try_reclaim(self.read_bytes) {
            // A buffer that grows takes along what has been given away already.
            self.buffer = BytesMut::with_capacity(self.read_bytes);
        }
    }

    /// Reads once; 0 is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() - self.buffer.len() < self.read_bytes / ROOM_SHARE {
            self.make_room();
        }
        let room = self.buffer.capacity() - self.buffer.len();
        // Holds nothing beyond this call: when it is not ready, nothing has been read.
        let reading = pin!(self.stream.read_buf(&mut self.buffer));
        let read = ready!(reading.poll(cx))?;
        self.read += read as u64;
        if read == room && room >= self.read_bytes {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(Ok(read))
    }
}
