//! Where an endpoint is, once its name has been resolved.

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// An address that can be connected to.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and a port.
    Socket(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

// === impl Address ===

impl Address {
    /// The address of a Unix socket at `path`.
    pub fn unix(path: &Path) -> Self {
        Self::Unix(path.to_owned())
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Socket(address)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Socket(address) => address.fmt(f),
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
