//! What the fields of a request's head say to the door itself: host, framing, persistence, upgrade.
//!
//! Each is noted while the fields go by; the verdict falls once all of them have been seen.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use crate::{
    edge::strict::{host, length},
    fault::Fault,
    http1::{lines::Lines, names::Known},
    peer::Protocol,
};

use super::Rules;

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// Where a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    None,
    /// After so many bytes; at least one.
    Length(u64),
    /// With its last chunk.
    Chunked,
}

/// What was seen of the fields that concern the door.
#[derive(Debug, Default)]
pub(super) struct Notes<'b> {
    hosts: usize,
    host: &'b [u8],
    lengths: usize,
    length: &'b [u8],
    codings: usize,
    chunked: bool,
    expectations: usize,
    continues: bool,
    upgrades: usize,
    websocket: bool,
    settings: bool,
    options: Options,
}

/// What `Connection` says about this connection.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    close: bool,
    keep_alive: bool,
    upgrade: bool,
    /// Whether it names a field that is meant for everybody on the way.
    overreaches: bool,
}

/// Fields that no sender may call its connection's own (RFC 9110 §7.6.1): a reader that believed
/// it would lose what frames, routes or authenticates the request. Those of `X-Forwarded-` as well.
const END_TO_END: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::AUTHORIZATION,
    header::COOKIE,
    header::FORWARDED,
    header::VIA,
];

// === impl Notes ===

impl<'b> Notes<'b> {
    /// Notes one field.
    pub(super) fn see(&mut self, known: Known, value: &'b [u8]) {
        match known {
            Known::Host => {
                self.hosts += 1;
                self.host = value;
            }
            Known::ContentLength => {
                self.lengths += 1;
                self.length = value;
            }
            Known::TransferEncoding => {
                self.codings += 1;
                self.chunked = value.eq_ignore_ascii_case(b"chunked");
            }
            Known::Expect => {
                self.expectations += 1;
                self.continues = value.eq_ignore_ascii_case(b"100-continue");
            }
            Known::Upgrade => {
                self.upgrades += 1;
                self.websocket = value.eq_ignore_ascii_case(b"websocket");
            }
            Known::Connection => {
                value
                    .split(|&b| b == b',')
                    .for_each(|option| self.options.see(option.trim_ascii()));
            }
            Known::Http2Settings => self.settings = true,
            Known::Other
            | Known::Accept
            | Known::TraceParent
            | Known::ContentType
            | Known::Date
            | Known::Kept
            | Known::Underscored => {}
        }
    }

    /// The one valid host.
    pub(super) fn host(&self) -> Result<&'b [u8], Fault> {
        if self.hosts == 1 && host::is_valid(self.host) {
            Ok(self.host)
        } else {
            Err(Fault::BadHost)
        }
    }

    /// Where the body ends. A length that did not come in its shortest form goes on in it.
    pub(super) fn framing(
        &self,
        protocol: Protocol,
        (fields, lines): (&mut HeaderMap, &mut Lines),
        rules: &Rules,
    ) -> Result<Framing, Fault> {
        match (self.lengths, self.codings) {
            (0, 0) => Ok(Framing::None),
            (0, 1) if self.chunked && protocol == Protocol::Http11 => Ok(Framing::Chunked),
            (1, 0) => {
                let length = length::read(self.length).ok_or(Fault::BadFraming)?;
                if self.length.len() > 1 && self.length[0] == b'0' {
                    lines.remove_known(Known::ContentLength);
                    fields.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
                }
                if length > rules.body_bytes {
                    return Err(Fault::BodyTooLarge);
                }
                Ok(if length == 0 { Framing::None } else { Framing::Length(length) })
            }
            _ => Err(Fault::BadFraming),
        }
    }

    /// Whether the client waits for a word before it sends its body. HTTP/1.0 knows no such thing.
    pub(super) fn expects(&self, protocol: Protocol) -> Result<bool, Fault> {
        match (protocol, self.expectations) {
            (Protocol::Http10, _) | (_, 0) => Ok(false),
            (Protocol::Http11 | Protocol::Http2, 1) if self.continues => Ok(true),
            (Protocol::Http11 | Protocol::Http2, _) => Err(Fault::BadExpectation),
        }
    }

    /// Whether the client wants to go on as a WebSocket. Every other upgrade is taken out of the
    /// fields, so that nobody behind can agree to it.
    pub(super) fn upgrade(
        &self,
        method: &Method,
        protocol: Protocol,
        framing: Framing,
        fields: &mut HeaderMap,
    ) -> Result<bool, Fault> {
        if self.upgrades == 0 && !self.options.upgrade && !self.settings {
            return Ok(false);
        }
        let asked = self.upgrades == 1
            && self.websocket
            && self.options.upgrade
            && protocol == Protocol::Http11;
        if !asked {
            take_upgrade_out(fields);
            return Ok(false);
        }
        if framing != Framing::None || *method != Method::GET {
            return Err(Fault::BadUpgrade);
        }
        Ok(true)
    }

    /// Whether `Connection` takes nothing away that others need.
    pub(super) fn connection(&self) -> Result<(), Fault> {
        if self.options.overreaches { Err(Fault::MalformedHead) } else { Ok(()) }
    }

    /// Whether the connection may go on after this request, as far as the client is concerned.
    pub(super) fn persists(&self, protocol: Protocol) -> bool {
        match protocol {
            Protocol::Http11 | Protocol::Http2 => !self.options.close,
            Protocol::Http10 => self.options.keep_alive && !self.options.close,
        }
    }
}

// === impl Options ===

impl Options {
    fn see(&mut self, option: &[u8]) {
        if option.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else {
            const FORWARDED: &[u8] = b"x-forwarded-";
            let front = option.get(..FORWARDED.len());
            self.overreaches |= front.is_some_and(|front| front.eq_ignore_ascii_case(FORWARDED))
                || END_TO_END.iter().any(|name| option.eq_ignore_ascii_case(name.as_ref()));
        }
    }
}

fn take_upgrade_out(fields: &mut HeaderMap) {
    fields.remove(header::UPGRADE);
    fields.remove(HTTP2_SETTINGS);
    let mut rest = Vec::new();
    for value in fields.get_all(header::CONNECTION) {
        for option in value.as_bytes().split(|&b| b == b',').map(<[u8]>::trim_ascii) {
            let ends_here = option.is_empty()
                || option.eq_ignore_ascii_case(b"upgrade")
                || option.eq_ignore_ascii_case(b"http2-settings");
            if !ends_here {
                rest.push(option);
            }
        }
    }
    let rest = rest.join(&b", "[..]);
    fields.remove(header::CONNECTION);
    if !rest.is_empty()
        && let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(rest))
    {
        fields.insert(header::CONNECTION, value);
    }
}
