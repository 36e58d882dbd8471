//! Accepting connections, at doors that may come and go while usher runs.

#![expect(clippy::disallowed_methods, reason = "the acceptor waits rarely, and has no wheel")]

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinSet,
};

use super::{
    census::{Census, Counts},
    house::House,
    listen::{BACKLOG, Listener, Listening, SocketFile},
    stream::Connected,
    work::{Accepted, Desk},
};
use crate::{
    bind::{Access, Bind},
    descriptors::{self, Place},
    drain::{Drain, Stage},
    peer::{Client, Peer},
    snapshot::Published,
};

/// How long accepting rests when the process is out of descriptors.
const REST: Duration = Duration::from_millis(100);

/// How often it is said that accepting fails.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// A listening socket, and which listener of the configuration it is.
#[derive(Debug)]
pub struct Door {
    /// The address as it was configured.
    pub bind: Bind,
    /// The socket.
    pub socket: Listening,
}

/// Which doors are opened and which are closed.
#[derive(Debug, Default)]
pub struct Order {
    /// New ones.
    pub open: Vec<Door>,
    /// Those to be closed, as they were configured.
    pub close: Vec<Bind>,
    /// Those whose files are to have other rights.
    pub dress: Vec<(Bind, Access)>,
    /// Who wants the sockets of all that are open, for another process.
    pub lend: Option<oneshot::Sender<Vec<Door>>>,
}

/// A door that is open.
struct Open {
    bind: Bind,
    listener: Arc<Listener>,
    file: Option<Arc<SocketFile>>,
    _open: oneshot::Sender<()>,
}

/// Minds all doors of an usher.
#[derive(Clone, Debug)]
pub struct Doorman {
    /// Where connections go.
    pub desks: Arc<[Desk]>,
    /// Who is here.
    pub census: Arc<Census>,
    /// What the snapshot says about a listener holds for connections from then on.
    pub published: Published,
    /// How far stopping has come.
    pub drain: Drain,
    /// Whether another process serves at these doors.
    pub handed_over: watch::Receiver<bool>,
    /// Connections over all doors, where the configuration does not say.
    pub connections_auto: u64,
    /// The most connections over all doors, whatever the configuration says.
    pub connections_max: u64,
}

// === impl Open ===

impl Open {
    /// Its socket once more, for another process.
    fn lend(&self) -> Option<Door> {
        let socket = self.listener.try_clone();
        let socket = socket.inspect_err(|error| tracing::error!(%error, "a door cannot be lent"));
        let socket = Listening { socket: socket.ok()?, file: self.file.clone() };
        Some(Door { bind: self.bind.clone(), socket })
    }

    /// Gives its file other rights.
    fn dress(&self, access: Access) {
        let dressed = self.file.as_ref().map(|file| file.dress(access));
        if let Some(Err(error)) = dressed {
            let bind = &self.bind;
            tracing::error!(%bind, %error, "a Unix socket cannot be given other rights");
        }
    }
}

// === impl Doorman ===

impl Doorman {
    /// Minds the doors that are open from the start, and opens and closes others as ordered, until
    /// usher stops accepting.
    ///
    /// # Errors
    /// A socket cannot be watched.
    pub async fn mind(self, first: Vec<Door>, mut orders: mpsc::Receiver<Order>) -> io::Result<()> {
        let mut tasks = JoinSet::new();
        let mut doors: Vec<Open> = Vec::new();
        let mut next = Some(Order { open: first, ..Order::default() });
        loop {
            if let Some(order) = next.take() {
                for Door { bind, socket } in order.open {
                    let (open, closed) = oneshot::channel();
                    let file = socket.file.clone();
                    let listener = Arc::new(socket.watch()?);
                    let welcoming = (listener.clone(), file.clone());
                    tasks.spawn(self.clone().accept(bind.clone(), welcoming, closed));
                    doors.push(Open { bind, listener, file, _open: open });
                }
                // Dropping what holds a door open closes it.
                doors.retain(|door| !order.close.contains(&door.bind));
                for (bind, access) in order.dress {
                    doors.iter().filter(|door| door.bind == bind).for_each(|it| it.dress(access));
                }
                if let Some(lend) = order.lend {
                    // Whoever asked and has gone needs none.
                    let _ = lend.send(doors.iter().filter_map(Open::lend).collect());
                }
            }
            // Orders are kept by their channel, ended tasks by their set.
            tokio::select! {
                () = self.drain.reached(Stage::Finishing) => break,
                Some(order) = orders.recv() => next = Some(order),
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
        }
        drop(doors);
        while tasks.join_next().await.is_some() {}
        Ok(())
    }

    /// Accepts connections and hands each to the desk that has the fewest, until the door is
    /// closed. What the system has queued by then is taken and served.
    async fn accept(
        self,
        bind: Bind,
        (listener, file): (Arc<Listener>, Option<Arc<SocketFile>>),
        mut closed: oneshot::Receiver<()>,
    ) {
        let counts = self.census.listener(listener.bind().clone(), bind.clone());
        let mut complained = None;
        let house = House::of(&self.published.current(), &bind, self.connections_auto);
        let mut house = Arc::new(house);
        loop {
            // Waiting and accepting lose nothing when they are dropped.
            let accepted = tokio::select! {
                biased;
                () = self.drain.reached(Stage::Finishing) => break,
                _ = &mut closed => break,
                accepted = async {
                    let max = house.connections_max.min(self.connections_max);
                    self.census.room(max).await;
                    listener.accept().await
                } => accepted,
            };
            if let Some(renewed) = house.renewed(&self.published, self.connections_auto) {
                house = Arc::new(renewed);
            }
            match accepted {
                Ok(socket) => self.welcome((&listener, &house), &counts, socket).await,
                Err(error) => self.rest(&error, &mut complained).await,
            }
        }
        // Before the queue is emptied, so that whoever could still come here is let in.
        if let Some(file) = file {
            if *self.handed_over.borrow() { file.leave() } else { file.remove() }
        }
        // Asked directly: what the poller has not told yet would be lost with the socket. Where
        // another process listens on it too, there is no end of that but this.
        for _ in 0..BACKLOG {
            match listener.accept_queued() {
                Ok(socket) => self.welcome((&listener, &house), &counts, socket).await,
                // Who has gone while it waited keeps nobody else waiting.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_none_left) => break,
            }
        }
    }

    async fn welcome(
        &self,
        (listener, house): (&Listener, &Arc<House>),
        counts: &Arc<Counts>,
        socket: Connected,
    ) {
        let (address, local) = match &socket {
            Connected::Tcp(socket, from) => match listener.local(socket) {
                Ok(local) => (Some(*from), Some(local)),
                // A socket that cannot say where it is has been reset already.
                Err(_) => return,
            },
            Connected::Unix(_) => (None, None),
        };
        let client = address.map_or(Client::Unix, |address| address.ip().into());
        let trusted = house.trusts(client);
        let counted = (!trusted).then_some(client);
        let Some(place) = self.census.enter(counts, counted, house.per_client) else {
            let per_client = house.per_client;
            tracing::debug!(%client, per_client, "one address has too many connections");
            return;
        };
        let peer = Peer { address, local, listener: house.bind.clone(), trusted, tls: None };
        let fewest = self.desks.iter().min_by_key(|desk| desk.load());
        let Some(desk) = fewest else { return };
        desk.hand(Accepted { socket, peer, house: house.clone(), place }).await;
    }

    /// Says at most once a second that accepting fails, and lets connections close meanwhile. What
    /// waits to be accepted waits on in the system's queue.
    async fn rest(&self, error: &io::Error, complained: &mut Option<Instant>) {
        // The client that was to be accepted has gone; the next one is unaffected.
        let gone = [io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
        if gone.contains(&error.kind()) {
            return;
        }
        if descriptors::are_exhausted(error) {
            descriptors::lacked(Place::Client);
        }
        if complained.is_none_or(|at| at.elapsed() >= COMPLAIN_EVERY) {
            let (open, limit) = (self.census.total(), descriptors::limit_now());
            tracing::error!(%error, open, limit, "cannot accept connections; trying on");
            *complained = Some(Instant::now());
        }
        tokio::time::sleep(REST).await;
    }
}
