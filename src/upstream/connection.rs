//! A connection to an endpoint, as one request has it.

use std::{pin::Pin, sync::Arc};

use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1::SendRequest},
};
use rustls::HandshakeKind;
use tokio::task::AbortHandle;

use super::{
    dialect::{Behalf, Dialect},
    heads::Asked,
    trunk::{Break, Seat, Trunk},
    wire::Tally,
};
use crate::body::Body;

/// A request that has been sent, and whose answer is waited for.
pub type Sending =
    Pin<Box<dyn Future<Output = Result<Response<Incoming>, TrySendError<Request<Body>>>> + Send>>;

/// A connection to an endpoint. Dropping it closes it, or leaves the seat on it.
#[derive(Debug)]
pub struct Connection {
    line: Line,
    reused: bool,
    /// Whether the endpoint has said that it closes it.
    closes: bool,
    /// The number of the dialect in which it was begun.
    dialect: u32,
    /// On whose behalf, where the endpoint has been told: nobody else's requests may go there.
    behalf: Option<Box<Behalf>>,
    /// How hands were shaken for it, where it is encrypted and this is its first request.
    handshake: Option<HandshakeKind>,
}

/// What is spoken on it.
#[derive(Debug)]
enum Line {
    /// HTTP/1.1: one request after the other.
    Http1 { sender: SendRequest<Body>, tally: Arc<Tally>, driver: Option<AbortHandle> },
    /// HTTP/2: this request beside others.
    Http2 { seat: Seat, scheme: &'static str },
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(sender: SendRequest<Body>, tally: Arc<Tally>, driver: AbortHandle) -> Self {
        Self::on(Line::Http1 { sender, tally, driver: Some(driver) })
    }

    /// A seat on a trunk of `dialect`.
    pub(super) fn seated(seat: Seat, dialect: &Dialect) -> Self {
        let scheme = if dialect.is_encrypted() { "https" } else { "http" };
        let mut connection = Self::on(Line::Http2 { seat, scheme });
        connection.dialect = dialect.number();
        connection
    }

    fn on(line: Line) -> Self {
        Self { line, reused: false, closes: false, dialect: 0, behalf: None, handshake: None }
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
            Line::Http1 { .. } => None,
            Line::Http2 { seat, .. } => Some(seat.trunk()),
        }
    }

    /// Whether it carries other requests at the same time.
    pub fn is_shared(&self) -> bool {
        matches!(self.line, Line::Http2 { .. })
    }

    /// Lets the driver end by itself: after an upgrade the stream belongs to the tunnel. What is
    /// left is to be kept as long as that: a seat among others.
    pub fn let_go(mut self) -> Option<Self> {
        match &mut self.line {
            Line::Http1 { driver, .. } => {
                *driver = None;
                None
            }
            Line::Http2 { .. } => Some(self),
        }
    }

    /// Whether a WebSocket may be asked for on it; over HTTP/2 that is known once the endpoint has
    /// said its settings.
    pub async fn admits_websockets(&self) -> bool {
        match &self.line {
            Line::Http1 { .. } => true,
            Line::Http2 { seat, .. } => seat.trunk().admits_websockets().await,
        }
    }

    /// Whether it carried a request before: then its end may have nothing to do with this one.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// It has carried a request, and carries another.
    pub(super) fn reuse(&mut self) {
        self.reused = true;
    }

    /// The endpoint has said that it closes it after this answer.
    pub fn retire(&mut self) {
        self.closes = true;
    }

    /// A request on it ended with `error`. Where that is the end of what carries others too, no
    /// more are to follow.
    pub fn broke_at(&self, error: &TrySendError<Request<Body>>) {
        let Some(trunk) = self.trunk() else { return };
        let unsent = error.message().is_some();
        match Break::of(error.error()) {
            Some(Break::Leaving | Break::Ended) => trunk.retire(),
            Some(Break::Refused | Break::Reset | Break::Malformed) | None if unsent => {
                trunk.retire();
            }
            Some(Break::Refused | Break::Reset | Break::Malformed) | None => {}
        }
    }

    /// Whether nothing more can be sent on it.
    pub(super) fn has_ended(&self) -> bool {
        match &self.line {
            Line::Http1 { sender, .. } => sender.is_closed(),
            Line::Http2 { seat, .. } => seat.trunk().has_ended(),
        }
    }

    /// Whether it may carry another request.
    pub(super) fn is_good(&self) -> bool {
        !self.closes && !self.has_ended()
    }

    /// Whether a request would go out at once.
    pub(super) fn is_ready(&self) -> bool {
        match &self.line {
            Line::Http1 { sender, .. } => sender.is_ready(),
            Line::Http2 { seat, .. } => !seat.trunk().has_ended(),
        }
    }

    /// The connection for another request, right after an answer: its driver has still to notice
    /// that the answer has ended. `None` when it has been closed.
    pub async fn again(mut self) -> Option<Self> {
        if !self.is_good() {
            return None;
        }
        if let Line::Http1 { sender, .. } = &mut self.line {
            sender.ready().await.ok()?;
        }
        self.reused = true;
        Some(self)
    }

    /// Bytes read on it so far, where all of them are the answer's to one request.
    pub fn bytes_read(&self) -> u64 {
        match &self.line {
            Line::Http1 { tally, .. } => tally.read(),
            Line::Http2 { .. } => 0,
        }
    }

    /// Sends one request, and brings the head of its answer.
    pub fn send(&mut self, asked: Asked, request: Request<Body>) -> Sending {
        match &mut self.line {
            Line::Http1 { sender, tally, .. } => {
                tally.dispatched(asked);
                Box::pin(sender.try_send_request(request))
            }
            Line::Http2 { seat, scheme } => seat.send(request, scheme),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // hyper's driver would stay for as long as the endpoint takes nothing of a body, and keep
        // the body, and with it the client's connection.
        if let Line::Http1 { driver: Some(driver), .. } = &self.line {
            driver.abort();
        }
    }
}
