//! A request's head as HTTP/2 carries it, brought into the form that HTTP/1.1 has.
//!
//! What comes out is what the codec for HTTP/1.1 would have made of the same request: one `Host`,
//! one `Cookie`, a target in origin-form, no field that speaks about the connection. The `h2` crate
//! has refused by now, with a reset of the stream, what RFC 9113 §8 calls malformed.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use h2::ext::Protocol;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header, request::Parts,
    uri::PathAndQuery,
};
use smallvec::SmallVec;

use crate::{
    edge::{
        rules::Rules,
        strict::{METHOD_BYTES_MAX, host, length, target},
    },
    fault::Fault,
    http1::lines::Lines,
    peer::Peer,
    proxy::{DroppedNames, Form, Refusal},
};

const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const UPGRADE: HeaderValue = HeaderValue::from_static("Upgrade");

/// `: ` and the end of a line: what a field takes in HTTP/1.1 beside its name and value.
const FIELD_BYTES: usize = 4;

/// What another crumb takes in the one `Cookie`.
const CRUMB_BYTES: usize = "; ".len();

/// What a request line takes beside method and target.
const LINE_BYTES: usize = " HTTP/1.1\r\n\r\n".len() + 1;

/// One head that has been read.
#[derive(Debug)]
pub(super) struct Head {
    /// The request without its body.
    pub(super) request: Request<()>,
    /// How long its body says that it is.
    pub(super) length: Option<u64>,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(super) expects: bool,
    /// Whether the client wants to go on as a WebSocket.
    pub(super) websocket: bool,
}

/// Reads the head of a request from `peer`, which ends with it unless `has_body`.
pub(super) fn read(
    mut parts: Parts,
    has_body: bool,
    peer: &Peer,
    rules: &Rules,
) -> Result<Head, Box<Refusal>> {
    let protocol = parts.extensions.remove::<Protocol>();
    match check(&mut parts, protocol.as_ref(), has_body, peer, rules) {
        Ok((uri, checked)) => {
            let mut request = Request::new(());
            *request.method_mut() = parts.method;
            *request.uri_mut() = uri;
            *request.headers_mut() = parts.headers;
            if checked.dropped > 0 {
                request.extensions_mut().insert(DroppedNames(checked.dropped));
            }
            let Checked { length, expects, .. } = checked;
            Ok(Head { request, length, expects, websocket: protocol.is_some() })
        }
        Err(fault) => Err(Box::new(refuse(fault, parts))),
    }
}

/// What was found beside the fields.
struct Checked {
    length: Option<u64>,
    expects: bool,
    dropped: usize,
}

/// In the order of the codec for HTTP/1.1, so that a head with two faults is refused for the same.
fn check(
    parts: &mut Parts,
    protocol: Option<&Protocol>,
    has_body: bool,
    peer: &Peer,
    rules: &Rules,
) -> Result<(Uri, Checked), Fault> {
    if parts.method.as_str().len() > METHOD_BYTES_MAX {
        return Err(Fault::MalformedHead);
    }
    let path = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if path.len() > rules.target_bytes {
        return Err(Fault::TargetTooLong);
    }
    let line = parts.method.as_str().len() + path.len() + LINE_BYTES;
    // What becomes the one `Host` is a field there.
    let authority = parts.uri.authority().filter(|_| !parts.headers.contains_key(header::HOST));
    let host = authority.map(|it| header::HOST.as_str().len() + it.as_str().len() + FIELD_BYTES);
    let before = (line + host.unwrap_or(0), usize::from(host.is_some()));
    let dropped = check_fields(&mut parts.headers, before, rules)?;
    match protocol {
        None if parts.method == Method::CONNECT => return Err(Fault::MethodNotAllowed),
        None => {}
        Some(protocol) if protocol.as_str().eq_ignore_ascii_case("websocket") => {
            parts.method = Method::GET;
        }
        Some(_) => return Err(Fault::BadUpgrade),
    }
    if parts.method == Method::TRACE {
        return Err(Fault::MethodNotAllowed);
    }
    one_host(&parts.uri, &mut parts.headers)?;
    let uri = target_of(&parts.method, &parts.uri, peer)?;
    let length = length_of(&mut parts.headers, rules)?;
    let expects = expects(&mut parts.headers)? && has_body;
    join_cookies(&mut parts.headers)?;
    if protocol.is_some() {
        if length.is_some_and(|length| length > 0) {
            return Err(Fault::BadUpgrade);
        }
        ask_for_websocket(&mut parts.headers);
    }
    Ok((uri, Checked { length, expects, dropped }))
}

/// Checks size, number and bytes of the fields, as they will be in HTTP/1.1; the answer is how many
/// were dropped because of a `_` in their name. `before` are the bytes and fields that come first.
fn check_fields(
    headers: &mut HeaderMap,
    before: (usize, usize),
    rules: &Rules,
) -> Result<usize, Fault> {
    let ((mut bytes, mut fields), mut crumbs) = (before, 0);
    for (name, value) in headers.iter() {
        // RFC 9113 §8.2.1: as a line of HTTP/1.1 it would lose them, and be another value.
        if value.as_bytes().trim_ascii().len() != value.len() {
            return Err(Fault::MalformedHead);
        }
        crumbs += usize::from(name == header::COOKIE);
        if crumbs > 1 && name == header::COOKIE {
            bytes += CRUMB_BYTES + value.len();
        } else {
            bytes += name.as_str().len() + value.len() + FIELD_BYTES;
            fields += 1;
        }
    }
    if bytes > rules.head_bytes || fields > rules.headers {
        return Err(Fault::HeadTooLarge);
    }
    headers.remove(header::TE);
    headers.remove(HTTP2_SETTINGS);
    // Rack folds `_` onto `-`: such a name could pass for one that usher sets or removes.
    let folded =
        |name: &&HeaderName| name.as_str().contains('_') && !rules.underscores.contains(*name);
    let names: SmallVec<[HeaderName; 4]> = headers.keys().filter(folded).cloned().collect();
    let before = headers.len();
    for name in names {
        headers.remove(name);
    }
    Ok(before - headers.len())
}

/// `:authority` is the one `Host`; a `Host` beside it has to say the same (RFC 9113 §8.3.1).
fn one_host(uri: &Uri, headers: &mut HeaderMap) -> Result<(), Fault> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(Fault::BadHost);
    }
    let Some(authority) = uri.authority().map(|authority| authority.as_str()) else {
        let valid = host.is_some_and(|host| host::is_valid(host.as_bytes()));
        return if valid { Ok(()) } else { Err(Fault::BadHost) };
    };
    let agrees = |host: &HeaderValue| host.as_bytes().eq_ignore_ascii_case(authority.as_bytes());
    if !host.is_none_or(agrees) || !host::is_valid(authority.as_bytes()) {
        return Err(Fault::BadHost);
    }
    let authority = HeaderValue::from_str(authority).map_err(|_| Fault::BadHost)?;
    headers.insert(header::HOST, authority);
    Ok(())
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

/// The one length, written back in its shortest form.
fn length_of(headers: &mut HeaderMap, rules: &Rules) -> Result<Option<u64>, Fault> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return Ok(None) };
    let length = length::read(first.as_bytes()).filter(|_| lengths.next().is_none());
    let length = length.ok_or(Fault::BadFraming)?;
    if length > rules.body_bytes {
        return Err(Fault::BodyTooLarge);
    }
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    Ok(Some(length))
}

fn expects(headers: &mut HeaderMap) -> Result<bool, Fault> {
    let mut expectations = headers.get_all(header::EXPECT).iter();
    let Some(first) = expectations.next() else { return Ok(false) };
    let continues = first.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if !continues || expectations.next().is_some() {
        return Err(Fault::BadExpectation);
    }
    headers.remove(header::EXPECT);
    Ok(true)
}

/// HTTP/2 may cut a `Cookie` into crumbs; everybody else knows one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) -> Result<(), Fault> {
    let mut crumbs = headers.get_all(header::COOKIE).iter();
    let Some(first) = crumbs.next().filter(|_| crumbs.next().is_some()) else { return Ok(()) };
    let mut cookie = first.as_bytes().to_vec();
    for crumb in headers.get_all(header::COOKIE).iter().skip(1) {
        cookie.extend_from_slice(b"; ");
        cookie.extend_from_slice(crumb.as_bytes());
    }
    let cookie = HeaderValue::from_maybe_shared(Bytes::from(cookie));
    headers.insert(header::COOKIE, cookie.map_err(|_| Fault::MalformedHead)?);
    Ok(())
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
