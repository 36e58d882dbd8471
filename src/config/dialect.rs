//! How the endpoints of a pool are spoken to.

use std::sync::Arc;

use crate::{
    proxy_protocol::Version,
    tls::{Certificate, ClientSpec},
};

/// How the endpoints of a pool are spoken to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Dialect {
    /// TLS; plain text without it.
    pub tls: Option<Arc<ClientSpec>>,
    /// Which PROXY header each connection begins with; none without it.
    pub proxy_protocol: Option<Version>,
    /// Whether HTTP/2 is spoken, and not HTTP/1.1.
    pub http2: bool,
}

// === impl Dialect ===

impl Dialect {
    /// The certificate that endpoints are shown.
    pub fn certificate(&self) -> Option<&Arc<Certificate>> {
        self.tls.as_ref()?.certificate.as_ref()
    }

    /// Whether it is HTTP/1.1 without anything around it.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}
