//! The WebSocket handshake, checked on both sides (RFC 6455 §4).
//!
//! A handshake that only half the readers take for one is how bytes come to be read as frames here
//! and as requests there. So what is not exactly one is refused before it reaches the monolith, and
//! an agreement that does not answer exactly this handshake is not passed on.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, Version, header};
use sha1::{Digest, Sha1};

use super::{headers, worker::TunnelPlace};
use crate::fault::Fault;

/// The version of RFC 6455, and the only one that is carried.
pub const VERSION: HeaderValue = HeaderValue::from_static("13");

/// What a server adds to the key before it hashes it (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A key is so many bytes, encoded (RFC 6455 §4.1).
const KEY_BYTES: usize = 16;

/// A handshake that has been sent on, and the place that its tunnel will take.
#[derive(Debug)]
pub struct Handshake {
    place: TunnelPlace,
    accept: String,
    protocols: Vec<HeaderValue>,
    extensions: Vec<HeaderValue>,
}

// === impl Handshake ===

impl Handshake {
    /// Checks a client's handshake; the caller knows that it is a GET that asks for a WebSocket.
    pub fn check(headers: &HeaderMap) -> Result<(), Fault> {
        let version = only(headers, &header::SEC_WEBSOCKET_VERSION);
        if version != Some(&VERSION) {
            return Err(Fault::WebsocketVersion);
        }
        let key = only(headers, &header::SEC_WEBSOCKET_KEY).ok_or(Fault::BadUpgrade)?;
        match STANDARD.decode(key) {
            Ok(bytes) if bytes.len() == KEY_BYTES => Ok(()),
            Ok(_) | Err(_) => Err(Fault::BadUpgrade),
        }
    }

    /// Remembers what a checked handshake asks for.
    pub fn begin(headers: &HeaderMap, place: TunnelPlace) -> Self {
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map_or(&b""[..], HeaderValue::as_bytes);
        let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
        let all = |name| headers.get_all(name).iter().cloned().collect();
        Self {
            place,
            accept: STANDARD.encode(hash),
            protocols: all(header::SEC_WEBSOCKET_PROTOCOL),
            extensions: all(header::SEC_WEBSOCKET_EXTENSIONS),
        }
    }

    /// Makes of an agreement over HTTP/2 (RFC 8441 §5) the one that HTTP/1.1 has. What is not an
    /// agreement stays as it is.
    pub fn spell_out<B>(&self, answer: &mut Response<B>) {
        let accept = HeaderValue::from_str(&self.accept);
        if let (StatusCode::OK, Ok(accept)) = (answer.status(), accept) {
            *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            headers::switch(answer.headers_mut());
            answer.headers_mut().insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
    }

    /// Whether `answer` agrees to exactly this (RFC 6455 §4.1, what a client checks).
    pub fn is_agreed_by<B>(&self, answer: &Response<B>) -> bool {
        let headers = answer.headers();
        let upgrade = only(headers, &header::UPGRADE);
        let accept = only(headers, &header::SEC_WEBSOCKET_ACCEPT);
        answer.status() == StatusCode::SWITCHING_PROTOCOLS
            && answer.version() == Version::HTTP_11
            && upgrade.is_some_and(|to| to.as_bytes().eq_ignore_ascii_case(b"websocket"))
            && headers::connection_names(headers, "upgrade")
            && accept.is_some_and(|accept| accept.as_bytes() == self.accept.as_bytes())
            && self.offers(headers)
            && !headers.contains_key(header::TRANSFER_ENCODING)
            && headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0")
    }

    /// The place for the tunnel.
    pub fn into_place(self) -> TunnelPlace {
        self.place
    }

    /// Whether the one protocol and all extensions that were chosen had been offered.
    fn offers(&self, headers: &HeaderMap) -> bool {
        let protocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
        let protocol = only(headers, &header::SEC_WEBSOCKET_PROTOCOL);
        let protocol_offered = match protocol.map(HeaderValue::as_bytes) {
            Some(chosen) => elements(&self.protocols).any(|offered| offered == chosen),
            None => protocols.iter().next().is_none(),
        };
        let chosen = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS);
        let mut extensions = elements(chosen).map(extension_name);
        protocol_offered
            && extensions.all(|chosen| {
                elements(&self.extensions).map(extension_name).any(|offered| offered == chosen)
            })
    }
}

/// The value of a field that stands exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    first.filter(|_| values.next().is_none())
}

/// The elements of a list over all its lines. No name of a protocol or extension holds a comma;
/// one within a quoted parameter only makes a piece that nobody asks for.
fn elements<'a>(
    lines: impl IntoIterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = &'a [u8]> {
    let pieces = lines.into_iter().flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    pieces.map(<[u8]>::trim_ascii).filter(|piece| !piece.is_empty())
}

fn extension_name(extension: &[u8]) -> &[u8] {
    let end = memchr::memchr(b';', extension).unwrap_or(extension.len());
    extension[..end].trim_ascii()
}
