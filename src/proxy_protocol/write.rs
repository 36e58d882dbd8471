//! Writing a header, for endpoints that want one.

use std::net::{IpAddr, SocketAddr};

use super::SIGNATURE;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text; what Puma reads.
    V1,
    /// Binary.
    V2,
}

/// The header of a connection from `source` to `destination`.
pub fn write(version: Version, source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let (from, to) = family(source.ip().to_canonical(), destination.ip().to_canonical());
    let (from_port, to_port) = (source.port(), destination.port());
    match version {
        Version::V1 => {
            let family = if from.is_ipv4() { "TCP4" } else { "TCP6" };
            format!("PROXY {family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
        }
        Version::V2 => {
            let mut header = SIGNATURE.to_vec();
            // Version 2, on behalf of a client.
            header.push(0x21);
            match (from, to) {
                (IpAddr::V4(from), IpAddr::V4(to)) => {
                    header.extend([0x11, 0, 12]);
                    header.extend(from.octets());
                    header.extend(to.octets());
                }
                (from, to) => {
                    header.extend([0x21, 0, 36]);
                    header.extend(six(from).octets());
                    header.extend(six(to).octets());
                }
            }
            header.extend(from_port.to_be_bytes());
            header.extend(to_port.to_be_bytes());
            header
        }
    }
}

/// The header of a connection that is on nobody's behalf.
///
/// A line of version 1 holds addresses, which no reader may look at, because Puma (5 and 6) reads
/// `UNKNOWN` only where something stands behind it.
pub fn write_local(version: Version) -> Vec<u8> {
    match version {
        Version::V1 => b"PROXY UNKNOWN 127.0.0.1 127.0.0.1 0 0\r\n".to_vec(),
        // Version 2, LOCAL; no family, and no address.
        Version::V2 => [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat(),
    }
}

/// Both of one family: IPv4 is written as IPv6 beside an IPv6 address.
fn family(from: IpAddr, to: IpAddr) -> (IpAddr, IpAddr) {
    match from.is_ipv4() == to.is_ipv4() {
        true => (from, to),
        false => (six(from).into(), six(to).into()),
    }
}

fn six(address: IpAddr) -> std::net::Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
