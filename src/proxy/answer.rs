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

use crate::{
    deadline::{Deadline, Wheel},
    fault::Fault,
    upstream::{Connection, StreamPlace},
};

/// The body of an answer, and the connection that it comes from.
///
/// The connection is kept here so that it goes back only when the answer has ended whole; dropped
/// before that, it is closed, and hyper tells the endpoint so.
pub struct Answer {
    incoming: Incoming,
    connection: Option<Connection>,
    wheel: Wheel,
    between_bytes: Duration,
    silence: Option<Deadline>,
    /// Whether its end has been read; hyper tells it beforehand only of a body of known length.
    ended: bool,
    /// Its place among the pool's streams of events, if it is one.
    events: Option<StreamPlace>,
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
            incoming,
            connection: Some(connection),
            wheel: wheel.clone(),
            between_bytes,
            silence: None,
            ended: false,
            events: None,
        }
    }

    /// With a place it is a stream of events, which ends when its reader goes.
    pub fn streams_events(mut self, place: Option<StreamPlace>) -> Self {
        self.events = place;
        self
    }

    /// What is left of it when nobody wants it any more, unless closing the connection is the way
    /// to tell the monolith so.
    pub fn abandon(mut self) -> Option<(Incoming, Connection)> {
        let connection = self.connection.take()?;
        self.events.is_none().then_some((self.incoming, connection))
    }

    /// The connection, once the answer has ended whole.
    pub fn take_connection(&mut self) -> Option<Connection> {
        self.connection.take()
    }

    /// The next frame; silence counts only while somebody waits for it.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let polled = Pin::new(&mut self.incoming).poll_frame(cx);
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

    /// Whether its last byte has been read.
    pub fn has_ended(&self) -> bool {
        self.ended || self.incoming.is_end_stream()
    }

    /// How much is left of it.
    pub fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Whether the body ended too soon, or breaks its coding.
fn fault_of(error: &hyper::Error) -> Fault {
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match cause.map(io::Error::kind) {
        Some(io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData) => Fault::UpstreamMalformed,
        _ => Fault::UpstreamBroke,
    }
}
