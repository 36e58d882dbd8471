//! The monolith's answer on its way through usher, watched.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::ahead::Ahead;
use crate::{
    deadline::{Deadline, Wheel},
    fault::Fault,
    http1::lines::Lines,
    upstream::{Break, Broken, Connection, StreamPlace},
};

/// The body of an answer, and the connection that it comes from.
///
/// The connection is kept here so that it goes back only when the answer has ended whole; dropped
/// before that, it is closed.
///
/// Where its client does not take it at once, a part of it is read ahead ([`Answer::read_ahead`]):
/// the monolith is done before the client is.
pub struct Answer {
    /// `None` once it has gone back, or the answer has broken off.
    connection: Option<Connection>,
    /// All of it, where that has come with its head and nobody has taken it yet.
    whole: Option<Bytes>,
    /// Fields of its head that go on as they came, until somebody has written them.
    lines: Lines,
    wheel: Wheel,
    between_bytes: Duration,
    silence: Option<Deadline>,
    /// Whether its end has been read.
    ended: bool,
    /// Whether its connection has been left to somebody else, or to nobody.
    abandoned: bool,
    /// Its place among the pool's streams of events, if it is one.
    events: Option<StreamPlace>,
    /// How much of it may be read ahead, in bytes; 0 where the monolith is to feel its client.
    ahead_max: u64,
    ahead: Option<Box<Ahead>>,
}

// === impl Answer ===

impl Answer {
    /// An answer whose silences last at most `between_bytes`.
    pub fn new(connection: Connection, wheel: &Wheel, between_bytes: Duration) -> Self {
        Self {
            connection: Some(connection),
            whole: None,
            lines: Lines::default(),
            wheel: wheel.clone(),
            between_bytes,
            silence: None,
            ended: false,
            abandoned: false,
            events: None,
            ahead_max: 0,
            ahead: None,
        }
    }

    /// With these fields beside those of its head's map.
    pub fn with(mut self, lines: Lines) -> Self {
        self.lines = lines;
        self
    }

    /// The fields that lie outside of its head's map.
    pub fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// With a place it is a stream of events, which ends when its reader goes.
    pub fn streams_events(mut self, place: Option<StreamPlace>) -> Self {
        self.events = place;
        self
    }

    /// Up to `bytes_max` of it may be read ahead. A stream of events feels its reader: what it says
    /// would only grow old here, and its slot is held anyway.
    pub fn may_run_ahead(mut self, bytes_max: u64) -> Self {
        self.ahead_max = if self.events.is_some() { 0 } else { bytes_max };
        self
    }

    /// The connection on which the monolith says what is left when nobody wants it any more, unless
    /// closing it is the way to tell the monolith so.
    pub fn abandon(&mut self) -> Option<Connection> {
        self.abandoned = true;
        let connection = self.connection.take()?;
        self.events.take().is_none().then_some(connection)
    }

    /// The connection, once the answer has ended whole.
    pub fn take_connection(&mut self) -> Option<Connection> {
        self.ended = true;
        self.connection.take()
    }

    /// Reads all of it, where that has come with its head: it has ended then.
    pub fn read_whole(&mut self) {
        self.whole = self.connection.as_mut().and_then(Connection::take_whole);
    }

    /// The next frame for the client.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(whole) = self.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        match self.ahead.as_mut().and_then(|ahead| ahead.take()) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => self.read(cx),
        }
    }

    /// Reads what the monolith has ready while the client takes nothing, as far as it may be kept
    /// in what `room` makes. It fails with why the answer breaks off, which its client is told
    /// behind what has come.
    pub fn read_ahead(
        &mut self,
        cx: &mut Context<'_>,
        room: impl FnOnce(u64) -> Ahead,
    ) -> Result<(), Fault> {
        let Some(connection) = &mut self.connection else { return Ok(()) };
        // Who answers before the request has been sent whole may wait for the rest of it. What
        // stands against that is told to who reads on.
        let _ = connection.poll_send(cx);
        if self.ahead_max == 0 || self.has_ended() {
            return Ok(());
        }
        let bytes_max = self.ahead_max;
        let mut ahead = self.ahead.take().unwrap_or_else(|| Box::new(room(bytes_max)));
        let mut ended = Ok(());
        while ended.is_ok() && !self.has_ended() && ahead.has_room() {
            match self.read(cx) {
                Poll::Pending => {
                    self.ahead = Some(ahead);
                    return Ok(());
                }
                Poll::Ready(Some(Ok(frame))) => ahead.keep(frame),
                Poll::Ready(Some(Err(fault))) => {
                    ahead.break_off(fault);
                    ended = Err(fault);
                }
                Poll::Ready(None) => {}
            }
        }
        self.ahead = Some(ahead);
        // Nobody waits for more now: a client that is slow must not make the monolith late.
        self.silence = None;
        ended
    }

    /// The next frame from the monolith; silence counts only while somebody waits for it.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = connection.poll_frame(cx) {
            self.silence = None;
            return Poll::Ready(match frame {
                None => {
                    self.ended = true;
                    None
                }
                Some(Ok(frame)) => {
                    // Nothing follows trailers.
                    self.ended = frame.is_trailers();
                    Some(Ok(frame))
                }
                Some(Err(broken)) => {
                    self.connection = None;
                    Some(Err(fault_of(&broken)))
                }
            });
        }
        let between_bytes = self.between_bytes;
        let wheel = &self.wheel;
        let silence = self.silence.get_or_insert_with(|| wheel.at(Instant::now() + between_bytes));
        Pin::new(silence).poll(cx).map(|()| Some(Err(Fault::BetweenBytesTimeout)))
    }

    /// Whether the monolith has said its last byte.
    pub fn has_ended(&self) -> bool {
        self.ended || self.connection.as_ref().is_some_and(Connection::has_answered)
    }

    /// Whether it broke off while it was read ahead.
    pub fn has_broken_off(&self) -> bool {
        self.abandoned
    }

    /// Whether the client has had all of it.
    pub fn is_end_stream(&self) -> bool {
        self.has_ended()
            && self.whole.is_none()
            && self.ahead.as_ref().is_none_or(|ahead| ahead.is_empty())
    }

    /// How much of it the client is still to have.
    pub fn size_hint(&self) -> SizeHint {
        if let Some(whole) = &self.whole {
            return SizeHint::with_exact(whole.len() as u64);
        }
        let mut left = match &self.connection {
            Some(connection) => connection.size_hint(),
            None if self.ended => SizeHint::with_exact(0),
            None => SizeHint::default(),
        };
        if let Some(ahead) = &self.ahead {
            let upper = left.upper().map(|upper| upper + ahead.bytes());
            left.set_lower(left.lower() + ahead.bytes());
            upper.into_iter().for_each(|upper| left.set_upper(upper));
        }
        left
    }
}

/// Whether the body ended too soon, or breaks its coding, or it is its request that broke off.
fn fault_of(broken: &Broken) -> Fault {
    match (broken.upload(), broken.way()) {
        (Some(fault), _) => fault,
        (None, Some(Break::Malformed)) => Fault::UpstreamMalformed,
        (None, Some(Break::Leaving | Break::Refused | Break::Reset | Break::Ended) | None) => {
            Fault::UpstreamBroke
        }
    }
}
