//! Names that are looked up by asking name servers, and how these are asked.

use std::{fmt, net::SocketAddr, time::Duration};

/// What name servers are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dns {
    /// The addresses of a name.
    Hosts {
        /// The name, in lower case; with a dot at its end it is not searched for.
        name: String,
        /// The port at each of them.
        port: u16,
        /// Which of its addresses.
        family: Family,
    },
    /// The targets of a service (SRV), which tell their ports.
    Service {
        /// The name, as `_http._tcp.web`.
        name: String,
        /// Which of the targets' addresses.
        family: Family,
    },
}

/// Which addresses of a name are endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// Those of IPv4; those of IPv6 where there are none. A Pod with one of each is one Puma.
    #[default]
    Auto,
    /// Those of IPv4.
    V4,
    /// Those of IPv6.
    V6,
    /// All of them: each is an endpoint.
    Both,
}

/// How name servers are asked. What is `None` is as `/etc/resolv.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolver {
    /// The servers to ask, in this order; empty: those of `/etc/resolv.conf`.
    pub servers: Vec<SocketAddr>,
    /// How long one server may take.
    pub timeout: Option<Duration>,
    /// How often each of them is asked.
    pub attempts: Option<u32>,
    /// What is appended to names that have too few dots.
    pub search: Option<Vec<String>>,
    /// From how many dots on a name is asked for as it stands first.
    pub ndots: Option<u32>,
    /// The shortest time after which is asked again.
    pub ttl_min: Duration,
    /// The longest.
    pub ttl_max: Duration,
}

// === impl Dns ===

impl Dns {
    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Dns::Hosts { name, .. } | Dns::Service { name, .. } => name,
        }
    }
}

impl fmt::Display for Dns {
    /// As an operator names it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dns::Hosts { name, port, .. } => write!(f, "dns:{name}:{port}"),
            Dns::Service { name, .. } => write!(f, "srv:{name}"),
        }
    }
}

// === impl Family ===

impl Family {
    /// The words for them.
    pub const ALL: [(&str, Family); 4] =
        [("auto", Self::Auto), ("ipv4", Self::V4), ("ipv6", Self::V6), ("both", Self::Both)];
}

// === impl Resolver ===

impl Default for Resolver {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: None,
            attempts: None,
            search: None,
            ndots: None,
            ttl_min: Duration::from_secs(1),
            ttl_max: Duration::from_secs(30),
        }
    }
}
