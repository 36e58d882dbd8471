//! Who is at the other end of a client's connection.

use std::{
    fmt,
    net::{AddrParseError, IpAddr, SocketAddr},
    str::FromStr,
};

use ipnet::IpNet;
use serde::Serialize;

use crate::bind::Bind;

/// The protocol a client spoke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// One client connection, as the door that accepted it sees it. Requests share it.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where the connection comes from; a Unix socket tells nothing of that.
    pub address: Option<SocketAddr>,
    /// Where it arrived, as far as that is an address.
    pub local: Option<SocketAddr>,
    /// Which listener of the configuration that is.
    pub listener: Bind,
    /// Whether it is of `trusted_proxies`.
    pub trusted: bool,
    /// What was agreed on in the handshake; `None` in plain text.
    pub tls: Option<Box<Tls>>,
}

/// Who asks, as rules, limits and logs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// An address; one of IPv4 that was mapped into IPv6 is one of IPv4.
    Ip(IpAddr),
    /// Somebody at a Unix socket, who has none.
    Unix,
}

/// Some of all clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// Those with an address in here.
    Ip(IpNet),
    /// Those at Unix sockets.
    Unix,
}

/// What was agreed on in a TLS handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The version.
    pub version: TlsVersion,
    /// The name that the client asked for, in lower case.
    pub server_name: Option<Box<str>>,
    /// The protocol that was agreed on; `None` when the client named none.
    pub alpn: Option<Alpn>,
    /// The certificate that the client showed, which has been verified.
    pub client: Option<ClientCertificate>,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2
    Tls12,
    /// TLS 1.3
    Tls13,
}

/// A protocol that is spoken inside TLS (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// `http/1.1`
    Http11,
    /// `h2`
    H2,
}

/// Who a client is by its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// Its subject as RFC 4514 writes it, in ASCII: `CN=ops,O=Shop`.
    pub subject: Box<str>,
    /// SHA-256 of the certificate, in lower-case hex.
    pub fingerprint: Box<str>,
}

// === impl Protocol ===

impl Protocol {
    /// The word used in the access log.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Http10 => "HTTP/1.0",
            Protocol::Http11 => "HTTP/1.1",
            Protocol::Http2 => "HTTP/2.0",
        }
    }

    /// How `Via` names it (RFC 9110 §7.6.3).
    pub const fn version(self) -> &'static str {
        match self {
            Protocol::Http10 => "1.0",
            Protocol::Http11 => "1.1",
            Protocol::Http2 => "2.0",
        }
    }
}

// === impl TlsVersion ===

impl TlsVersion {
    /// The word used in the access log.
    pub const fn name(self) -> &'static str {
        match self {
            TlsVersion::Tls12 => "TLSv1.2",
            TlsVersion::Tls13 => "TLSv1.3",
        }
    }
}

// === impl Peer ===

impl Peer {
    /// The subject of the certificate that the client showed.
    pub fn client_subject(&self) -> Option<&str> {
        self.tls.as_ref()?.client.as_ref().map(|client| &*client.subject)
    }

    /// Who the peer is when it speaks for itself.
    pub fn client(&self) -> Client {
        self.address.map_or(Client::Unix, |address| address.ip().into())
    }
}

// === impl Client ===

impl Client {
    /// The word for who has no address.
    const UNIX: &str = "unix";

    /// The address, where there is one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Client::Ip(ip) => Some(ip),
            Client::Unix => None,
        }
    }
}

impl From<IpAddr> for Client {
    fn from(ip: IpAddr) -> Self {
        Client::Ip(ip.to_canonical())
    }
}

impl FromStr for Client {
    type Err = AddrParseError;

    /// Reads an address without a port, or `unix`.
    fn from_str(text: &str) -> Result<Self, AddrParseError> {
        match text {
            Client::UNIX => Ok(Client::Unix),
            text => text.parse::<IpAddr>().map(Client::from),
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Ip(ip) => ip.fmt(f),
            Client::Unix => f.write_str(Client::UNIX),
        }
    }
}

impl Serialize for Client {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

// === impl Network ===

impl Network {
    /// Whether `client` is one of them.
    pub fn contains(&self, client: Client) -> bool {
        match (self, client) {
            (Network::Ip(network), Client::Ip(ip)) => network.contains(&ip),
            (Network::Unix, Client::Unix) => true,
            (Network::Ip(_), Client::Unix) | (Network::Unix, Client::Ip(_)) => false,
        }
    }

    /// Whether all of `other` are among them.
    pub fn covers(&self, other: &Network) -> bool {
        match (self, other) {
            (Network::Ip(wide), Network::Ip(narrow)) => wide.contains(narrow),
            (Network::Unix, Network::Unix) => true,
            (Network::Ip(_), Network::Unix) | (Network::Unix, Network::Ip(_)) => false,
        }
    }
}

impl FromStr for Network {
    type Err = ipnet::AddrParseError;

    /// Reads `ADDRESS/BITS`, a single address, or `unix`.
    fn from_str(text: &str) -> Result<Self, ipnet::AddrParseError> {
        if text == Client::UNIX {
            return Ok(Network::Unix);
        }
        let single = text.parse::<IpAddr>().map(IpNet::from);
        single.or_else(|_| text.parse()).map(Network::Ip)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Network::Ip(network) => network.fmt(f),
            Network::Unix => f.write_str(Client::UNIX),
        }
    }
}
