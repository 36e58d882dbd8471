//! Accepting connections.

#![expect(clippy::disallowed_methods, reason = "the acceptor waits rarely, and has no wheel")]

use std::{
    io,
    net::{SocketAddr, TcpStream as StdStream},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use tokio::net::TcpListener;

use super::{
    census::Census,
    h1::Rules,
    work::{Accepted, Desk},
};
use crate::{
    drain::{Drain, Stage},
    peer::Peer,
};

/// How long accepting rests when the process is out of descriptors.
const REST: Duration = Duration::from_millis(100);

/// What holds for the connections of a listening socket.
#[derive(Debug)]
pub struct Door {
    /// Which listener of the configuration it is.
    pub index: usize,
    /// What its clients may cost.
    pub rules: Arc<Rules>,
    /// Connections of one client address.
    pub per_client: u64,
    /// Connections over all doors.
    pub connections_max: u64,
    /// Networks that may tell us `X-Forwarded-*`.
    pub trusted: Arc<[IpNet]>,
}

/// Accepts connections at `door` and hands each to the desk that has the fewest, until usher stops
/// accepting. What the system has queued by then is taken and served.
pub async fn accept(
    listener: TcpListener,
    door: Door,
    desks: Arc<[Desk]>,
    census: Arc<Census>,
    drain: Drain,
) {
    let mut complained = None;
    loop {
        // Waiting and accepting lose nothing when they are dropped.
        tokio::select! {
            biased;
            () = drain.reached(Stage::Finishing) => break,
            () = census.room(door.connections_max) => {}
        }
        tokio::select! {
            biased;
            () = drain.reached(Stage::Finishing) => break,
            accepted = listener.accept() => match accepted {
                // The socket leaves this thread's poller; the worker registers it with its own.
                Ok((socket, address)) => if let Ok(socket) = socket.into_std() {
                    welcome(&door, &desks, &census, socket, address).await;
                },
                Err(error) => rest(&error, &mut complained).await,
            },
        }
    }
    // Asked directly: what the poller has not told yet would be lost with the socket.
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((socket, address)) = listener.accept() {
        // A socket that is accepted thus begins blocking.
        if socket.set_nonblocking(true).is_ok() {
            welcome(&door, &desks, &census, socket, address).await;
        }
    }
}

async fn welcome(
    door: &Door,
    desks: &[Desk],
    census: &Arc<Census>,
    socket: StdStream,
    address: SocketAddr,
) {
    // A socket that cannot say where it is has been reset already.
    let Ok(local) = socket.local_addr() else { return };
    let ip = address.ip().to_canonical();
    let trusted = door.trusted.iter().any(|network| network.contains(&ip));
    let client = (!trusted).then_some(ip);
    let Some(place) = census.enter(door.index, client, door.per_client) else {
        tracing::debug!(%ip, per_client = door.per_client, "one address has too many connections");
        return;
    };
    let peer = Arc::new(Peer { address, local, trusted });
    let fewest = desks.iter().min_by_key(|desk| desk.connections());
    let Some(desk) = fewest else { return };
    desk.hand(Accepted { socket, peer, rules: door.rules.clone(), place }).await;
}

/// Says at most once a second that accepting fails, and lets connections close meanwhile.
async fn rest(error: &io::Error, complained: &mut Option<std::time::Instant>) {
    // The client that was to be accepted has gone; the next one is unaffected.
    if matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        return;
    }
    if complained.is_none_or(|at| at.elapsed() >= Duration::from_secs(1)) {
        tracing::error!(%error, "cannot accept connections");
        *complained = Some(std::time::Instant::now());
    }
    tokio::time::sleep(REST).await;
}
