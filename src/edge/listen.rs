//! Taking the places where usher listens, and who comes there.

mod file;

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use tokio::io::{Interest, unix::AsyncFd};

use super::stream::Connected;
use crate::bind::{Access, Bind};

pub use file::SocketFile;

/// How many connections the system queues while the acceptor is busy; Linux lowers it to
/// `net.core.somaxconn`.
pub(super) const BACKLOG: i32 = 4096;

/// How long a connection is silent before the system looks whether its peer is still there.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);

/// How often it looks again.
const KEEP_ALIVE_EVERY: Duration = Duration::from_secs(15);

/// After so many looks without a reply the connection is broken.
const KEEP_ALIVE_PROBES: u32 = 4;

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

/// A socket that listens, watched by the runtime that it was made in. Those who come are not: each
/// is registered once, by the thread that serves it.
#[derive(Debug)]
pub struct Listener {
    socket: AsyncFd<Socket>,
    bind: Bind,
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
    // Before anybody can come.
    tune(&socket);
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
        let bind = self.bind()?;
        #[expect(deprecated, reason = "the other wants `unsafe`: a `Socket` has one descriptor")]
        let socket = AsyncFd::with_interest(self.socket, Interest::READABLE)?;
        Ok(Listener { socket, bind })
    }
}

impl From<Socket> for Listening {
    /// A socket that another process has opened, and answers for. Who has come already has what
    /// that process has set.
    fn from(socket: Socket) -> Self {
        if !socket.local_addr().is_ok_and(|at| at.is_unix()) {
            tune(&socket);
        }
        Self { socket, file: None }
    }
}

// === impl Listener ===

impl Listener {
    /// Where it listens.
    pub fn bind(&self) -> &Bind {
        &self.bind
    }

    /// Waits for whoever comes next. Loses nobody when it is dropped.
    ///
    /// # Errors
    /// Who was to be accepted has gone, or there are no descriptors left.
    pub async fn accept(&self) -> io::Result<Connected> {
        loop {
            let mut ready = self.socket.readable().await?;
            // An error here is that nobody is left, and the mark that somebody was is gone.
            if let Ok(accepted) = ready.try_io(|socket| accept(socket.get_ref())) {
                return accepted;
            }
        }
    }

    /// Who has come and waits, without a look at what the poller has told.
    pub(super) fn accept_queued(&self) -> io::Result<Connected> {
        accept(self.socket.get_ref())
    }

    /// The address at which `socket` came in. The system is asked only where this listens on
    /// several.
    pub(super) fn local(&self, socket: &TcpStream) -> io::Result<SocketAddr> {
        match self.bind {
            Bind::Tcp(address) if !address.ip().is_unspecified() => Ok(address),
            Bind::Tcp(_) | Bind::AnyPort(..) | Bind::Unix(_) => socket.local_addr(),
        }
    }

    /// The same socket once more.
    pub(super) fn try_clone(&self) -> io::Result<Socket> {
        self.socket.get_ref().try_clone()
    }
}

/// Takes one connection, not blocking.
fn accept(socket: &Socket) -> io::Result<Connected> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (accepted, from) = acceptfrom_with(socket, flags)?;
    Ok(match from.and_then(|from| SocketAddr::try_from(from).ok()) {
        Some(from) => Connected::Tcp(accepted.into(), from),
        None => Connected::Unix(accepted.into()),
    })
}

/// Sets what every client's connection has: on Linux it inherits these from the socket that
/// listens, so that they cost no calls of its own.
fn tune(socket: &Socket) {
    // Answers are written whole; waiting to fill a segment would only delay them. Linux refuses
    // neither on a socket that is open.
    let _ = socket.set_tcp_nodelay(true);
    // A peer that vanished without a word is noticed even where nothing is due.
    let keep_alive = TcpKeepalive::new()
        .with_time(KEEP_ALIVE_AFTER)
        .with_interval(KEEP_ALIVE_EVERY)
        .with_retries(KEEP_ALIVE_PROBES);
    let _ = socket.set_tcp_keepalive(&keep_alive);
}

fn bind_of(address: &SockAddr) -> io::Result<Bind> {
    if let Some(address) = address.as_socket() {
        return Ok(address.into());
    }
    let nameless = || io::Error::new(io::ErrorKind::InvalidInput, "it has neither port nor path");
    Ok(Bind::Unix(address.as_pathname().ok_or_else(nameless)?.into()))
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn a_clients_connection_waits_for_no_segment_to_fill_and_is_looked_after() {
        for any in ["127.0.0.1:0", "[::]:0"] {
            let address: SocketAddr = any.parse().expect("an address");
            let listener = bind_tcp(address).and_then(Listening::watch).expect("it listens");
            let Bind::Tcp(bound) = listener.bind() else { panic!("it listens over TCP") };
            let client = TcpStream::connect(("127.0.0.1", bound.port())).expect("it connects");
            let Connected::Tcp(socket, from) = listener.accept().await.expect("a connection")
            else {
                panic!("it came over TCP");
            };
            assert_eq!(from.port(), client.local_addr().expect("an address").port());
            let local = listener.local(&socket).expect("an address");
            assert_eq!(local, socket.local_addr().expect("an address"));
            let options = SockRef::from(&socket);
            assert!(options.nonblocking().expect("an option"));
            assert!(options.tcp_nodelay().expect("an option"));
            assert!(options.keepalive().expect("an option"));
            // What `docs/edge.md` says, and the unit for systemd.
            let seconds = |time: io::Result<Duration>| time.expect("an option").as_secs();
            assert_eq!(seconds(options.tcp_keepalive_time()), 60);
            assert_eq!(seconds(options.tcp_keepalive_interval()), 15);
            assert_eq!(options.tcp_keepalive_retries().expect("an option"), 4);
        }
    }
}
