//! Where usher listens, as an operator writes it: `bind:`. It is what a listener is known by.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

/// An address of our own. Two listeners never have the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Bind {
    /// An IP address and a port.
    Tcp(SocketAddr),
    /// Any free port of an IP address, and how many were written so before this one.
    AnyPort(IpAddr, u16),
    /// The path of a Unix socket.
    Unix(Arc<Path>),
}

/// Who may connect to a Unix socket: the rights of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// As `chmod` takes it; whoever may write may connect.
    pub mode: u32,
    /// The group that the file is given, by its number; else the one that usher has.
    pub group: Option<u32>,
}

// === impl Bind ===

impl Bind {
    /// What the system is asked for, over TCP.
    pub fn socket(&self) -> Option<SocketAddr> {
        match self {
            Bind::Tcp(address) => Some(*address),
            Bind::AnyPort(ip, _) => Some(SocketAddr::new(*ip, 0)),
            Bind::Unix(_) => None,
        }
    }

    /// The path of a Unix socket.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Bind::Unix(path) => Some(path),
            Bind::Tcp(_) | Bind::AnyPort(..) => None,
        }
    }

    /// Whether only this machine can come here.
    pub fn is_local(&self) -> bool {
        match self {
            Bind::Tcp(address) => address.ip().is_loopback(),
            Bind::AnyPort(ip, _) => ip.is_loopback(),
            Bind::Unix(_) => true,
        }
    }

    /// The same, told from `before` others that were written alike.
    #[must_use]
    pub fn after(self, before: usize) -> Self {
        match self {
            Bind::AnyPort(ip, _) => Bind::AnyPort(ip, u16::try_from(before).unwrap_or(u16::MAX)),
            Bind::Tcp(_) | Bind::Unix(_) => self,
        }
    }

    /// Whether `other` is written as this one is.
    pub fn is_written_like(&self, other: &Self) -> bool {
        self.clone().after(0) == other.clone().after(0)
    }
}

impl From<SocketAddr> for Bind {
    fn from(address: SocketAddr) -> Self {
        match address.port() {
            0 => Bind::AnyPort(address.ip(), 0),
            _ => Bind::Tcp(address),
        }
    }
}

impl fmt::Display for Bind {
    /// As it was written; the second that is written alike, `127.0.0.1:0`, is `127.0.0.1:0#2`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bind::Tcp(address) => address.fmt(f),
            Bind::Unix(path) => write!(f, "unix:{}", path.display()),
            Bind::AnyPort(ip, before) => {
                SocketAddr::new(*ip, 0).fmt(f)?;
                if *before > 0 { write!(f, "#{}", u32::from(*before) + 1) } else { Ok(()) }
            }
        }
    }
}

// === impl Access ===

impl Access {
    /// Usher's user and group, as befits what other programs of a machine connect to.
    pub const GROUP: Self = Self { mode: 0o660, group: None };

    /// Usher's user alone.
    pub const OWNER: Self = Self { mode: 0o600, group: None };

    /// Whether anybody on this machine may connect.
    pub fn is_open_to_all(self) -> bool {
        self.mode & 0o002 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(text: &str) -> Bind {
        text.parse::<SocketAddr>().expect("an address").into()
    }

    #[test]
    fn only_what_takes_any_port_can_be_written_twice() {
        let (first, second) = (bind("127.0.0.1:0"), bind("127.0.0.1:0").after(1));
        assert_ne!(first, second);
        assert!(first.is_written_like(&second) && !first.is_written_like(&bind("127.0.0.2:0")));
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("127.0.0.1:0".into(), "127.0.0.1:0#2".into())
        );
        assert_eq!(first.socket(), second.socket());
        assert_eq!(bind("[::]:80").after(7), bind("[::]:80"));
        assert_eq!(bind("[::]:80").to_string(), "[::]:80");
    }

    #[test]
    fn a_path_is_written_behind_unix() {
        let bind = Bind::Unix(Path::new("/run/usher.sock").into());
        assert_eq!(bind.to_string(), "unix:/run/usher.sock");
        assert_eq!((bind.socket(), bind.path()), (None, Some(Path::new("/run/usher.sock"))));
        assert!(bind.is_local() && bind.is_written_like(&bind.clone().after(3)));
    }

    #[test]
    fn loopback_is_local() {
        assert!(bind("127.0.0.1:0").is_local() && bind("[::1]:80").is_local());
        assert!(!bind("0.0.0.0:80").is_local() && !bind("[::]:0").is_local());
    }
}
