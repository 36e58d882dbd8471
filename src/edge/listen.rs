//! Taking the places where usher listens, and who comes there.

mod file;

use std::{
    io,
    net::{SocketAddr, TcpListener as StdTcp},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener as StdUnix,
    },
    sync::Arc,
};

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};
use tokio::net::{TcpListener, UnixListener};

use super::stream::Connected;
use crate::bind::{Access, Bind};

pub use file::SocketFile;

/// How many connections the system queues while the acceptor is busy; Linux lowers it to
/// `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {bind}: {source}{}", hint(.bind, .source))]
pub struct BindError {
    /// The address.
    pub bind: Bind,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// A socket that listens, not blocking, and that nobody watches yet.
#[derive(Debug)]
pub struct Listening {
    /// The socket.
    pub socket: Socket,
    /// The file that leads to it, where usher is to take it away again.
    pub file: Option<Arc<SocketFile>>,
}

/// A socket that listens, watched by the runtime that it was made in.
#[derive(Debug)]
pub enum Listener {
    /// Over TCP.
    Tcp(TcpListener),
    /// At a Unix socket.
    Unix(UnixListener),
}

/// Takes `bind`; a Unix socket with the rights of `access`.
///
/// # Errors
/// The address is taken, not ours, or needs a right that this process does not have.
pub fn bind(bind: &Bind, access: Access) -> Result<Listening, BindError> {
    let taken = match bind {
        Bind::Unix(path) => file::bind(path, access),
        Bind::Tcp(address) => bind_tcp(*address),
        Bind::AnyPort(ip, _) => bind_tcp(SocketAddr::new(*ip, 0)),
    };
    taken.map_err(|source| BindError { bind: bind.clone(), source })
}

fn bind_tcp(address: SocketAddr) -> io::Result<Listening> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A port whose last connections are in TIME_WAIT can be taken again at once.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(Listening { socket, file: None })
}

fn hint(bind: &Bind, error: &io::Error) -> &'static str {
    let unix = bind.path().is_some();
    match error.kind() {
        io::ErrorKind::AddrInUse => " (does another usher run?)",
        io::ErrorKind::PermissionDenied if unix => {
            " (usher has to be allowed to write into its directory, and a `group` has to be one of \
             its own)"
        }
        io::ErrorKind::NotFound if unix => " (its directory is not there)",
        io::ErrorKind::PermissionDenied => {
            " (a port below 1024 needs the right CAP_NET_BIND_SERVICE)"
        }
        _ => "",
    }
}

// === impl Listening ===

impl Listening {
    /// Where it listens, with the port that the system chose.
    ///
    /// # Errors
    /// It is at no address that a configuration can name.
    pub fn bind(&self) -> io::Result<Bind> {
        bind_of(&self.socket.local_addr()?)
    }

    /// The same socket once more, for another process.
    ///
    /// # Errors
    /// There are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self { socket: self.socket.try_clone()?, file: self.file.clone() })
    }

    /// Has the runtime watch it.
    ///
    /// # Errors
    /// It cannot be watched.
    pub fn watch(self) -> io::Result<Listener> {
        let unix = self.socket.local_addr()?.is_unix();
        let socket = OwnedFd::from(self.socket);
        Ok(match unix {
            true => Listener::Unix(UnixListener::from_std(StdUnix::from(socket))?),
            false => Listener::Tcp(TcpListener::from_std(StdTcp::from(socket))?),
        })
    }
}

impl From<Socket> for Listening {
    /// A socket that another process has opened, and answers for.
    fn from(socket: Socket) -> Self {
        Self { socket, file: None }
    }
}

// === impl Listener ===

impl Listener {
    /// Where it listens; `None` once it is broken.
    pub fn bind(&self) -> Option<Bind> {
        bind_of(&self.options().local_addr().ok()?).ok()
    }

    /// Waits for whoever comes next. Loses nobody when it is dropped.
    ///
    /// # Errors
    /// Who was to be accepted has gone, or there are no descriptors left.
    pub async fn accept(&self) -> io::Result<Connected> {
        match self {
            // The socket leaves this thread's poller: another's registers it with its own.
            Listener::Tcp(listener) => {
                let (socket, from) = listener.accept().await?;
                Ok(Connected::Tcp(socket.into_std()?, from))
            }
            Listener::Unix(listener) => {
                let (socket, _nameless) = listener.accept().await?;
                Ok(Connected::Unix(socket.into_std()?))
            }
        }
    }

    /// Who has come and waits, without a look at what the poller has told.
    pub(super) fn accept_queued(&self) -> io::Result<Connected> {
        let (socket, from) = self.options().accept()?;
        // A socket that is accepted thus begins blocking.
        socket.set_nonblocking(true)?;
        Ok(match from.as_socket() {
            Some(from) => Connected::Tcp(socket.into(), from),
            None => Connected::Unix(OwnedFd::from(socket).into()),
        })
    }

    /// The same socket once more.
    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        let socket = match self {
            Listener::Tcp(listener) => listener.as_fd().try_clone_to_owned()?,
            Listener::Unix(listener) => listener.as_fd().try_clone_to_owned()?,
        };
        Ok(socket.into())
    }

    fn options(&self) -> SockRef<'_> {
        match self {
            Listener::Tcp(listener) => SockRef::from(listener),
            Listener::Unix(listener) => SockRef::from(listener),
        }
    }
}

fn bind_of(address: &SockAddr) -> io::Result<Bind> {
    if let Some(address) = address.as_socket() {
        return Ok(address.into());
    }
    let nameless = || io::Error::new(io::ErrorKind::InvalidInput, "it has neither port nor path");
    Ok(Bind::Unix(address.as_pathname().ok_or_else(nameless)?.into()))
}
