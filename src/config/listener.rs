//! Where clients connect, and how they are met there.

use std::sync::Arc;

use http::HeaderValue;

use super::Limits;
use crate::{
    bind::{Access, Bind},
    tls::ServerSpec,
};

/// An address where clients connect.
#[derive(Clone, Debug)]
pub struct Listener {
    /// Where it listens; no two listeners have the same.
    pub bind: Bind,
    /// Who may connect, where that is a Unix socket.
    pub access: Access,
    /// Whether HTTP/2 is spoken here without TLS, beside HTTP/1.1.
    pub h2c: bool,
    /// The limits of connections accepted here.
    pub limits: Limits,
    /// How TLS is spoken here; `None` is plain text.
    pub tls: Option<Arc<ServerSpec>>,
    /// Whether every connection begins with a PROXY header; otherwise none does.
    pub proxy_protocol: bool,
    /// Where plain requests are sent.
    pub redirect: Option<Redirect>,
    /// The value of `Strict-Transport-Security`.
    pub hsts: Option<HeaderValue>,
}

/// Where plain requests are sent: to the same host and target by https.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The port; 443 is not written.
    pub port: u16,
}
