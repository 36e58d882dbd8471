//! Accepting connections.

#![expect(clippy::disallowed_methods, reason = "the acceptor waits rarely, and has no wheel")]

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};

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

/// A listening socket, and what holds for its connections.
#[derive(Debug)]
pub struct Door {
    /// Which listener of the configuration it is.
    pub index: usize,
    /// The socket.
    pub listener: TcpListener,
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
pub async fn accept(door: Door, desks: Arc<[Desk]>, census: Arc<Census>, mut drain: Drain) {
    let mut complained = None;
    let mut finishing = drain.clone();
    loop {
        // Waiting and accepting lose nothing when they are dropped.
        tokio::select! {
            biased;
            () = drain.reached(Stage::Finishing) => break,
            () = census.room(door.connections_max) => {}
        }
        tokio::select! {
            biased;
            () = finishing.reached(Stage::Finishing) => break,
            accepted = door.listener.accept() => match accepted {
                Ok((socket, address)) => welcome(&door, &desks, &census, socket, address).await,
                Err(error) => rest(&error, &mut complained).await,
            },
        }
    }
    while let Ok(Ok((socket, address))) =
        tokio::time::timeout(Duration::ZERO, door.listener.accept()).await
    {
        welcome(&door, &desks, &census, socket, address).await;
    }
}

async fn welcome(
    door: &Door,
    desks: &[Desk],
    census: &Arc<Census>,
    socket: TcpStream,
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
    if socket.set_nodelay(true).is_err() {
        return;
    }
    // The socket leaves this thread's poller here; the worker registers it with its own.
    let Ok(socket) = socket.into_std() else { return };
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
