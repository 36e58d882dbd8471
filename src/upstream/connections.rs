//! One worker's connections to endpoints: those that are idle, and how one comes back.
//!
//! Idle connections are reused last in, first out: the one used last is the least likely to have
//! been closed by Puma, and a Puma thread stays up to 0.2 s with the connection that it has just
//! answered (`FAST_TRACK_KA_TIMEOUT`, puma/lib/puma/const.rb). Idle ones never leave their worker;
//! one that goes to a waiter together with its slot may be used by another worker, while its driver
//! stays where it was made.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use rustls::HandshakeKind;
use tokio::task::AbortHandle;

use super::{
    dialect::{Behalf, Dialect},
    endpoint::Endpoint,
    heads::Asked,
    wire::Tally,
};
use crate::body::Body;

/// The most idle connections that one worker keeps to one endpoint.
const IDLE_MAX: usize = 256;

/// A connection to an endpoint. Dropping it closes it.
#[derive(Debug)]
pub struct Connection {
    sender: SendRequest<Body>,
    tally: Arc<Tally>,
    reused: bool,
    /// Whether the endpoint has said that it closes it.
    closes: bool,
    driver: Option<AbortHandle>,
    /// The number of the dialect in which it was begun.
    dialect: u32,
    /// On whose behalf, where the endpoint has been told: nobody else's requests may go there.
    behalf: Option<Box<Behalf>>,
    /// How hands were shaken for it, where it is encrypted.
    handshake: Option<HandshakeKind>,
}

/// One worker's idle connections, by the numbers of their endpoint and their dialect.
#[derive(Debug, Default)]
pub struct Connections {
    idle: Mutex<FxHashMap<(u32, u32), Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until: Instant,
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(sender: SendRequest<Body>, tally: Arc<Tally>, driver: AbortHandle) -> Self {
        Self {
            sender,
            tally,
            reused: false,
            closes: false,
            driver: Some(driver),
            dialect: 0,
            behalf: None,
            handshake: None,
        }
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

    /// Whether the session of an earlier connection was resumed for it; `None` in plain text.
    pub fn resumed(&self) -> Option<bool> {
        self.handshake.map(|kind| kind == HandshakeKind::Resumed)
    }

    /// Whether it was begun as endpoints are spoken to in `dialect`, and on this client's behalf
    /// where they are told.
    pub fn suits(&self, dialect: &Dialect, behalf: Option<Behalf>) -> bool {
        self.dialect == dialect.number() && self.is_for(behalf)
    }

    fn is_for(&self, behalf: Option<Behalf>) -> bool {
        self.behalf.as_deref() == behalf.as_ref()
    }

    /// Lets the driver end by itself: after an upgrade the stream belongs to the tunnel.
    pub fn let_go(mut self) {
        self.driver = None;
    }

    /// Whether it carried a request before: then its end may have nothing to do with this one.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// The endpoint has said that it closes it after this answer.
    pub fn retire(&mut self) {
        self.closes = true;
    }

    /// Whether it may carry another request.
    fn is_good(&self) -> bool {
        !self.closes && !self.sender.is_closed()
    }

    /// The connection for another request, right after an answer: its driver has still to notice
    /// that the answer has ended. `None` when it has been closed.
    pub async fn again(mut self) -> Option<Self> {
        if !self.is_good() {
            return None;
        }
        self.sender.ready().await.ok()?;
        self.reused = true;
        Some(self)
    }

    /// Bytes read on it so far.
    pub fn bytes_read(&self) -> u64 {
        self.tally.read()
    }

    /// Where one request goes in.
    pub fn dispatch(&mut self, asked: Asked) -> &mut SendRequest<Body> {
        self.tally.dispatched(asked);
        &mut self.sender
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // hyper's driver would stay for as long as the endpoint takes nothing of a body, and keep
        // the body, and with it the client's connection.
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

// === impl Connections ===

impl Connections {
    /// The connection to `endpoint` in `dialect`, on this client's behalf where it is told, that
    /// was used last and is still good.
    pub fn take(
        &self,
        endpoint: &Endpoint,
        dialect: &Dialect,
        behalf: Option<Behalf>,
    ) -> Option<Connection> {
        let now = Instant::now();
        let mut idle = self.idle.lock();
        let stack = idle.get_mut(&(endpoint.id(), dialect.number()))?;
        // Those that were closed or have expired are left for `sweep`.
        let usable = |idle: &Idle| {
            let Idle { connection, until } = idle;
            connection.sender.is_ready() && now < *until && connection.is_for(behalf)
        };
        let last = stack.iter().rposition(usable)?;
        Some(stack.remove(last).connection)
    }

    /// Keeps `connection` for the next request, for at most `idle`.
    pub fn put(&self, endpoint: &Endpoint, mut connection: Connection, idle: Duration) {
        // A drained endpoint is to be left alone once it has answered.
        if !connection.is_good() || endpoint.is_drained() {
            return;
        }
        connection.reused = true;
        let mut all = self.idle.lock();
        let stack = all.entry((endpoint.id(), connection.dialect)).or_default();
        if stack.len() < IDLE_MAX {
            stack.push(Idle { connection, until: Instant::now() + idle });
        }
    }

    /// Closes what has been idle for too long or was closed from the other side.
    pub fn sweep(&self, now: Instant) {
        let mut idle = self.idle.lock();
        idle.retain(|_, stack| {
            stack.retain(|idle| now < idle.until && !idle.connection.sender.is_closed());
            !stack.is_empty()
        });
    }

    /// Closes those to `endpoint`.
    pub fn leave(&self, endpoint: &Endpoint) {
        self.idle.lock().retain(|(id, _), _| *id != endpoint.id());
    }

    /// Closes all of them.
    pub fn clear(&self) {
        self.idle.lock().clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.idle.lock().values().map(Vec::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
