//! A worker: one thread, one runtime, its connections from accept to close.

use std::{
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use bytes::Bytes;
use tokio::{sync::mpsc, task::JoinSet, time::Instant};

use super::{
    census::Place,
    enter::{Entered, enter},
    h1::{self, Released},
    h2,
    house::House,
    load::{Attended, Load},
    rules::Rules,
    stream::{Connected, Stream},
};
use crate::{
    peer::{Alpn, Peer},
    proxy::{OnDuty, Proxy, Worker},
};

/// How many accepted connections may wait for one worker.
pub const INBOX: usize = 1024;

/// How often connections to endpoints are looked through for expired ones.
const SWEEP: Duration = Duration::from_secs(1);

/// A connection on its way to a worker.
#[derive(Debug)]
pub struct Accepted {
    /// Its socket.
    pub socket: Connected,
    /// Who is at the other end.
    pub peer: Peer,
    /// What holds for it.
    pub house: Arc<House>,
    /// Its place in the census.
    pub place: Place,
}

/// Where connections for one worker are handed in.
#[derive(Debug)]
pub struct Desk {
    inbox: mpsc::Sender<Handed>,
    load: Load,
}

/// A connection in a worker's inbox, counted already.
#[derive(Debug)]
pub struct Handed {
    accepted: Accepted,
    attended: Attended,
}

// === impl Desk ===

impl Desk {
    /// A desk, where its worker takes connections from, and what is counted of them.
    pub fn new() -> (Self, mpsc::Receiver<Handed>, Load) {
        let (inbox, outbox) = mpsc::channel(INBOX);
        let load = Load::default();
        (Self { inbox, load: load.clone() }, outbox, load)
    }

    /// How busy its worker is: open streams, then connections. One over HTTP/1.1 counts as one open
    /// stream, since nobody can tell when its next request comes.
    pub fn load(&self) -> (u64, u64) {
        (self.load.streams(), self.load.connections())
    }

    /// Hands a connection in; waits while the inbox is full.
    pub async fn hand(&self, accepted: Accepted) {
        // Counted here, so that the next connection already sees it.
        let attended = Attended::new(&self.load);
        // A worker that has gone takes the process with it; the connection is closed by the drop.
        let _ = self.inbox.send(Handed { accepted, attended }).await;
    }
}

/// Serves the connections that come out of `outbox`, until there will be no more, the last one has
/// closed, and the other workers are as far: they may be about to use connections of this one.
pub async fn work(worker: Arc<Worker>, mut outbox: mpsc::Receiver<Handed>, load: Load) {
    let mut tasks = JoinSet::new();
    let mut sweep = worker.wheel.at(Instant::now() + SWEEP);
    let mut open = true;
    let mut on_duty = Some(OnDuty::of(&worker.common));
    loop {
        if !open && tasks.is_empty() {
            on_duty = None;
        }
        // Each arm only waits; what it would have brought comes again.
        tokio::select! {
            accepted = outbox.recv(), if open => match accepted {
                Some(handed) => {
                    tasks.spawn(attend(handed, worker.clone(), load.clone()));
                }
                None => open = false,
            },
            Some(ended) = tasks.join_next(), if !tasks.is_empty() => {
                if ended.is_err_and(|error| error.is_panic()) {
                    tracing::error!("a connection's task panicked; this is a defect of usher");
                }
            }
            () = worker.common.crew.all_have_left(), if on_duty.is_none() => break,
            () = &mut sweep => {
                worker.sweep(Clock::now());
                worker.common.pulse.beat(worker.index);
                sweep.reset(Instant::now() + SWEEP);
            }
        }
    }
    worker.close().await;
}

async fn attend(handed: Handed, worker: Arc<Worker>, load: Load) {
    let Handed { accepted, attended } = handed;
    let Accepted { socket, peer, house, mut place } = accepted;
    let socket = match socket.watch() {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "cannot watch a connection");
            return;
        }
    };
    let drain = worker.common.drain.clone();
    let wheel = worker.wheel.clone();
    // Boxed: a handshake is over soon, and a connection should not keep its room.
    let entered = Box::pin(enter(socket, peer, (&house, &mut place), &wheel, &drain)).await;
    let Some(Entered { stream, peer }) = entered else { return };
    let rules = house.rules.clone();
    drop(house);
    let agreed = peer.tls.as_ref().and_then(|tls| tls.alpn);
    let released = if agreed == Some(Alpn::H2) {
        Some(Released { stream, early: Bytes::new() })
    } else {
        let proxy = Proxy::new(worker.clone());
        h1::serve(stream, peer.clone(), rules.clone(), wheel, drain, proxy).await
    };
    if let Some(Released { stream, early }) = released {
        // Boxed, so that a connection over HTTP/1.1 does not hold the room of one over HTTP/2.
        let serving = Box::pin(speak_http2(stream, early, peer, rules, worker, load));
        attended.by_streams(serving).await;
    }
}

/// Serves a connection over HTTP/2, and notes how it ended.
async fn speak_http2(
    stream: Stream,
    early: Bytes,
    peer: Arc<Peer>,
    rules: Arc<Rules>,
    worker: Arc<Worker>,
    load: Load,
) {
    let drain = worker.common.drain.clone();
    let wheel = worker.wheel.clone();
    let proxy = Proxy::new(worker.clone());
    let client = peer.client();
    let farewell = h2::serve(stream, early, peer, rules, wheel, drain, load, proxy).await;
    let h2::Farewell { end, refused } = farewell;
    worker.common.meters.http2_closed(end, refused);
    if end.is_hostile() {
        worker.complain(|| {
            tracing::warn!(%client, reason = end.name(), "a connection over HTTP/2 was ended");
        });
    } else {
        tracing::debug!(%client, reason = end.name(), refused, "a connection over HTTP/2 ended");
    }
}
