//! One worker's connections to endpoints: those that are idle, and those that carry many requests.
//!
//! Those that are idle lie on the worker's shelf (`shelves`), where other workers find them. One
//! over HTTP/2 carries the requests of its own worker alone, beside one another.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Semaphore;

use super::{
    connection::Connection,
    dialect::{Behalf, Dialect},
    endpoint::Endpoint,
    seated::Seated,
    shelves::{Key, Shelves, Wanted},
    trunk::Trunk,
};

/// How long a trunk stays without requests until its pool has said.
const TRUNK_IDLE: Duration = Duration::from_secs(15);

/// One worker's connections.
#[derive(Debug)]
pub struct Connections {
    worker: usize,
    shelves: Arc<Shelves>,
    trunks: Mutex<FxHashMap<Key, Trunks>>,
}

/// Connections over HTTP/2 to one endpoint.
#[derive(Debug)]
struct Trunks {
    trunks: Vec<Arc<Trunk>>,
    /// One is made at a time: those who wait meanwhile sit on it.
    turn: Arc<Semaphore>,
    idle: Duration,
}

/// Where a connection goes that has been answered: to the connections of its worker, for so long.
#[derive(Clone, Copy, Debug)]
pub struct Home<'a> {
    /// The worker's.
    pub connections: &'a Arc<Connections>,
    /// How long it stays there at most.
    pub idle: Duration,
    /// Now.
    pub now: Instant,
}

/// A connection that was put there a moment ago.
#[derive(Debug)]
pub(super) struct Left<'a> {
    home: Home<'a>,
    key: Key,
}

/// A connection on its way to whoever gets the slot that it came free with.
#[derive(Debug)]
pub struct Spare {
    connection: Connection,
    connections: Arc<Connections>,
    idle: Duration,
}

// === impl Connections ===

impl Connections {
    /// Those of `worker`, whose shelf is one of `shelves`.
    pub fn of(worker: usize, shelves: Arc<Shelves>) -> Self {
        Self { worker, shelves, trunks: Mutex::default() }
    }

    /// A connection to `endpoint` in `dialect`, on this client's behalf where it is told, that is
    /// still good `now`.
    pub fn take(
        &self,
        endpoint: &Endpoint,
        dialect: &Dialect,
        behalf: Option<Behalf>,
        now: Instant,
    ) -> Option<Connection> {
        if dialect.is_shared() {
            return self.sit(endpoint.id(), dialect);
        }
        let key = (endpoint.id(), dialect.number());
        self.shelves.take(self.worker, Wanted { key, behalf, now })
    }

    /// The connection that came with a slot, if it is still good for a request in `dialect`, on
    /// this client's behalf where endpoints are told.
    pub fn accept(
        &self,
        spare: Spare,
        dialect: &Dialect,
        behalf: Option<Behalf>,
    ) -> Option<Connection> {
        let Spare { connection, .. } = spare;
        if connection.suits(dialect, behalf) { connection.for_use(self.worker) } else { None }
    }

    /// Keeps `connection` for the next request, from `now` on for at most `idle`. Answers where it
    /// lies.
    fn put(
        &self,
        endpoint: &Endpoint,
        connection: Connection,
        (now, idle): (Instant, Duration),
    ) -> Option<Key> {
        // A drained endpoint is to be left alone once it has answered, and one that answered before
        // it had taken the whole request is not to be asked again there.
        if !connection.is_good() || endpoint.is_drained() {
            return None;
        }
        let key = (endpoint.id(), connection.dialect());
        if connection.is_shared() {
            // It has never left; only this seat of it is free again.
            if let Some(known) = self.trunks.lock().get_mut(&key) {
                known.idle = idle;
            }
            return None;
        }
        self.shelves.put(self.worker, key, connection, (now, idle));
        Some(key)
    }

    /// Closes what has been idle for too long or was closed from the other side.
    pub fn sweep(&self, now: Instant) {
        self.shelves.sweep(self.worker, now);
        self.trunks.lock().retain(|_, known| {
            known.trunks.retain(|trunk| !trunk.is_over(now, known.idle));
            !known.trunks.is_empty() || Arc::strong_count(&known.turn) > 1
        });
    }

    /// A seat on a connection over HTTP/2 to the endpoint of this number.
    pub(super) fn sit(&self, endpoint_id: u32, dialect: &Dialect) -> Option<Connection> {
        let trunks = self.trunks.lock();
        let known = trunks.get(&(endpoint_id, dialect.number()))?;
        // The first that has room: few of them are to be many.
        let seat = known.trunks.iter().find_map(Trunk::seat)?;
        let mut connection = Connection::seated(Seated::new(seat, dialect), dialect);
        connection.rest(self.worker);
        Some(connection)
    }

    /// The turn to make a connection over HTTP/2 to the endpoint of this number.
    pub(super) fn turn(&self, endpoint_id: u32, dialect: &Dialect) -> Arc<Semaphore> {
        self.trunks.lock().entry((endpoint_id, dialect.number())).or_default().turn.clone()
    }

    /// Another connection over HTTP/2, for all that come.
    pub(super) fn add(&self, endpoint_id: u32, dialect: &Dialect, trunk: Arc<Trunk>) {
        let mut all = self.trunks.lock();
        all.entry((endpoint_id, dialect.number())).or_default().trunks.push(trunk);
    }

    /// Closes those to `endpoint`.
    pub fn leave(&self, endpoint: &Endpoint) {
        self.shelves.leave(self.worker, endpoint.id());
        self.trunks.lock().retain(|(id, _), _| *id != endpoint.id());
    }

    /// Closes all of them.
    pub fn clear(&self) {
        self.shelves.clear(self.worker);
        self.trunks.lock().clear();
    }

    /// How many are idle.
    pub fn len(&self) -> usize {
        self.shelves.len(self.worker)
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

// === impl Home ===

impl<'a> Home<'a> {
    /// Puts a connection to `endpoint` there; nothing is there to be taken back where it is of no
    /// more use, or shared anyway.
    pub(super) fn leave(self, endpoint: &Endpoint, connection: Connection) -> Option<Left<'a>> {
        let key = self.connections.put(endpoint, connection, (self.now, self.idle))?;
        Some(Left { home: self, key })
    }
}

// === impl Left ===

impl Left<'_> {
    /// The connection, to be handed on; `None` where another worker has taken it meanwhile.
    pub(super) fn take_back(self) -> Option<Spare> {
        let Self { home: Home { connections, idle, .. }, key } = self;
        let connection = connections.shelves.take_back(connections.worker, key)?;
        Some(Spare { connection, connections: connections.clone(), idle })
    }
}

// === impl Spare ===

impl Spare {
    /// The connection, where it came from, and how long it may stay there.
    pub(super) fn into_parts(self) -> (Connection, Arc<Connections>, Duration) {
        (self.connection, self.connections, self.idle)
    }
}

// === impl Trunks ===

impl Default for Trunks {
    fn default() -> Self {
        Self { trunks: Vec::new(), turn: Arc::new(Semaphore::new(1)), idle: TRUNK_IDLE }
    }
}
