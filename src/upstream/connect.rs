//! Making a connection to an endpoint.

use std::{io, time::Duration};

use rustls::HandshakeKind;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpStream, UnixStream},
    time::Instant,
};
use tokio_rustls::TlsConnector;

use super::{
    address::Address,
    connection::Connection,
    connections::Connections,
    dialect::{Behalf, Dialect, HTTP2},
    health::Evidence,
    seated::Seated,
    trunk::Trunk,
    wire::{Socket, Stream},
};
use crate::{
    deadline::Wheel,
    descriptors::{self, Place},
    tls,
};

/// Where a connection leads, and how it begins.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// Where the endpoint is, or what is asked instead of it.
    pub address: &'a Address,
    /// Its number.
    pub endpoint_id: u32,
    /// How it is spoken to.
    pub dialect: &'a Dialect,
    /// On whose behalf; nobody's for what usher asks by itself, and where that is not told.
    pub behalf: Option<Behalf>,
}

/// Why there is no connection. Nothing of the request has been sent.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// This process is out of descriptors, which says nothing about the endpoint.
    #[error("no descriptor is left: {0}")]
    NoDescriptor(#[source] io::Error),
    /// The operating system said no.
    #[error("cannot connect: {0}")]
    Io(#[from] io::Error),
    /// It did not say anything in time.
    #[error("no connection within {0:?}")]
    Timeout(Duration),
    /// There is no TLS with it: its certificate is not believed, ours is not, or it speaks none.
    #[error("no TLS: {0}{hint}", hint = hint(.0))]
    Tls(#[source] io::Error),
    /// It has not agreed to speak HTTP/2.
    #[error("no HTTP/2 with it: it did not choose `h2` (ALPN); write `protocol: http/1.1`")]
    NoHttp2,
    /// It ended before HTTP/2 was spoken on it.
    #[error("cannot speak HTTP/2: {0}")]
    Handshake(#[from] h2::Error),
}

// === impl ConnectError ===

impl ConnectError {
    /// Whether it will be so until somebody does something about it.
    pub fn stays(&self) -> bool {
        match self {
            ConnectError::Tls(_) | ConnectError::NoHttp2 => true,
            ConnectError::Io(error) => error.kind() == io::ErrorKind::PermissionDenied,
            ConnectError::NoDescriptor(_)
            | ConnectError::Timeout(_)
            | ConnectError::Handshake(_) => false,
        }
    }

    /// What this says against the endpoint; nothing where it is usher that has run out.
    pub fn evidence(&self) -> Option<Evidence> {
        match self {
            ConnectError::NoDescriptor(_) => None,
            ConnectError::Io(error) => match error.kind() {
                // A Unix socket that is not there is as much nobody listening as a closed port,
                // and so is one that usher has no right to.
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::NotFound => Some(Evidence::Refused),
                io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::WouldBlock => Some(Evidence::Unreachable),
                _ => None,
            },
            ConnectError::Timeout(_) => Some(Evidence::Unreachable),
            ConnectError::Tls(_) | ConnectError::NoHttp2 => Some(Evidence::Untrusted),
            ConnectError::Handshake(_) => Some(Evidence::Broke),
        }
    }
}

/// What to do about it, behind a semicolon.
fn hint(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref());
    cause.and_then(tls::advice).map(|advice| format!("; {advice}")).unwrap_or_default()
}

/// Connects along `way` within `wait`.
pub async fn connect(
    way: Way<'_>,
    wait: Duration,
    wheel: &Wheel,
) -> Result<Connection, ConnectError> {
    // A future that is dropped has sent nothing of a request.
    let begun = wheel.within(Instant::now() + wait, begin(way, wheel)).await;
    begun.map_err(|_late| ConnectError::Timeout(wait))?
}

async fn begin(way: Way<'_>, wheel: &Wheel) -> Result<Connection, ConnectError> {
    let (stream, handshake) = open(way).await?;
    let mut connection = match way.dialect.is_shared() {
        true => {
            let seat = Trunk::open(stream, wheel).await?;
            Connection::seated(Seated::new(seat, way.dialect), way.dialect)
        }
        false => Connection::alone(stream),
    };
    connection.began(way.dialect.number(), way.behalf, handshake);
    Ok(connection)
}

/// A stream on which HTTP may be spoken, and how hands were shaken where TLS is.
async fn open(way: Way<'_>) -> Result<(Stream, Option<HandshakeKind>), ConnectError> {
    let dialed = dial(way.address).await;
    let mut socket = dialed.map_err(|error| match descriptors::are_exhausted(&error) {
        true => ConnectError::NoDescriptor(error),
        false => ConnectError::Io(error),
    })?;
    if let Some(header) = way.dialect.header(way.behalf) {
        // As the first there is, it fits into the socket's buffer.
        socket.write_all(&header).await?;
    }
    let Some(secret) = way.dialect.secret(way.endpoint_id, way.address) else {
        return Ok((Stream::Plain(socket), None));
    };
    let shaken = TlsConnector::from(secret.config).connect(secret.name, socket).await;
    let stream = shaken.map_err(ConnectError::Tls)?;
    let session = stream.get_ref().1;
    if way.dialect.is_shared() && session.alpn_protocol() != Some(HTTP2) {
        return Err(ConnectError::NoHttp2);
    }
    let kind = session.handshake_kind();
    Ok((Stream::Tls(Box::new(stream)), kind))
}

/// Connects along `way`, or finds a seat on a connection that was made meanwhile.
pub async fn reach(
    way: Way<'_>,
    wait: Duration,
    wheel: &Wheel,
    own: &Connections,
) -> Result<Connection, ConnectError> {
    let Way { endpoint_id, dialect, .. } = way;
    if !dialect.is_shared() {
        return reach_new(way, wait, wheel, own).await;
    }
    let until = Instant::now() + wait;
    let turn = own.turn(endpoint_id, dialect);
    // Nobody closes it: whoever has waited has the turn.
    let waited = wheel.within(until, turn.acquire()).await;
    let _turn = waited.map_err(|_late| ConnectError::Timeout(wait))?;
    if let Some(connection) = own.sit(endpoint_id, dialect) {
        return Ok(connection);
    }
    let connection = reach_new(way, until - Instant::now(), wheel, own).await?;
    if let Some(trunk) = connection.trunk() {
        own.add(endpoint_id, dialect, trunk.clone());
    }
    Ok(connection)
}

/// Connects along `way` as [`connect`] does. When the process is out of descriptors, connections
/// of this worker that nobody uses are closed and it is tried once more.
async fn reach_new(
    way: Way<'_>,
    wait: Duration,
    wheel: &Wheel,
    unused: &Connections,
) -> Result<Connection, ConnectError> {
    let ended = connect(way, wait, wheel).await;
    let Err(ConnectError::NoDescriptor(_)) = &ended else { return ended };
    descriptors::lacked(Place::Endpoint);
    if unused.is_empty() {
        return ended;
    }
    unused.clear();
    // The drivers of those over HTTP/2 let go of the sockets when it is their turn.
    tokio::task::yield_now().await;
    connect(way, wait, wheel).await
}

async fn dial(address: &Address) -> io::Result<Socket> {
    match address {
        Address::Socket(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Socket::Tcp(stream))
        }
        Address::Unix(path) => Ok(Socket::Unix(UnixStream::connect(path).await?)),
    }
}
