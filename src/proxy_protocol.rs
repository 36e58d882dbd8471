//! The header of the PROXY protocol, versions 1 and 2: who is behind a load balancer that passes
//! bytes on without reading them (haproxy.org/download/3.0/doc/proxy-protocol.txt).
//!
//! Read to its exact end: what follows belongs to TLS or HTTP, and not a byte of it may be taken.
//! So the reader says how many more bytes certainly belong to the header, and is shown no more.
//! Strict: a header that two readers could understand differently is none.

mod write;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

pub use write::{Version, write, write_local};

/// The longest header in text, its end included.
const TEXT_BYTES_MAX: usize = 107;

/// The longest binary header. The format has room for 64 KiB; load balancers send some hundred
/// bytes.
const BINARY_BYTES_MAX: usize = 4096;

/// What a binary header begins with.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The length of a binary header without addresses and extensions.
const BINARY_HEAD: usize = 16;

/// The type of the extension that holds a checksum.
const CRC32C: u8 = 3;

/// What a header says about the connection that it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Somebody else's, passed on.
    Client {
        /// Where it comes from.
        source: SocketAddr,
        /// Where it arrived.
        destination: SocketAddr,
    },
    /// The sender's own, for example to see whether somebody is there; or it cannot tell whose.
    Sender,
}

/// How far the reading of a header is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many more bytes certainly belong to it; never 0.
    More(usize),
    /// It is whole.
    Whole(Source),
}

/// Why bytes are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// They begin like something else.
    #[error("there is no PROXY header")]
    Absent,
    /// It is longer than it may be.
    #[error("the PROXY header is too long")]
    TooLong,
    /// It contradicts its format.
    #[error("the PROXY header is malformed")]
    Malformed,
    /// Its checksum is another's.
    #[error("the PROXY header's checksum is wrong")]
    Checksum,
}

/// Looks at the first bytes of a connection, of which none may lie behind the header's end.
pub fn look(bytes: &[u8]) -> Result<Progress, HeaderError> {
    if bytes.is_empty() {
        // The shortest of all headers.
        return Ok(Progress::More("PROXY UNKNOWN\r\n".len()));
    }
    let begins = |with: &[u8]| bytes.iter().zip(with).all(|(byte, expected)| byte == expected);
    if begins(&SIGNATURE) {
        return binary(bytes);
    }
    if begins(b"PROXY ") {
        return text(bytes);
    }
    Err(HeaderError::Absent)
}

fn text(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let least = match bytes.get(6..10) {
        Some(b"TCP4") => "PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n".len(),
        Some(b"TCP6") => "PROXY TCP6 :: :: 0 0\r\n".len(),
        _ => "PROXY UNKNOWN\r\n".len(),
    };
    if bytes.len() < least {
        return Ok(Progress::More(least - bytes.len()));
    }
    let Some(line) = bytes.strip_suffix(b"\r\n") else {
        let more = if bytes.ends_with(b"\r") { 1 } else { 2 };
        return match bytes.len() + more <= TEXT_BYTES_MAX {
            true => Ok(Progress::More(more)),
            false => Err(HeaderError::TooLong),
        };
    };
    if line.contains(&b'\n') {
        return Err(HeaderError::Malformed);
    }
    let line = std::str::from_utf8(line).map_err(|_| HeaderError::Malformed)?;
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    let source = match family {
        // What follows is to be passed over, whatever it is.
        "UNKNOWN" => return Ok(Progress::Whole(Source::Sender)),
        "TCP4" => addresses::<Ipv4Addr>(words),
        "TCP6" => addresses::<Ipv6Addr>(words),
        _ => None,
    };
    source.map(Progress::Whole).ok_or(HeaderError::Malformed)
}

/// Two addresses and two ports, with one blank before each, and nothing else.
fn addresses<'a, A: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Option<Source> {
    let source: A = words.next()?.parse().ok()?;
    let destination: A = words.next()?.parse().ok()?;
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    words.next().is_none().then(|| Source::Client {
        source: SocketAddr::new(source.into(), source_port),
        destination: SocketAddr::new(destination.into(), destination_port),
    })
}

/// A decimal number without a sign or a 0 before it.
fn port(text: &str) -> Option<u16> {
    let canonical = text.bytes().all(|byte| byte.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    if canonical { text.parse().ok() } else { None }
}

fn binary(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let Some((head, rest)) = bytes.split_first_chunk::<BINARY_HEAD>() else {
        return Ok(Progress::More(BINARY_HEAD - bytes.len()));
    };
    let [.., command, family, high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if !matches!(command, 0x20 | 0x21) {
        return Err(HeaderError::Malformed);
    }
    if BINARY_HEAD + length > BINARY_BYTES_MAX {
        return Err(HeaderError::TooLong);
    }
    if rest.len() < length {
        return Ok(Progress::More(length - rest.len()));
    }
    if rest.len() > length {
        return Err(HeaderError::Malformed);
    }
    let (source, extensions) = match family {
        0x00 => (Source::Sender, rest),
        0x11 => {
            let (pair, extensions) =
                rest.split_first_chunk::<12>().ok_or(HeaderError::Malformed)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *pair;
            (client(Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(e, f, g, h), ports), extensions)
        }
        0x21 => {
            let (pair, extensions) =
                rest.split_first_chunk::<36>().ok_or(HeaderError::Malformed)?;
            let octets = |from: usize| {
                let mut octets = [0; 16];
                octets.copy_from_slice(&pair[from..from + 16]);
                Ipv6Addr::from(octets)
            };
            let ports = [pair[32], pair[33], pair[34], pair[35]];
            (client(octets(0), octets(16), ports), extensions)
        }
        // Unix sockets: nobody that could be named.
        0x31 => {
            let (_, extensions) = rest.split_first_chunk::<216>().ok_or(HeaderError::Malformed)?;
            (Source::Sender, extensions)
        }
        // Datagrams, which this is none of, and what is not defined.
        _ => return Err(HeaderError::Malformed),
    };
    check_extensions(bytes, extensions)?;
    // The sender speaks for itself, whatever addresses stand there.
    Ok(Progress::Whole(if command == 0x20 { Source::Sender } else { source }))
}

fn client<A: Into<IpAddr>>(source: A, destination: A, [a, b, c, d]: [u8; 4]) -> Source {
    Source::Client {
        source: SocketAddr::new(source.into(), u16::from_be_bytes([a, b])),
        destination: SocketAddr::new(destination.into(), u16::from_be_bytes([c, d])),
    }
}

/// Extensions fill what is left exactly, and a checksum among them is right.
fn check_extensions(header: &[u8], mut extensions: &[u8]) -> Result<(), HeaderError> {
    while let Some((&[kind, high, low], rest)) = extensions.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([high, low]));
        let Some(value) = rest.get(..length) else { return Err(HeaderError::Malformed) };
        if kind == CRC32C {
            let sum: [u8; 4] = value.try_into().map_err(|_| HeaderError::Malformed)?;
            let at = header.len() - rest.len();
            // The checksum is over the whole header with zeros in its own place.
            let parts = [&header[..at], &[0; 4], &header[at + 4..]];
            if crc32c(parts.into_iter().flatten()) != u32::from_be_bytes(sum) {
                return Err(HeaderError::Checksum);
            }
        }
        extensions = &rest[length..];
    }
    if extensions.is_empty() { Ok(()) } else { Err(HeaderError::Malformed) }
}

/// CRC-32C (RFC 3720 appendix B.4), bit by bit: a header is short and comes once a connection.
fn crc32c<'a>(bytes: impl Iterator<Item = &'a u8>) -> u32 {
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 }
        })
    })
}

#[cfg(test)]
mod tests;
