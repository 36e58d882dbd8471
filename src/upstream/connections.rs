//! One worker's connections to endpoints: those that are idle, and how one comes back.
//!
//! Idle connections are reused last in, first out: the one used last is the least likely to have
//! been closed by Puma, and a Puma thread stays up to 0.2 s with the connection that it has just
//! answered (`FAST_TRACK_KA_TIMEOUT`, puma/lib/puma/const.rb). Nobody waits on an idle one: whether
//! it was closed, or something has come on it, is seen when it is taken, and every second by
//! `sweep`. Idle ones never leave their worker; one that goes to a waiter together with its slot
//! may be used by another worker, while the runtime that made it goes on telling when it is ready.

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
    trunk::Trunk,
};

/// The most idle connections that one worker keeps to one endpoint.
const IDLE_MAX: usize = 256;

/// How long a trunk stays without requests until its pool has said.
const TRUNK_IDLE: Duration = Duration::from_secs(15);

/// One worker's connections: those that are idle, and those that carry many requests.
#[derive(Debug, Default)]
pub struct Connections {
    idle: Mutex<FxHashMap<Key, Vec<Idle>>>,
    trunks: Mutex<FxHashMap<Key, Trunks>>,
}

/// The numbers of an endpoint and of a dialect.
type Key = (u32, u32);

/// Connections over HTTP/2 to one endpoint.
#[derive(Debug)]
struct Trunks {
    trunks: Vec<Arc<Trunk>>,
    /// One is made at a time: those who wait meanwhile sit on it.
    turn: Arc<Semaphore>,
    idle: Duration,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    until: Instant,
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
        if dialect.is_shared() {
            return self.sit(endpoint.id(), dialect);
        }
        let now = Instant::now();
        let mut idle = self.idle.lock();
        let stack = idle.get_mut(&(endpoint.id(), dialect.number()))?;
        // Those that were closed or have expired are left for `sweep`.
        let usable = |idle: &mut Idle| {
            let Idle { connection, until } = idle;
            now < *until && connection.is_for(behalf) && connection.is_ready()
        };
        let last = stack.iter_mut().rposition(usable)?;
        Some(stack.remove(last).connection)
    }

    /// Keeps `connection` for the next request, for at most `idle`.
    pub fn put(&self, endpoint: &Endpoint, mut connection: Connection, idle: Duration) {
        // A drained endpoint is to be left alone once it has answered.
        if !connection.is_good() || endpoint.is_drained() {
            return;
        }
        let key = (endpoint.id(), connection.dialect());
        if connection.is_shared() {
            // It has never left; only this seat of it is free again.
            if let Some(known) = self.trunks.lock().get_mut(&key) {
                known.idle = idle;
            }
            return;
        }
        connection.reuse();
        let mut all = self.idle.lock();
        let stack = all.entry(key).or_default();
        if stack.len() < IDLE_MAX {
            stack.push(Idle { connection, until: Instant::now() + idle });
        }
    }

    /// Closes what has been idle for too long or was closed from the other side.
    pub fn sweep(&self, now: Instant) {
        let mut idle = self.idle.lock();
        idle.retain(|_, stack| {
            stack.retain_mut(|idle| now < idle.until && idle.connection.is_ready());
            !stack.is_empty()
        });
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
        connection.reuse();
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
        self.idle.lock().retain(|(id, _), _| *id != endpoint.id());
        self.trunks.lock().retain(|(id, _), _| *id != endpoint.id());
    }

    /// Closes all of them.
    pub fn clear(&self) {
        self.idle.lock().clear();
        self.trunks.lock().clear();
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

// === impl Trunks ===

impl Default for Trunks {
    fn default() -> Self {
        Self { trunks: Vec::new(), turn: Arc::new(Semaphore::new(1)), idle: TRUNK_IDLE }
    }
}
