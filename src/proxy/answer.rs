//! The monolith's answer on its way through usher, watched.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::ahead::Ahead;
use crate::{
    deadline::{Deadline, Wheel},
    fault::Fault,
    upstream::{Break, Connection, StreamPlace},
};

/// The body of an answer, and the connection that it comes from.
///
/// The connection is kept here so that it goes back only when the answer has ended whole; dropped
/// before that, it is closed, and hyper tells the endpoint so.
///
/// Where its client does not take it at once, a part of it is read ahead ([`Answer::read_ahead`]):
/// the monolith is done before the client is.
pub struct Answer {
    /// `None` once it has broken off.
    incoming: Option<Incoming>,
    connection: Option<Connection>,
    wheel: Wheel,
    between_bytes: Duration,
    silence: Option<Deadline>,
    /// Whether its end has been read; hyper tells it beforehand only of a body of known length.
    ended: bool,
    /// Its place among the pool's streams of events, if it is one.
    events: Option<StreamPlace>,
    /// How much of it may be read ahead, in bytes; 0 where the monolith is to feel its client.
    ahead_max: u64,
    ahead: Option<Box<Ahead>>,
}

// === impl Answer ===

impl Answer {
    /// An answer whose silences last at most `between_bytes`.
    pub fn new(
        incoming: Incoming,
        connection: Connection,
        wheel: &Wheel,
        between_bytes: Duration,
    ) -> Self {
        Self {
            incoming: Some(incoming),
            connection: Some(connection),
            wheel: wheel.clone(),
            between_bytes,
            silence: None,
            ended: false,
            events: None,
            ahead_max: 0,
            ahead: None,
        }
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

    /// What is left of it at the monolith when nobody wants it any more, unless closing the
    /// connection is the way to tell the monolith so.
    pub fn abandon(&mut self) -> Option<(Incoming, Connection)> {
        let (incoming, connection) = (self.incoming.take()?, self.connection.take()?);
        self.events.take().is_none().then_some((incoming, connection))
    }

    /// The connection, once the answer has ended whole.
    pub fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// The next frame for the client.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
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
        if self.ahead_max == 0 || self.incoming.is_none() || self.has_ended() {
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
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(None) };
        let polled = Pin::new(incoming).poll_frame(cx);
        if let Poll::Ready(frame) = polled {
            self.silence = None;
            // Nothing follows trailers.
            self.ended = match &frame {
                None => true,
                Some(frame) => frame.as_ref().is_ok_and(Frame::is_trailers),
            };
            return Poll::Ready(frame.map(|frame| frame.map_err(|error| fault_of(&error))));
        }
        let between_bytes = self.between_bytes;
        let wheel = &self.wheel;
        let silence = self.silence.get_or_insert_with(|| wheel.at(Instant::now() + between_bytes));
        Pin::new(silence).poll(cx).map(|()| Some(Err(Fault::BetweenBytesTimeout)))
    }

    /// Whether the monolith has said its last byte.
    pub fn has_ended(&self) -> bool {
        self.ended || self.incoming.as_ref().is_some_and(Incoming::is_end_stream)
    }

    /// Whether it broke off while it was read ahead.
    pub fn has_broken_off(&self) -> bool {
        self.incoming.is_none()
    }

    /// Whether the client has had all of it.
    pub fn is_end_stream(&self) -> bool {
        self.has_ended() && self.ahead.as_ref().is_none_or(|ahead| ahead.is_empty())
    }

    /// How much of it the client is still to have.
    pub fn size_hint(&self) -> SizeHint {
        let mut left = self.incoming.as_ref().map(Incoming::size_hint).unwrap_or_default();
        if let Some(ahead) = &self.ahead {
            let upper = left.upper().map(|upper| upper + ahead.bytes());
            left.set_lower(left.lower() + ahead.bytes());
            upper.into_iter().for_each(|upper| left.set_upper(upper));
        }
        left
    }
}

/// Whether the body ended too soon, or breaks its coding.
fn fault_of(error: &hyper::Error) -> Fault {
    if Break::of(error) == Some(Break::Malformed) {
        return Fault::UpstreamMalformed;
    }
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Fault::UpstreamMalformed,
        _ => Fault::UpstreamBroke,
    }
}
