//! Making a connection to an endpoint.

use std::{io, time::Duration};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpStream, UnixStream},
    time::Instant,
};

use super::{
    address::Address,
    connections::{Connection, Connections},
    health::Evidence,
    wire::{Stream, Wire},
};
use crate::{
    deadline::Wheel,
    descriptors::{self, Place},
};

/// The most that is read at once, in bytes.
const BUFFER_BYTES_MAX: usize = 256 * 1024;

/// The most fields in the head of an answer: hyper has room for so many without allocating it for
/// each answer.
const HEADERS_MAX: usize = 100;

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
    /// hyper refused to speak on it.
    #[error("cannot speak HTTP/1.1: {0}")]
    Handshake(#[from] hyper::Error),
}

// === impl ConnectError ===

impl ConnectError {
    /// What this says against the endpoint; nothing where it is usher that has run out.
    pub fn evidence(&self) -> Option<Evidence> {
        match self {
            ConnectError::NoDescriptor(_) => None,
            ConnectError::Io(error) => match error.kind() {
                // A Unix socket that is not there is as much nobody listening as a closed port.
                io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::NotFound => Some(Evidence::Refused),
                io::ErrorKind::TimedOut
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::WouldBlock => Some(Evidence::Unreachable),
                _ => None,
            },
            ConnectError::Timeout(_) => Some(Evidence::Unreachable),
            ConnectError::Handshake(_) => Some(Evidence::Broke),
        }
    }
}

/// Connects to `address` within `wait`, and starts the driver of the connection on this worker.
pub async fn connect(
    address: &Address,
    wait: Duration,
    wheel: &Wheel,
) -> Result<Connection, ConnectError> {
    let stream = wheel
        .within(Instant::now() + wait, dial(address))
        .await
        .map_err(|_late| ConnectError::Timeout(wait))?
        .map_err(|error| match descriptors::are_exhausted(&error) {
            true => ConnectError::NoDescriptor(error),
            false => ConnectError::Io(error),
        })?;
    adopt(stream).await
}

/// Connects to `address` as [`connect`] does. When the process is out of descriptors, connections
/// of this worker that nobody uses are closed and it is tried once more.
pub async fn reach(
    address: &Address,
    wait: Duration,
    wheel: &Wheel,
    unused: &Connections,
) -> Result<Connection, ConnectError> {
    let ended = connect(address, wait, wheel).await;
    let Err(ConnectError::NoDescriptor(_)) = &ended else { return ended };
    descriptors::lacked(Place::Endpoint);
    if unused.is_empty() {
        return ended;
    }
    unused.clear();
    // Their drivers let go of the sockets when it is their turn.
    tokio::task::yield_now().await;
    connect(address, wait, wheel).await
}

/// Speaks HTTP/1.1 on `stream`, and starts the driver of the connection on this worker.
pub(super) async fn adopt(stream: Stream) -> Result<Connection, ConnectError> {
    let (wire, tally) = Wire::new(stream);
    let (sender, driver) = http1::Builder::new()
        .max_buf_size(BUFFER_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .http09_responses(false)
        .allow_spaces_after_header_name_in_responses(false)
        .allow_obsolete_multiline_headers_in_responses(false)
        .ignore_invalid_headers_in_responses(false)
        .handshake(TokioIo::new(wire))
        .await?;
    // `Connection` owns the driver and ends it. Its errors reach the request that is on the
    // connection, and an idle connection's end is no news.
    let driver = tokio::spawn(async move {
        let _ = driver.with_upgrades().await;
    });
    Ok(Connection::new(sender, tally, driver.abort_handle()))
}

async fn dial(address: &Address) -> io::Result<Stream> {
    match address {
        Address::Socket(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Stream::Tcp(stream))
        }
        Address::Unix(path) => Ok(Stream::Unix(UnixStream::connect(path).await?)),
    }
}
