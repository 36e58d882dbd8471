//! Who is at the other end of a client's connection.

use std::net::{IpAddr, SocketAddr};

/// The protocol a client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
}

/// One client connection, as the door that accepted it sees it. Requests share it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// Which listener of the configuration that is: its address as it was written.
    pub listener: SocketAddr,
    /// Whether `address` lies within `trusted_proxies`.
    pub trusted: bool,
}

// === impl Protocol ===

impl Protocol {
    /// The word used in the access log.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Http10 => "HTTP/1.0",
            Protocol::Http11 => "HTTP/1.1",
        }
    }
}

// === impl Peer ===

impl Peer {
    /// The peer's address without its port, an IPv4 address mapped into IPv6 as IPv4.
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
