//! Taking a port.

use std::{io, net::TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

use crate::bind::Bind;

/// How many connections the system queues while the acceptor is busy; Linux lowers it to
/// `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {bind}: {source}{}", hint(.source))]
pub struct BindError {
    /// The address.
    pub bind: Bind,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A listening socket at `address`, not blocking.
///
/// # Errors
/// The address is taken, not ours, or needs a right that this process does not have.
pub fn bind(bind: &Bind) -> Result<TcpListener, BindError> {
    try_bind(bind).map_err(|source| BindError { bind: bind.clone(), source })
}

fn try_bind(bind: &Bind) -> io::Result<TcpListener> {
    let address = bind.socket().ok_or(io::ErrorKind::InvalidInput)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last connections are in TIME_WAIT can be taken again at once.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => " (does another usher run?)",
        io::ErrorKind::PermissionDenied => {
            " (a port below 1024 needs the right CAP_NET_BIND_SERVICE)"
        }
        _ => "",
    }
}
