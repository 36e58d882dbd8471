//! What the heads of requests and answers look like on the other side.
//!
//! This is the only place that rewrites them. A request's head is cleaned before it is decided, so
//! that no rule matches what Rails will not see; what usher says is set after that, so that nothing
//! a client nominated in `Connection` can remove it.

mod forwarded;
mod hop;
mod rfc7239;
mod text;
mod visitor;

use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Uri,
    header::{
        self, CACHE_CONTROL, CONTENT_LENGTH, HOST, SET_COOKIE, STRICT_TRANSPORT_SECURITY, TRAILER,
        TRANSFER_ENCODING, VIA,
    },
};

use crate::{
    http1::{lines::Lines, names::Known},
    peer::{Client, ClientCertificate, Network, Peer, Protocol},
    proxy::request_id::RequestId,
    slo::Said,
    snapshot::Deprecation,
};

use forwarded::{Origin, X_FORWARDED_FOR, X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_PROTO};
use text::Text;

pub use forwarded::request_id;
pub use visitor::make_known;

/// What usher calls the audience towards Rails.
pub const X_AUDIENCE: HeaderName = HeaderName::from_static("x-audience");
/// The request's name in all logs.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Why usher answered itself.
pub const X_USHER_FAULT: HeaderName = HeaderName::from_static("x-usher-fault");

const X_USHER_RETRY: HeaderName = HeaderName::from_static("x-usher-retry");
const X_USHER_SLO: HeaderName = HeaderName::from_static("x-usher-slo");
/// Who the client is by its certificate.
const X_USHER_CLIENT_SUBJECT: HeaderName = HeaderName::from_static("x-usher-client-subject");
const X_USHER_CLIENT_FINGERPRINT: HeaderName =
    HeaderName::from_static("x-usher-client-fingerprint");

const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const X_ACCEL_REDIRECT: HeaderName = HeaderName::from_static("x-accel-redirect");
const X_SENDFILE: HeaderName = HeaderName::from_static("x-sendfile");
/// Since when what was asked for is on its way out (RFC 9745), and when it ends (RFC 8594).
const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// Fields that usher itself says to Rails.
const OWN: [HeaderName; 8] = [
    VIA,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_FORWARDED_PORT,
    X_REQUEST_START,
    X_REQUEST_ID,
    X_AUDIENCE,
];

/// Fields of an answer that usher looks at before it adds some of its own.
const TOLD: [HeaderName; 5] =
    [CACHE_CONTROL, SET_COOKIE, STRICT_TRANSPORT_SECURITY, DEPRECATION, SUNSET];
/// The one protocol that is switched to.
pub const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// How a request's body goes on to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none. A length of 0 that the client declared stays.
    None,
    /// As the client declared it: the body is passed on as it comes.
    AsDeclared,
    /// So many bytes: the body has been gathered.
    Length(u64),
    /// In chunks, because these fields come after it, which `Trailer` names.
    Trailers(HeaderValue),
}

/// What a request's head brought that only the edge may know, read before it was cleaned.
#[derive(Clone, Debug)]
pub struct Brought {
    /// Who asks, after trusted proxies have been believed.
    pub client: Client,
    /// Whether a WebSocket is asked for.
    pub websocket: bool,
    /// Whether it came by https to usher, or to the trusted proxy that says so.
    pub secure: bool,
    /// Where the request says that it comes from.
    origin: Origin,
}

/// What is said to Rails about one request.
#[derive(Clone, Debug)]
pub struct Introduction<'a> {
    /// Who asks.
    pub peer: &'a Peer,
    /// What the client spoke.
    pub protocol: Protocol,
    /// What the head brought.
    pub brought: Brought,
    /// The host that it asked.
    pub host: Option<&'a HeaderValue>,
    /// The audience's name.
    pub audience: &'a HeaderValue,
    /// The request's name.
    pub request_id: &'a RequestId,
    /// When it arrived, in milliseconds since 1970.
    pub arrived_ms: u64,
    /// This process's name in `Via`.
    pub pseudonym: &'a str,
    /// How the body goes on.
    pub framing: Framing,
}

/// Cleans a client's head of everything that must not reach Rails.
///
/// This comes before the request is decided: a rule sees what Rails will see, and what a stranger
/// made up is gone from both.
pub fn clean(
    method: &Method,
    headers: &mut HeaderMap,
    lines: &mut Lines,
    peer: &Peer,
    trusted: &[Network],
) -> Brought {
    let origin = Origin::of(headers, lines, peer);
    let brought = Brought {
        client: origin.client(peer, trusted),
        websocket: asks_for_websocket(method, headers),
        secure: origin.is_secure(),
        origin,
    };
    hop::strip_request(headers, lines, peer.trusted);
    brought
}

/// Removes what only a trusted proxy may say of who asks.
pub fn distrust<'a>(headers: &mut HeaderMap, names: impl Iterator<Item = &'a HeaderName>) {
    for name in names {
        headers.remove(name);
    }
}

/// Says to Rails what usher says of a request whose head is clean: behind its lines, and instead of
/// what the map says.
pub fn introduce(headers: &mut HeaderMap, lines: &mut Lines, said: &Introduction<'_>) {
    let mut text = Text::of(lines.add());
    forwarded::append_via(headers, &mut text, said.protocol, said.pseudonym);
    if !headers.is_empty() {
        OWN.iter().for_each(|name| drop(headers.remove(name)));
    }
    let websocket = said.brought.websocket;
    said.brought.origin.write(&mut text, said.peer, said.host);
    // Whole pieces of lines, since each piece costs.
    text.push("x-request-start: t=").push_number(said.arrived_ms);
    text.push("\r\nx-request-id: ").push_bytes(said.request_id.as_bytes());
    text.push("\r\nx-audience: ").push_value(said.audience).push("\r\n");
    if let Some(client) = said.peer.tls.as_ref().and_then(|tls| tls.client.as_ref()) {
        vouch(headers, client);
    }
    frame(headers, lines, &said.framing);
    if websocket {
        switch(headers);
    }
}

/// Says who the client is by its certificate. What others said so was stripped from everyone.
fn vouch(headers: &mut HeaderMap, client: &ClientCertificate) {
    for (name, value) in [
        (X_USHER_CLIENT_SUBJECT, &client.subject),
        (X_USHER_CLIENT_FINGERPRINT, &client.fingerprint),
    ] {
        // Both are ASCII.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
}

/// Brings into the map what is looked at before an answer is added to.
pub fn bring_told(headers: &mut HeaderMap, lines: &mut Lines) {
    TOLD.iter().for_each(|name| lines.bring(name, headers));
}

/// Has browsers come by https alone, unless the monolith has said how.
pub fn insist_on_https(headers: &mut HeaderMap, hsts: &HeaderValue) {
    headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert_with(|| hsts.clone());
}

/// Says that the client's app grows old, unless the monolith has said so of what was asked for, or
/// a cache may give the answer to others, whose apps are not.
pub fn deprecate(headers: &mut HeaderMap, deprecation: Deprecation) {
    if visitor::says_public(headers) {
        return;
    }
    headers.entry(DEPRECATION).or_insert(deprecation.since);
    if let Some(sunset) = deprecation.sunset {
        headers.entry(SUNSET).or_insert(sunset);
    }
}

/// The URL of `target` at `host` by https. A host that has a port of its own loses it.
pub fn by_https(host: &HeaderValue, target: &Uri, port: u16) -> Option<HeaderValue> {
    let host = host.to_str().ok()?;
    let after_brackets = host.rfind(']').map_or(0, |at| at + 1);
    let name = match host[after_brackets..].find(':') {
        Some(colon) => &host[..after_brackets + colon],
        None => host,
    };
    let target = target.path_and_query().map_or("/", |target| target.as_str());
    let url = match port {
        443 => format!("https://{name}{target}"),
        port => format!("https://{name}:{port}{target}"),
    };
    HeaderValue::try_from(url).ok()
}

fn frame(headers: &mut HeaderMap, lines: &mut Lines, framing: &Framing) {
    match framing {
        Framing::AsDeclared if declares_length(headers, lines) => {}
        Framing::AsDeclared => say_chunked(headers),
        Framing::None if headers.is_empty() => {}
        Framing::None => {
            headers.remove(TRAILER);
        }
        Framing::Length(bytes) => {
            headers.remove(TRAILER);
            // Mostly it is the one that came.
            if lines.get(Known::ContentLength)
                != Some(itoa::Buffer::new().format(*bytes).as_bytes())
            {
                lines.remove_known(Known::ContentLength);
                headers.insert(CONTENT_LENGTH, (*bytes).into());
            }
        }
        Framing::Trailers(names) => {
            lines.remove_known(Known::ContentLength);
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRAILER, names.clone());
            say_chunked(headers);
        }
    }
}

fn declares_length(headers: &HeaderMap, lines: &Lines) -> bool {
    lines.has(Known::ContentLength) || headers.contains_key(CONTENT_LENGTH)
}

/// A body without a length has its end in its chunks.
fn say_chunked(headers: &mut HeaderMap) {
    headers.insert(TRANSFER_ENCODING, CHUNKED);
}

/// What the monolith says its answer is to count for: `X-Usher-Slo`.
pub fn said_of_promises(headers: &HeaderMap) -> Option<Said> {
    Said::parse(value(headers, &X_USHER_SLO)?.as_bytes())
}

/// Whether the monolith says that what it has just done may be done twice.
pub fn says_safe(headers: &HeaderMap) -> bool {
    value(headers, &X_USHER_RETRY).is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"safe"))
}

/// Turns the monolith's head into the one that the client receives.
pub fn toward_client(headers: &mut HeaderMap, lines: &mut Lines) {
    hop::strip_answer(headers, lines);
}

/// Asks for a WebSocket, or grants one.
pub fn switch(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// Whether `Connection` names `option`.
pub fn connection_names(headers: &HeaderMap, option: &str) -> bool {
    hop::tokens(headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case(option))
}

/// Whether the request has already passed through this process.
pub fn has_passed(headers: &HeaderMap, pseudonym: &str) -> bool {
    if headers.is_empty() {
        return false;
    }
    let mut vias = headers.get_all(header::VIA).iter();
    vias.any(|via| memchr::memmem::find(via.as_bytes(), pseudonym.as_bytes()).is_some())
}

/// Whether the request asks for a WebSocket (RFC 6455 §4.1), which is all that is carried on.
fn asks_for_websocket(method: &Method, headers: &HeaderMap) -> bool {
    let Some(upgrade) = value(headers, &header::UPGRADE) else { return false };
    *method == Method::GET
        && connection_names(headers, "upgrade")
        && upgrade.as_bytes().eq_ignore_ascii_case(b"websocket")
}

/// Whether the monolith wants a file sent in its stead, as it would tell nginx or Apache.
pub fn hands_over_a_file(headers: &HeaderMap) -> bool {
    value(headers, &X_ACCEL_REDIRECT).or_else(|| value(headers, &X_SENDFILE)).is_some()
}

/// Whether the application wants to feel how fast its client reads, as it would tell nginx.
pub fn wants_no_buffering(headers: &HeaderMap) -> bool {
    let said = value(headers, &X_ACCEL_BUFFERING);
    said.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"no"))
}

/// The host that a request names, as far as it is text.
pub fn host_of<'a>(headers: &'a HeaderMap, lines: &'a Lines) -> &'a str {
    let kept = || headers.get(HOST).map(HeaderValue::as_bytes);
    let host = lines.get(Known::Host).or_else(kept);
    let host = host.and_then(|host| std::str::from_utf8(host).ok());
    host.filter(|host| host.is_ascii()).unwrap_or("")
}

/// A field of a map that mostly holds none at all, since those that go on as they came lie
/// elsewhere.
#[inline]
pub fn value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    if headers.is_empty() { None } else { headers.get(name) }
}
