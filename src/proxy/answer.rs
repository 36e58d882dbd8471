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
    deadline::Deadline,
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
    between_bytes: Duration,
    /// Whether somebody waits for more of it, and a deadline has been set for that.
    awaited: bool,
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
    /// An answer with these fields beside those of its head's map, whose silences last at most
    /// `between_bytes`. With a place it is a stream of events, which ends when its reader goes.
    ///
    /// Up to `ahead_max` bytes of it may be read ahead. A stream of events feels its reader: what
    /// it says would only grow old here, and its slot is held anyway.
    #[inline]
    pub fn new(
        connection: Connection,
        lines: Lines,
        between_bytes: Duration,
        events: Option<StreamPlace>,
        ahead_max: u64,
    ) -> Self {
        Self {
            connection: Some(connection),
            whole: None,
            lines,
            between_bytes,
            awaited: false,
            ended: false,
            abandoned: false,
            ahead_max: if events.is_some() { 0 } else { ahead_max },
            events,
            ahead: None,
        }
    }

    /// The fields that lie outside of its head's map.
    pub fn lines(&mut self) -> &mut Lines {
        &mut self.lines
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

    /// The next frame for the client. What is waited for is waited for by `deadline`.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &mut Deadline,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        if let Some(whole) = self.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        match self.ahead.as_mut().and_then(|ahead| ahead.take()) {
            Some(frame) => Poll::Ready(Some(frame)),
            None => self.read(cx, deadline),
        }
    }

    /// Reads what the monolith has ready while the client takes nothing, as far as it may be kept
    /// in what `room` makes. It fails with why the answer breaks off, which its client is told
    /// behind what has come.
    pub fn read_ahead(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &mut Deadline,
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
            match self.read(cx, deadline) {
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
        self.awaited = false;
        ended
    }

    /// The next frame from the monolith; silence counts only while somebody waits for it.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        deadline: &mut Deadline,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = connection.poll_frame(cx) {
            self.awaited = false;
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
        if !std::mem::replace(&mut self.awaited, true) {
            deadline.reset(Instant::now() + self.between_bytes);
        }
        Pin::new(deadline).poll(cx).map(|()| Some(Err(Fault::BetweenBytesTimeout)))
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
