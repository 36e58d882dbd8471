//! The reading side of a connection: what has arrived, and what of it is the current body.
//!
//! The connection reads heads from it, the body of a request (which may be polled by another task)
//! reads its bytes, and while neither does, the connection watches for the client leaving. Only one
//! of the three polls the stream at a time. Each body belongs to a turn; once the turn is over, it
//! gets nothing more, whoever still holds it.

use std::{
    io, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use tokio::time::Instant;

use crate::{
    deadline::{Deadline, Wheel},
    edge::{pace::Pace, strict::trailers},
    fault::Fault,
    http1::chunked::{Decoder, Step},
    proxy::Presence,
};

use super::{super::Stream, Rules, buffer, fields::Framing};

/// The least room that a read is given.
const READ_BYTES_MIN: usize = 4 * 1024;

/// The reading side of one connection.
pub(super) struct Intake {
    /// None once the stream belongs to a tunnel.
    stream: Option<Arc<Stream>>,
    rules: Arc<Rules>,
    wheel: Wheel,
    presence: Presence,
    /// What has arrived and was not taken yet.
    pub(super) buffer: BytesMut,
    /// Whether nothing has been read since the last buffer was given back.
    parked: bool,
    turn: u64,
    rest: Rest,
    expects: Expects,
    fault: Option<Fault>,
    body_bytes: u64,
    pace: Pace,
    late: Option<Deadline>,
    half_closed: bool,
    connection: Option<Waker>,
}

/// What is still to come of the current body.
#[derive(Debug)]
enum Rest {
    Nothing,
    Length(u64),
    Chunked(Box<Decoder>),
}

/// Whether the client waits for `100 Continue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expects {
    No,
    Yes,
    /// The body has been asked for: the word is to be sent.
    Due,
}

// === impl Intake ===

impl Intake {
    /// The reading side of `stream`.
    pub(super) fn new(
        stream: Arc<Stream>,
        rules: Arc<Rules>,
        wheel: Wheel,
        presence: Presence,
    ) -> Self {
        Self {
            stream: Some(stream),
            pace: Pace::new(rules.body_rate),
            rules,
            wheel,
            presence,
            buffer: BytesMut::new(),
            parked: false,
            turn: 0,
            rest: Rest::Nothing,
            expects: Expects::No,
            fault: None,
            body_bytes: 0,
            late: None,
            half_closed: false,
            connection: None,
        }
    }

    /// Begins the body of a request; the answer is its turn.
    pub(super) fn begin(&mut self, framing: Framing, expects: bool) -> u64 {
        self.rest = match framing {
            Framing::None => Rest::Nothing,
            Framing::Length(length) => Rest::Length(length),
            Framing::Chunked => Rest::Chunked(Box::new(Decoder::new(trailers::MAX))),
        };
        self.expects = if expects { Expects::Yes } else { Expects::No };
        self.fault = None;
        self.body_bytes = 0;
        self.pace = Pace::new(self.rules.body_rate);
        self.turn
    }

    /// Ends the turn of the current body: what is left of it belongs to the connection.
    pub(super) fn revoke(&mut self) {
        self.turn += 1;
        self.connection = None;
    }

    /// Whether the client waits for a word that it has not been given. The answer that begins now
    /// is that word.
    pub(super) fn stop_expecting(&mut self) -> bool {
        mem::replace(&mut self.expects, Expects::No) != Expects::No
    }

    /// Whether `100 Continue` is to be sent now; it is said only once.
    pub(super) fn continue_due(&mut self) -> bool {
        let due = self.expects == Expects::Due;
        if due {
            self.expects = Expects::No;
        }
        due
    }

    /// Why the current body broke, if it did.
    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Whether the current body has been read to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.fault.is_none() && matches!(self.rest, Rest::Nothing)
    }

    /// How many bytes must come before the body is whole, as far as it is known.
    pub(super) fn missing(&self) -> u64 {
        match &self.rest {
            Rest::Nothing | Rest::Chunked(_) => 0,
            Rest::Length(left) => *left,
        }
    }

    /// Whether the client has closed its side.
    pub(super) fn half_closed(&self) -> bool {
        self.half_closed
    }

    /// Reads once into the buffer; 0 is the client's end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(stream) = self.stream.as_ref().filter(|_| !self.half_closed) else {
            return Poll::Ready(Ok(0));
        };
        loop {
            ready!(stream.poll_read_ready(cx))?;
            self.parked = false;
            if self.buffer.capacity() == 0 {
                self.buffer = buffer::take();
            } else if self.buffer.capacity() - self.buffer.len() < READ_BYTES_MIN {
                self.buffer.reserve(buffer::BUFFER_BYTES);
            }
            match stream.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) => {
                    self.half_closed = true;
                    self.presence.close();
                    return Poll::Ready(Ok(0));
                }
                done => return Poll::Ready(done),
            }
        }
    }

    /// Gives the buffer back if nothing is in it.
    pub(super) fn park(&mut self) {
        if self.buffer.is_empty() && !mem::replace(&mut self.parked, true) {
            buffer::give(mem::take(&mut self.buffer));
            if let Some(stream) = &self.stream {
                stream.rest();
            }
        }
    }

    /// Lets go of the stream; what has arrived goes with it.
    pub(super) fn release(&mut self) -> Bytes {
        self.stream = None;
        // What follows lives long, and its first bytes are few: they must not hold the buffer.
        let read = mem::take(&mut self.buffer);
        let early = Bytes::copy_from_slice(&read);
        buffer::give(read);
        early
    }

    /// Watches for the client while nobody reads: keeps what arrives early, up to a bound, and
    /// notices its end. Ready when there is nothing to watch for here but a reset; an error when it
    /// has come.
    pub(super) fn poll_watch(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let body_reads = match &self.rest {
                Rest::Nothing => false,
                Rest::Length(left) => *left > self.buffer.len() as u64,
                Rest::Chunked(_) => true,
            };
            if body_reads && self.fault.is_none() {
                if !self.connection.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    self.connection = Some(cx.waker().clone());
                }
                return Poll::Ready(Ok(()));
            }
            if self.half_closed || self.buffer.len() >= self.rules.head_bytes {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_fill(cx))?;
        }
    }

    /// The next frame of the body of `turn`.
    pub(super) fn poll_frame(
        &mut self,
        turn: u64,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if turn != self.turn {
            return Poll::Ready(Some(Err(Fault::ClientLeft)));
        }
        if let Some(fault) = self.fault {
            return Poll::Ready(Some(Err(fault)));
        }
        let polled = ready!(self.poll_next(cx));
        if let Some(Err(fault)) = &polled {
            self.fault = Some(*fault);
        }
        let over = self.fault.is_some() || matches!(self.rest, Rest::Nothing);
        if over {
            self.late = None;
            if let Some(connection) = self.connection.take() {
                connection.wake();
            }
        }
        Poll::Ready(polled)
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        loop {
            match self.take_frame() {
                Ok(Taken::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Taken::End) => return Poll::Ready(None),
                Ok(Taken::Nothing) => {}
                Err(fault) => return Poll::Ready(Some(Err(fault))),
            }
            if self.expects == Expects::Yes {
                self.expects = Expects::Due;
                if let Some(connection) = self.connection.take() {
                    connection.wake();
                }
            }
            match self.poll_fill(cx) {
                Poll::Ready(Ok(read)) if read > 0 => {
                    self.expects = Expects::No;
                    self.pace.arrived(read, Instant::now);
                }
                Poll::Ready(_) => return Poll::Ready(Some(Err(Fault::ClientLeft))),
                Poll::Pending => return self.poll_late(cx).map(|()| Some(Err(Fault::BodyTimeout))),
            }
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(at) = self.pace.wait(Instant::now()) {
            match &mut self.late {
                Some(late) => late.reset(at),
                None => self.late = Some(self.wheel.at(at)),
            }
        }
        match &mut self.late {
            Some(late) => Pin::new(late).poll(cx),
            None => Poll::Pending,
        }
    }

    /// What can be had of the body without reading from the stream.
    fn take_frame(&mut self) -> Result<Taken, Fault> {
        match &mut self.rest {
            Rest::Nothing => Ok(Taken::End),
            Rest::Length(_) if self.buffer.is_empty() => Ok(Taken::Nothing),
            Rest::Length(left) => {
                let here = (*left).min(self.buffer.len() as u64);
                *left -= here;
                if *left == 0 {
                    self.rest = Rest::Nothing;
                }
                Ok(Taken::Frame(Frame::data(self.buffer.split_to(here as usize).freeze())))
            }
            Rest::Chunked(_) => self.take_chunk(),
        }
    }

    fn take_chunk(&mut self) -> Result<Taken, Fault> {
        let Rest::Chunked(decoder) = &mut self.rest else { return Ok(Taken::End) };
        let step = decoder.step(&mut self.buffer).map_err(|_| Fault::BadChunk)?;
        let owed = decoder.owed();
        let taken = match step {
            Step::Data(data) => {
                self.body_bytes += data.len() as u64;
                Taken::Frame(Frame::data(data))
            }
            Step::Trailers(fields) => match trailers::passing(fields) {
                // Nothing comes behind them but the end.
                fields if fields.is_empty() => return self.take_chunk(),
                fields => Taken::Frame(Frame::trailers(fields)),
            },
            Step::More => Taken::Nothing,
            Step::End => {
                self.rest = Rest::Nothing;
                Taken::End
            }
        };
        let bytes = self.body_bytes.saturating_add(owed);
        if bytes > self.rules.body_bytes { Err(Fault::BodyTooLarge) } else { Ok(taken) }
    }

    /// Throws away what has arrived of the body; `true` once it is whole.
    pub(super) fn discard(&mut self) -> Result<bool, Fault> {
        loop {
            match self.take_frame()? {
                Taken::Frame(_) => {}
                Taken::End => return Ok(true),
                Taken::Nothing => return Ok(false),
            }
        }
    }
}

enum Taken {
    Frame(Frame<Bytes>),
    End,
    Nothing,
}
