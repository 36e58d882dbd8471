//! Where endpoints are: names, who is asked for them, and what is known of each.
//!
//! ```text
//!   Question ── due ──▶ look-up ── found ──▶ places in use
//!      ▲                   └────── failed ─▶ the same places as before, and it is said
//!      └── after its TTL, within bounds ◀──┘
//! ```
//!
//! This module knows nothing of pools: they read the [`Directory`] when the house tells them that
//! a name has other places. No request waits for a name, and none pays for one.
//!
//! Invariant: a look-up that fails takes no place away.

mod directory;
mod exchange;
mod kept;
mod known;
mod message;
mod resolver;
mod system;

use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use crate::config::{AddressSpec, Dns, Family};

pub use directory::{Directory, Report};
pub use kept::Kept;
pub use known::{Tally, Trouble};

/// The most places that one name may have: as many endpoints as a pool may have.
const PLACES_MAX: usize = 500;

/// What is looked up. It outlives configurations: whoever asks the same shares the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Question {
    /// A name, as the system resolves it: its hosts file, and whatever else it was told to ask.
    System(String),
    /// The addresses that name servers tell of a name.
    Hosts(String, Family),
    /// The targets that name servers tell of a service, and their addresses.
    Service(String, Family),
}

/// Where one endpoint is, as far as a name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its address.
    pub ip: IpAddr,
    /// Its port, where that is told.
    pub port: Option<u16>,
    /// Its share relative to the name's other places; at least 1.
    pub weight: u32,
}

/// What a look-up has found: one place at least, in order and each once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The places.
    pub places: Vec<Place>,
    /// How long that holds.
    pub ttl: Duration,
}

/// Why a look-up has found nothing that can be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure {
    /// There is no such name, or it has no address.
    #[error("there is no such name, or it has no address")]
    Nothing,
    /// A name server would not or could not say.
    #[error("the name server {server} answered {rcode}")]
    Refused {
        /// The server.
        server: SocketAddr,
        /// What it said instead, by its name in RFC 1035 and its successors.
        rcode: domain::base::iana::Rcode,
    },
    /// A name server answered with something that is no DNS.
    #[error("the name server {0} answered with something that is no DNS")]
    Malformed(SocketAddr),
    /// A name server did not answer in time.
    #[error("the name server {0} did not answer in time")]
    Late(SocketAddr),
    /// A name server cannot be reached.
    #[error("the name server {0} cannot be reached: {1}")]
    Unreachable(SocketAddr, #[source] Arc<io::Error>),
    /// It took too long altogether.
    #[error("no answer to the look-up")]
    TooLong,
    /// The system could not resolve it.
    #[error("{0}")]
    System(#[source] Arc<io::Error>),
    /// DNS cannot ask for such a name: with what was appended it is too long.
    #[error("with the search domain the name is too long")]
    TooLongName,
}

// === impl Question ===

impl Question {
    /// What has to be looked up for an endpoint at `address`, if anything.
    pub fn of(address: &AddressSpec) -> Option<Self> {
        match address {
            AddressSpec::Socket(_) | AddressSpec::Unix(_) => None,
            AddressSpec::Named(name, _) => Some(Self::System(name.clone())),
            AddressSpec::Dns(Dns::Hosts { name, family, .. }) => {
                Some(Self::Hosts(name.clone(), *family))
            }
            AddressSpec::Dns(Dns::Service { name, family }) => {
                Some(Self::Service(name.clone(), *family))
            }
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        match self {
            Self::System(name) | Self::Hosts(name, _) | Self::Service(name, _) => name,
        }
    }

    /// Who is asked for it: `system`, `dns`, or `srv`.
    pub fn source(&self) -> &'static str {
        match self {
            Self::System(_) => "system",
            Self::Hosts(..) => "dns",
            Self::Service(..) => "srv",
        }
    }
}

impl fmt::Display for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

// === impl Place ===

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

// === impl Found ===

impl Found {
    /// What these places amount to; nothing where there are none. What is more than there may be
    /// is left out, the same ones each time.
    fn of(mut places: Vec<Place>, ttl: Duration) -> Result<Self, Failure> {
        places.sort();
        places.dedup_by_key(|place| (place.ip, place.port));
        places.truncate(PLACES_MAX);
        if places.is_empty() {
            return Err(Failure::Nothing);
        }
        Ok(Self { places, ttl })
    }
}
