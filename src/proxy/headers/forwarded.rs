//! Where a request comes from: what trusted proxies may tell, and what Rails is told.

use http::{HeaderMap, HeaderName, HeaderValue, header::VIA};

use super::{
    X_REQUEST_ID,
    rfc7239::{Hop, hops},
    text::Text,
};
use crate::{
    http1::lines::Lines,
    peer::{Client, Network, Peer, Protocol},
    proxy::request_id::RequestId,
};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(super) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(super) const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");

/// What nginx calls a peer at a Unix socket of its own.
const NGINX_UNIX: &str = "unix:";

/// The longest request id that is believed, in bytes.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Proto, Host and Port: one statement, made either by a trusted proxy or by usher.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    /// Usher's own: whether the client spoke https, and the port at which it was asked.
    Seen { https: bool, port: Option<u16> },
    /// A trusted proxy's.
    Told(Box<Statement>),
}

/// What a trusted proxy says.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    chain: Vec<String>,
    proto: HeaderValue,
    /// `None`: the one that was asked.
    host: Option<HeaderValue>,
    port: Option<Port>,
}

#[derive(Clone, Debug)]
enum Port {
    Said(HeaderValue),
    Known(u16),
}

// === impl Origin ===

impl Origin {
    pub(super) fn of(headers: &HeaderMap, lines: &Lines, peer: &Peer) -> Self {
        let https = peer.tls.is_some();
        let asked = || super::host_of(headers, lines);
        if !peer.trusted {
            return Self::Seen { https, port: own_port(peer, asked, own_proto(https)) };
        }
        let own = HeaderValue::from_static(own_proto(https));
        let hops = hops(headers);
        let first = hops.first();
        let said = |text: Option<&String>| text.and_then(|text| HeaderValue::try_from(text).ok());
        let proto = headers.get(X_FORWARDED_PROTO).cloned();
        let proto = proto.or_else(|| said(first?.proto.as_ref()));
        let host = headers.get(X_FORWARDED_HOST).cloned();
        let host = host.or_else(|| said(first?.host.as_ref()));
        let port = headers.get(X_FORWARDED_PORT).cloned().map(Port::Said);
        let port = port.or_else(|| match &proto {
            // The proxy knows the proto and not the port: ours would contradict it.
            Some(proto) => {
                let host = host.as_ref().map_or_else(asked, |host| host.to_str().unwrap_or(""));
                port_of(host).or_else(|| default_port(proto.as_bytes())).map(Port::Known)
            }
            None => own_port(peer, asked, own_proto(https)).map(Port::Known),
        });
        let (chain, proto) = (chain(headers, hops), proto.unwrap_or(own));
        Self::Told(Box::new(Statement { chain, proto, host, port }))
    }

    /// Whether the client spoke https.
    pub(super) fn is_secure(&self) -> bool {
        match self {
            Origin::Seen { https, .. } => *https,
            Origin::Told(said) => said.proto.as_bytes().eq_ignore_ascii_case(b"https"),
        }
    }

    /// The client: the last hop that is not itself a trusted proxy. A stranger has no chain.
    pub(super) fn client(&self, peer: &Peer, trusted: &[Network]) -> Client {
        let mut client = peer.client();
        let Origin::Told(said) = self else { return client };
        for hop in said.chain.iter().rev() {
            // What is no address ends the chain: whoever wrote it cannot be believed further.
            let Some(address) = address_of(hop) else { break };
            client = address;
            if !trusted.iter().any(|network| network.contains(client)) {
                break;
            }
        }
        client
    }

    /// Writes the statement, and adds the peer to those whom the request passed. `asked` is the
    /// host that it was sent to.
    pub(super) fn write(&self, text: &mut Text<'_>, peer: &Peer, asked: Option<&HeaderValue>) {
        let said = match self {
            Origin::Seen { https, port } => return write_seen(text, peer, (*https, *port), asked),
            Origin::Told(said) => said,
        };
        said.write_path(text, peer);
        text.push("x-forwarded-proto: ").push_value(&said.proto);
        if let Some(host) = said.host.as_ref().or(asked) {
            text.push("\r\nx-forwarded-host: ").push_value(host);
        }
        match &said.port {
            Some(Port::Said(port)) => text.push("\r\nx-forwarded-port: ").push_value(port),
            Some(Port::Known(port)) => {
                text.push("\r\nx-forwarded-port: ").push_number((*port).into())
            }
            None => text,
        }
        .push("\r\n");
    }
}

// === impl Statement ===

impl Statement {
    /// Whom the request has passed, the peer last. One without an address adds nothing: Rails
    /// would have to read over it.
    fn write_path(&self, text: &mut Text<'_>, peer: &Peer) {
        let own = peer.client().ip();
        if self.chain.is_empty() && own.is_none() {
            return;
        }
        text.push("x-forwarded-for: ");
        for (index, hop) in self.chain.iter().enumerate() {
            text.push(if index > 0 { ", " } else { "" }).push(hop);
        }
        if let Some(ip) = own {
            text.push(if self.chain.is_empty() { "" } else { ", " }).push_address(ip);
        }
        text.push("\r\n");
    }
}

/// Writes what usher has seen itself.
fn write_seen(
    text: &mut Text<'_>,
    peer: &Peer,
    (https, port): (bool, Option<u16>),
    asked: Option<&HeaderValue>,
) {
    if let Some(ip) = peer.client().ip() {
        text.push("x-forwarded-for: ").push_address(ip).push("\r\n");
    }
    match (https, asked) {
        (true, None) => text.push("x-forwarded-proto: https"),
        (false, None) => text.push("x-forwarded-proto: http"),
        (true, Some(host)) => {
            text.push("x-forwarded-proto: https\r\nx-forwarded-host: ").push_value(host)
        }
        (false, Some(host)) => {
            text.push("x-forwarded-proto: http\r\nx-forwarded-host: ").push_value(host)
        }
    };
    if let Some(port) = port {
        text.push("\r\nx-forwarded-port: ").push_number(port.into());
    }
    text.push("\r\n");
}

fn own_proto(https: bool) -> &'static str {
    if https { "https" } else { "http" }
}

/// The port at which usher was asked. What has no port came to a name's own.
fn own_port<'a>(peer: &Peer, asked: impl FnOnce() -> &'a str, proto: &str) -> Option<u16> {
    match peer.local {
        Some(local) => Some(local.port()),
        None => port_of(asked()).or_else(|| default_port(proto.as_bytes())),
    }
}

/// The id that a trusted proxy gave, or one made of `drawn`.
pub fn request_id(headers: &HeaderMap, peer: &Peer, drawn: impl FnOnce() -> u128) -> RequestId {
    let given = super::value(headers, &X_REQUEST_ID).filter(|_| peer.trusted);
    let believed = |id: &&HeaderValue| {
        let allowed = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(allowed)
    };
    if let Some(id) = given.filter(believed) {
        return RequestId::Given(id.clone());
    }
    RequestId::drawn(drawn())
}

/// Adds this process to those that the request passed (RFC 9110 §7.6.3).
pub(super) fn append_via(
    headers: &HeaderMap,
    text: &mut Text<'_>,
    protocol: Protocol,
    pseudonym: &str,
) {
    match joined(headers, &VIA) {
        None => text.push(match protocol {
            Protocol::Http10 => "via: 1.0 ",
            Protocol::Http11 => "via: 1.1 ",
            Protocol::Http2 => "via: 2.0 ",
        }),
        Some(before) => {
            text.push("via: ").push(&before).push(", ").push(protocol.version()).push(" ")
        }
    };
    text.push(pseudonym).push("\r\n");
}

/// Whom a trusted proxy says the request passed, the client first: `X-Forwarded-For`, else the
/// `for` of `Forwarded`.
fn chain(headers: &HeaderMap, hops: Vec<Hop>) -> Vec<String> {
    if let Some(line) = joined(headers, &X_FORWARDED_FOR) {
        return line.split(',').map(|hop| hop.trim().to_owned()).collect();
    }
    let clients = hops.into_iter().filter_map(|hop| hop.client);
    clients.map(|client| address_of(&client).map_or(client, |ip| ip.to_string())).collect()
}

fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    super::value(headers, name)?;
    let mut lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let first = lines.next()?;
    Some(lines.fold(first.to_owned(), |joined, line| joined + ", " + line))
}

/// An address with or without a port, IPv6 with or without brackets; or a peer without any.
fn address_of(hop: &str) -> Option<Client> {
    if hop == NGINX_UNIX {
        return Some(Client::Unix);
    }
    let socket = hop.parse::<std::net::SocketAddr>().map(|address| address.ip());
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().or(socket).ok().map(Client::from)
}

fn port_of(host: &str) -> Option<u16> {
    let after_brackets = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    let (_, port) = after_brackets.rsplit_once(':')?;
    port.parse().ok()
}

fn default_port(proto: &[u8]) -> Option<u16> {
    match proto {
        b"https" => Some(443),
        b"http" => Some(80),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use http::header::HOST;

    use super::*;

    fn peer(trusted: bool) -> Peer {
        let local = SocketAddr::from(([10, 0, 0, 1], 8080));
        let (address, listener) = (Some(([10, 0, 0, 9], 5000).into()), local.into());
        Peer { address, local: Some(local), listener, trusted, tls: None }
    }

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let parse = |(name, value): &(&str, &str)| {
            (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())
        };
        lines.iter().map(parse).collect()
    }

    /// What Rails is told, as `for proto host port`.
    fn told(trusted: bool, lines: &[(&str, &str)]) -> String {
        let headers = headers(lines);
        let written = written(&headers, &peer(trusted));
        let value = |name| written.get(name).map_or("-", |v: &HeaderValue| v.to_str().unwrap());
        [X_FORWARDED_FOR, X_FORWARDED_PROTO, X_FORWARDED_HOST, X_FORWARDED_PORT]
            .map(value)
            .join(" | ")
    }

    fn written(headers: &HeaderMap, peer: &Peer) -> HeaderMap {
        let (mut lines, mut written) = (Lines::default(), HeaderMap::new());
        let origin = Origin::of(headers, &lines, peer);
        origin.write(&mut Text::of(lines.add()), peer, headers.get(HOST));
        lines.pour(&mut written);
        written
    }

    #[test]
    fn a_stranger_tells_nothing() {
        let lines = [
            ("host", "shop.example"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
        ];
        assert_eq!(told(false, &lines), "10.0.0.9 | http | shop.example | 8080");
    }

    #[test]
    fn a_trusted_proxys_statement_is_one() {
        let https = [("host", "shop.example"), ("x-forwarded-proto", "https")];
        assert_eq!(told(true, &https), "10.0.0.9 | https | shop.example | 443");
        let with_port = [("host", "shop.example:8443"), ("x-forwarded-proto", "https")];
        assert_eq!(told(true, &with_port), "10.0.0.9 | https | shop.example:8443 | 8443");
        let whole = [
            ("host", "inner"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "10.0.0.3"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-port", "444"),
        ];
        let expected = "1.1.1.1, 10.0.0.3, 10.0.0.9 | https | shop.example | 444";
        assert_eq!(told(true, &whole), expected);
        let rfc = [("host", "inner"), ("forwarded", "for=\"[2001:db8::1]:9\";proto=https;host=a")];
        assert_eq!(told(true, &rfc), "2001:db8::1, 10.0.0.9 | https | a | 443");
        assert_eq!(told(false, &rfc), "10.0.0.9 | http | inner | 8080");
        let silent = [("host", "[::1]:80")];
        assert_eq!(told(true, &silent), "10.0.0.9 | http | [::1]:80 | 8080");
    }

    #[test]
    fn the_client_is_the_last_hop_that_is_not_trusted() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let client = |trusted_peer, lines: &[(&str, &str)]| {
            let (headers, peer) = (headers(lines), peer(trusted_peer));
            Origin::of(&headers, &Lines::default(), &peer).client(&peer, &trusted).to_string()
        };
        let chain = [("x-forwarded-for", "6.6.6.6, 1.1.1.1, 10.0.0.3")];
        assert_eq!(client(true, &chain), "1.1.1.1");
        assert_eq!(client(false, &chain), "10.0.0.9");
        assert_eq!(client(true, &[("x-forwarded-for", "10.1.1.1, 10.0.0.3")]), "10.1.1.1");
        assert_eq!(client(true, &[("x-forwarded-for", "1.1.1.1, junk")]), "10.0.0.9");
        assert_eq!(client(true, &[("x-forwarded-for", "[2001:db8::1]:77")]), "2001:db8::1");
        assert_eq!(client(true, &[]), "10.0.0.9");
        assert_eq!(client(true, &[("forwarded", "for=1.1.1.1, for=10.0.0.3")]), "1.1.1.1");
        assert_eq!(client(false, &[("forwarded", "for=1.1.1.1")]), "10.0.0.9");
    }

    #[test]
    fn a_request_id_is_believed_only_from_a_trusted_proxy_and_within_its_alphabet() {
        let id = |trusted, given: &str| {
            let headers = headers(&[("x-request-id", given)]);
            request_id(&headers, &peer(trusted), || 0xab).as_str().to_owned()
        };
        assert_eq!(id(true, "Abc_1-2"), "Abc_1-2");
        let drawn = "ba000000000000000000000000000000";
        assert_eq!(id(false, "Abc"), drawn);
        assert_eq!(id(true, "a b"), drawn);
        assert_eq!(id(true, ""), drawn);
        assert_eq!(id(true, &"a".repeat(129)), drawn);
        assert_eq!(id(true, &"a".repeat(128)), "a".repeat(128));
    }

    #[test]
    fn a_peer_without_an_address_adds_nothing_and_is_asked_at_the_names_own_port() {
        let told = |trusted, lines: &[(&str, &str)]| {
            let peer = Peer { address: None, local: None, ..peer(trusted) };
            let headers = headers(lines);
            let origin = Origin::of(&headers, &Lines::default(), &peer);
            let client = origin.client(&peer, &[Network::Unix]);
            let written = written(&headers, &peer);
            let text = |name| written.get(name).map_or("-", |value| value.to_str().unwrap());
            let (chain, port) = (text(&X_FORWARDED_FOR), text(&X_FORWARDED_PORT));
            format!("{client} | {chain} | {port}")
        };
        let chain = [("host", "shop.example"), ("x-forwarded-for", "1.1.1.1, 2.2.2.2")];
        assert_eq!(told(false, &chain), "unix | - | 80");
        assert_eq!(told(true, &chain), "2.2.2.2 | 1.1.1.1, 2.2.2.2 | 80");
        assert_eq!(told(true, &[("host", "shop.example:81")]), "unix | - | 81");
        // nginx writes `unix:` of who came to a Unix socket of its own.
        let nginx = [("host", "shop.example"), ("x-forwarded-for", "1.1.1.1, unix:")];
        assert_eq!(told(true, &nginx), "1.1.1.1 | 1.1.1.1, unix: | 80");
        assert_eq!(told(true, &[("x-forwarded-for", "unix:")]), "unix | unix: | 80");
    }

    #[test]
    fn via_is_appended() {
        let headers = headers(&[("via", "1.0 a"), ("via", "1.1 b")]);
        let mut text = Vec::new();
        append_via(&headers, &mut Text::of(&mut text), Protocol::Http2, "usher-00000001");
        assert_eq!(text, b"via: 1.0 a, 1.1 b, 2.0 usher-00000001\r\n");
    }
}
