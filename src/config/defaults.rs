//! What holds where nothing was written, and the reading of an endpoint's address.

use std::{path::PathBuf, time::Duration};

use super::{AddressSpec, Buffer, Dns, Drain, Limits, Queue, QueueLength};

/// Slots of an endpoint whose pool does not say.
pub(crate) const CAPACITY: u32 = 5;

/// Priority of an audience that does not say: between the lowest and the highest.
pub(crate) const PRIORITY: u8 = 1;

/// Idle time of a connection to an endpoint; below Puma's 20 s.
pub(crate) const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(15);

/// How long an orphaned lease is held.
pub(crate) const ABANDONED_HOLD: Duration = Duration::from_secs(30);

/// Why a text is no endpoint's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no port.
    #[error("it has no port")]
    NoPort,
    /// The port is none.
    #[error("its port is not a number from 1 to 65535")]
    BadPort,
    /// The host is none.
    #[error("its host is neither an IP address nor a name")]
    BadHost,
    /// `unix:` without a path.
    #[error("it has no path")]
    NoPath,
    /// A URL.
    #[error("it is a URL; usher speaks HTTP/1.1 to endpoints, so no scheme is written")]
    Url,
}

// === impl Limits ===

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: None,
            per_client: 4096,
            head_bytes: 16 << 10,
            headers: 100,
            target_bytes: 8 << 10,
            body_bytes: 1 << 30,
            buffers_bytes: None,
            handshakes: 4096,
            handshake_wait: Duration::from_secs(10),
            head_wait: Duration::from_secs(10),
            body_rate: 1 << 10,
            write_wait: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            age: Duration::from_secs(3600),
            tunnels: 10_000,
            tunnel_idle: Duration::from_secs(60),
        }
    }
}

// === impl Drain ===

impl Default for Drain {
    fn default() -> Self {
        Self {
            grace: Duration::from_secs(5),
            requests: Duration::from_secs(30),
            tunnels: Duration::from_secs(60),
        }
    }
}

// === impl Queue ===

impl Default for Queue {
    fn default() -> Self {
        Self { length: QueueLength::TimesCapacity(4.0), wait: Duration::from_secs(1) }
    }
}

// === impl Buffer ===

impl Default for Buffer {
    fn default() -> Self {
        Self {
            request: true,
            directory: std::env::temp_dir(),
            disk_bytes: 4 << 30,
            ahead_bytes: 1 << 20,
        }
    }
}

// === impl AddressSpec ===

impl AddressSpec {
    /// Reads `IP:PORT`, `NAME:PORT` or `unix:PATH`.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text.contains("://") {
            return Err(AddressError::Url);
        }
        if let Some(path) = text.strip_prefix("unix:") {
            let usable = !path.is_empty() && !path.contains('\0');
            return usable.then(|| Self::Unix(PathBuf::from(path))).ok_or(AddressError::NoPath);
        }
        let (host, port) = text.rsplit_once(':').ok_or(AddressError::NoPort)?;
        let digits = port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse::<u16>().ok().filter(|port| *port > 0 && digits);
        let port = port.ok_or(AddressError::BadPort)?;
        if let Ok(address) = text.parse() {
            return Ok(Self::Socket(address));
        }
        if !is_host_name(host) {
            return Err(AddressError::BadHost);
        }
        Ok(Self::Named(host.to_ascii_lowercase(), port))
    }
}

impl AddressSpec {
    /// The host that was written, which a certificate has to be good for: of a service what comes
    /// after the service and the protocol. Not what DNS makes of it, which anybody may have said.
    pub fn host(&self) -> Option<&str> {
        match self {
            AddressSpec::Socket(_) | AddressSpec::Unix(_) => None,
            AddressSpec::Named(name, _) | AddressSpec::Dns(Dns::Hosts { name, .. }) => Some(name),
            AddressSpec::Dns(Dns::Service { name, .. }) => name.splitn(3, '.').nth(2),
        }
    }
}

impl std::fmt::Display for AddressSpec {
    /// As it would be written.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AddressSpec::Socket(address) => write!(f, "{address}"),
            AddressSpec::Named(host, port) => write!(f, "{host}:{port}"),
            AddressSpec::Dns(dns) => write!(f, "{dns}"),
            AddressSpec::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// RFC 1123 §2.1, with the underscores that Compose and Kubernetes' users write. A last label of
/// digits only would be a mistyped IPv4 address.
pub(super) fn is_host_name(host: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let last = host.rsplit('.').next().unwrap_or("");
    host.len() <= 253 && host.split('.').all(label) && !last.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_a_name_or_a_socket() {
        for text in ["127.0.0.1:3000", "[::1]:3001", "web-3:3000", "unix:/run/puma.sock"] {
            assert_eq!(AddressSpec::parse(text).map(|a| a.to_string()), Ok(text.to_owned()));
        }
        assert_eq!(AddressSpec::parse("Web:80"), Ok(AddressSpec::Named("web".to_owned(), 80)));
    }

    #[test]
    fn what_is_no_endpoint_says_why() {
        for (text, error) in [
            ("web", AddressError::NoPort),
            ("web:", AddressError::BadPort),
            ("web:0", AddressError::BadPort),
            ("web:+80", AddressError::BadPort),
            ("web:65536", AddressError::BadPort),
            (":80", AddressError::BadHost),
            ("300.1.1.1:80", AddressError::BadHost),
            ("::1:80", AddressError::BadHost),
            ("a b:80", AddressError::BadHost),
            ("unix:", AddressError::NoPath),
            ("http://web:80", AddressError::Url),
        ] {
            assert_eq!(AddressSpec::parse(text), Err(error), "{text}");
        }
    }
}
