//! A request's head as HTTP/2 carries it, brought into the form that HTTP/1.1 has.
//!
//! What comes out is what the codec for HTTP/1.1 would have made of the same request: one `Host`,
//! one `Cookie`, a target in origin-form, no field that speaks about the connection; and what
//! nobody on the way asks for lies in lines, so that it is looked at no more. The `h2` crate has
//! refused by now, with a reset of the stream, what RFC 9113 §8 calls malformed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderValue, Method, Uri, Version, header, request::Parts, uri::PathAndQuery,
};

use crate::{
    body::Body,
    edge::{
        rules::Rules,
        strict::{METHOD_BYTES_MAX, target},
    },
    fault::Fault,
    http1::lines::Lines,
    peer::Peer,
    proxy::{DroppedNames, Form, Incoming, Refusal},
};

use super::fields::{Fields, Notes};

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// What a request line takes beside method and target.
const LINE_BYTES: usize = " HTTP/1.1\r\n\r\n".len() + 1;

/// One head that has been read.
#[derive(Debug)]
pub(super) struct Head {
    /// The request; its body is for the door to add.
    pub(super) request: Box<Incoming>,
    /// How long its body says that it is.
    pub(super) length: Option<u64>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects: bool,
    /// Whether the client wants to go on as a WebSocket.
    pub(super) websocket: bool,
}

/// What was found in a head.
struct Checked {
    uri: Uri,
    fields: Fields,
    length: Option<u64>,
    expects: bool,
}

/// Reads the head of a request from `peer`, which ends with it unless `has_body`.
pub(super) fn read(
    mut parts: Parts,
    has_body: bool,
    peer: &Peer,
    rules: &Rules,
) -> Result<Head, Box<Refusal>> {
    let protocol = parts.extensions.remove::<Protocol>();
    let checked = check(&parts, protocol.as_ref(), has_body, peer, rules);
    if protocol.as_ref().is_some_and(is_websocket) {
        parts.method = Method::GET;
    }
    let Checked { uri, fields, length, expects } = match checked {
        Ok(checked) => checked,
        Err(fault) => return Err(Box::new(refuse(fault, parts))),
    };
    let Fields { map, lines, dropped } = fields;
    (parts.uri, parts.version, parts.headers) = (uri, Version::HTTP_11, map);
    if dropped > 0 {
        parts.extensions.insert(DroppedNames(dropped));
    }
    let request = Box::new(Incoming { head: parts, lines, body: Body::empty() });
    Ok(Head { request, length, expects, websocket: protocol.is_some() })
}

/// In the order of the codec for HTTP/1.1, so that a head with two faults is refused for the same.
fn check(
    parts: &Parts,
    protocol: Option<&Protocol>,
    has_body: bool,
    peer: &Peer,
    rules: &Rules,
) -> Result<Checked, Fault> {
    if parts.method.as_str().len() > METHOD_BYTES_MAX {
        return Err(Fault::MalformedHead);
    }
    let path = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if path.len() > rules.target_bytes {
        return Err(Fault::TargetTooLong);
    }
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let notes = Notes::of(&parts.headers, authority)?;
    let line = parts.method.as_str().len() + path.len() + LINE_BYTES;
    if line + notes.bytes > rules.head_bytes || notes.fields > rules.headers {
        return Err(Fault::HeadTooLarge);
    }
    match protocol {
        None if matches!(parts.method, Method::CONNECT | Method::TRACE) => {
            return Err(Fault::MethodNotAllowed);
        }
        Some(protocol) if !is_websocket(protocol) => return Err(Fault::BadUpgrade),
        None | Some(_) => {}
    }
    let host = notes.one_host(authority)?;
    let uri = target_of(&parts.method, &parts.uri, peer)?;
    let length = notes.length(rules)?;
    let expects = notes.expects()? && has_body;
    let mut fields = notes.lay(&parts.headers, host, length, rules)?;
    if protocol.is_some() {
        if length.is_some_and(|length| length > 0) {
            return Err(Fault::BadUpgrade);
        }
        ask_for_websocket(&mut fields.map);
    }
    Ok(Checked { uri, fields, length, expects })
}

fn is_websocket(protocol: &Protocol) -> bool {
    protocol.as_str().eq_ignore_ascii_case("websocket")
}

fn target_of(method: &Method, uri: &Uri, peer: &Peer) -> Result<Uri, Fault> {
    // Without an authority the scheme is gone; it was one, or the stream would have been reset.
    match uri.scheme_str() {
        None | Some("http") => {}
        // RFC 9110 §7.4: who asks for an `https` resource has to do so over TLS, or through a proxy
        // that ended it.
        Some("https") if peer.tls.is_some() || peer.trusted => {}
        Some(_) => return Err(Fault::BadTarget),
    }
    let target = uri.path_and_query().ok_or(Fault::BadTarget)?;
    if target.as_str() == "*" && method == Method::OPTIONS {
        return Ok(Uri::from_static("*"));
    }
    target::check(target.as_str().as_bytes())?;
    Ok(Uri::from(target.clone()))
}

/// Makes of an extended CONNECT (RFC 8441) the GET that Rails knows. It carries no key; the one
/// that is made here is answered by the monolith, and the answer is checked like any other.
fn ask_for_websocket(headers: &mut HeaderMap) {
    let key = STANDARD.encode(fastrand::u128(..).to_ne_bytes());
    if let Ok(key) = HeaderValue::try_from(key) {
        headers.insert(header::SEC_WEBSOCKET_KEY, key);
    }
    headers.insert(header::CONNECTION, UPGRADE);
    headers.insert(header::UPGRADE, WEBSOCKET);
}

/// A refusal, with what can be known of the request.
fn refuse(fault: Fault, parts: Parts) -> Refusal {
    let readable = |text: &str| text.bytes().all(|b| b.is_ascii_graphic()).then(|| text.to_owned());
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Refusal {
        fault,
        host: authority.or(host).and_then(readable),
        path: Some(parts.uri.path()).filter(|path| path.starts_with('/')).and_then(readable),
        form: Form::wanted(&parts.headers, &Lines::default()),
        method: Some(parts.method),
    }
}
