//! Who is at the other end of a client's connection.

use std::net::{IpAddr, SocketAddr};

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
    /// Where the connection comes from.
    pub address: SocketAddr,
    /// Where it arrived.
    pub local: SocketAddr,
    /// Which listener of the configuration that is: its address as it was written.
    pub listener: SocketAddr,
    /// Whether `address` lies within `trusted_proxies`.
    pub trusted: bool,
    /// What was agreed on in the handshake; `None` in plain text.
    pub tls: Option<Box<Tls>>,
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

    /// The peer's address without its port, an IPv4 address mapped into IPv6 as IPv4.
    pub fn ip(&self) -> IpAddr {
        self.address.ip().to_canonical()
    }
}
