//! The answers that usher makes up itself; the only place that invents responses.
//!
//! Problem details (RFC 9457) for programs, a small page for browsers, by `Accept`. Neither names
//! an endpoint.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION,
        RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, WWW_AUTHENTICATE,
    },
};

use super::{
    asked::Asked,
    exchange::Exchange,
    handshake,
    headers::{self, X_REQUEST_ID, X_USHER_FAULT},
    panics::Panicked,
    request_id::RequestId,
    settle::Settling,
};
use crate::{
    classify::Version,
    fault::{Fault, Outcome},
    http1::{lines::Lines, names::Known},
};

/// What `Retry-After` says, in seconds: soon, but not at once, and not to all the same, so that
/// those who were refused together do not come back together.
const RETRY_AFTER_SECONDS: std::ops::RangeInclusive<u16> = 1..=3;

/// The methods that go on; CONNECT and TRACE are refused whatever they name.
const ALLOWED: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// Stands in the extensions of an answer that nobody is there to hear: it is not to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Unheard;

/// The form in which a client wants to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// `application/problem+json`
    #[default]
    Problem,
    /// `text/html`
    Page,
}

/// What a body tells.
struct Told<'a> {
    fault: Fault,
    status: StatusCode,
    request_id: &'a RequestId,
    /// The least version of an app that is served.
    min_version: Option<Version>,
}

// === impl Form ===

impl Form {
    /// What the request's `Accept` asks for: a page only where it names HTML.
    pub fn wanted(headers: &HeaderMap, lines: &Lines) -> Self {
        let kept = || headers.get_all(ACCEPT).iter().any(|it| names_html(it.as_bytes()));
        let html = lines.all(Known::Accept).any(names_html) || !headers.is_empty() && kept();
        if html { Form::Page } else { Form::Problem }
    }

    /// The same, of a head that was refused: what of its lines came whole.
    pub fn of_lines(head: &[u8]) -> Self {
        let mut lines = head.split_inclusive(|&byte| byte == b'\n').skip(1);
        let html = lines.any(|line| {
            let named = line.get(..7).is_some_and(|name| name.eq_ignore_ascii_case(b"accept:"));
            named && line.ends_with(b"\n") && names_html(line)
        });
        if html { Form::Page } else { Form::Problem }
    }
}

/// Whether `accept` holds `text/html`. It is asked of every request: most have one or two types,
/// which a search that prepares itself for more costs ten times as much.
fn names_html(accept: &[u8]) -> bool {
    let mut slashes = memchr::memchr_iter(b'/', accept);
    slashes.any(|at| accept[..at].ends_with(b"text") && accept[at + 1..].starts_with(b"html"))
}

/// The answer to a request that ended with `fault`, carried to the client by its exchange.
pub fn from_fault(mut exchange: Box<Exchange>, fault: Fault) -> Response<Settling> {
    exchange.made_up(fault);
    let (request_id, form) = (exchange.asked().request_id.clone(), exchange.asked().form);
    let page = exchange.audience().page.clone().filter(|_| form == Form::Page);
    let status = exchange.status_for(fault);
    let own = exchange.answer_to(fault).cloned();
    let told =
        Told { fault, status, request_id: &request_id, min_version: least(&exchange, fault) };
    let body = own.as_ref().and_then(|own| own.body.clone()).or(page);
    let body = body.unwrap_or_else(|| told.body(form));
    let head_only = exchange.asked().method == Some(Method::HEAD);
    let mut response = Response::new(Settling::made(Bytes::new(), None));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(elsewhere) = elsewhere(&exchange).filter(|_| fault == Fault::HttpsRequired) {
        headers.insert(LOCATION, elsewhere);
    }
    headers.insert(CONTENT_LENGTH, body.len().into());
    headers.insert(X_REQUEST_ID, request_id.to_value());
    describe(headers, fault, form);
    if !exchange.view().config.fault_header {
        headers.remove(X_USHER_FAULT);
    }
    for (name, value) in own.into_iter().flat_map(|own| own.headers) {
        headers.insert(name, value);
    }
    if let Some(seconds) = exchange.retry_after() {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    if fault.outcome() == Outcome::Abandoned {
        response.extensions_mut().insert(Unheard);
    }
    let body = if head_only { Bytes::new() } else { body };
    *response.body_mut() = Settling::made(body, Some(exchange));
    response
}

/// The same host and target by https, at the port that the listener says.
fn elsewhere(exchange: &Exchange) -> Option<HeaderValue> {
    let Asked { peer, host, target, .. } = exchange.asked();
    let port = exchange.view().listener(&peer.listener)?.redirect?.port;
    headers::by_https(host.as_ref()?, target.as_ref()?, port)
}

/// The answer after a panic, whose exchange has been settled while the stack was unwound.
pub fn after_panic(panicked: Panicked) -> Response<Settling> {
    let Panicked { request_id, form, fault_header } = panicked;
    let (fault, status) = (Fault::Panicked, Fault::Panicked.status());
    let body = Told { fault, status, request_id: &request_id, min_version: None }.body(form);
    let mut response = Response::new(Settling::made(Bytes::new(), None));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, body.len().into());
    headers.insert(X_REQUEST_ID, request_id.to_value());
    describe(headers, fault, form);
    if !fault_header {
        headers.remove(X_USHER_FAULT);
    }
    *response.body_mut() = Settling::made(body, None);
    response
}

fn describe(head: &mut HeaderMap, fault: Fault, form: Form) {
    let content_type = match form {
        Form::Problem => "application/problem+json",
        Form::Page => "text/html; charset=utf-8",
    };
    head.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    head.insert(X_USHER_FAULT, HeaderValue::from_static(fault.name()));
    if fault.status() == StatusCode::SERVICE_UNAVAILABLE {
        head.insert(RETRY_AFTER, fastrand::u16(RETRY_AFTER_SECONDS).into());
    }
    if fault == Fault::AmbiguousPath {
        // Whoever sends a path that means two may hide a request behind it.
        head.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if fault.status() == StatusCode::METHOD_NOT_ALLOWED {
        head.insert(ALLOW, ALLOWED);
    }
    if let Some(challenge) = challenge(fault) {
        head.insert(WWW_AUTHENTICATE, challenge);
    }
    if fault == Fault::WebsocketVersion {
        head.insert(UPGRADE, headers::WEBSOCKET);
        head.insert(SEC_WEBSOCKET_VERSION, handshake::VERSION);
    }
}

/// How to prove who asks (RFC 9110 §15.5.2 wants that said, RFC 6750 §3 says how).
fn challenge(fault: Fault) -> Option<HeaderValue> {
    match fault {
        Fault::Unidentified => Some(HeaderValue::from_static("Bearer")),
        Fault::InvalidIdentity => Some(HeaderValue::from_static("Bearer error=\"invalid_token\"")),
        _ => None,
    }
}

/// The least version of an app that is served to whom `fault` refused, where it is about that.
fn least(exchange: &Exchange, fault: Fault) -> Option<Version> {
    let versions = exchange.audience().versions.as_ref()?;
    versions.config.policy.min.filter(|_| fault == Fault::VersionTooOld)
}

// === impl Told ===

impl Told<'_> {
    /// Nothing in here comes from the request but its id, which holds letters, digits, `-` and `_`.
    fn body(&self, form: Form) -> Bytes {
        let (fault, status) = (self.fault, self.status);
        let title = status.canonical_reason().unwrap_or("Error");
        let (code, detail, name) = (status.as_u16(), fault.detail(), fault.name());
        let id = self.request_id.as_str();
        let text = match form {
            Form::Problem => {
                let min = self.min_version.map(|min| format!(",\"min_version\":\"{min}\""));
                let min = min.unwrap_or_default();
                format!(
                    "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{code},\
             \"detail\":\"{detail}\",\"fault\":\"{name}\",\"request_id\":\"{id}\"{min}}}\n"
                )
            }
            Form::Page => format!(
                "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\">\
             <title>{code} {title}</title>\n\
             <style>body{{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34em;\
             padding:0 1em}}small{{color:#666}}</style>\n\
             <h1>{title}</h1>\n<p>{detail}</p>\n<p><small>{code} {name} · {id}</small></p>\n"
            ),
        };
        text.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_problem_that_is_json_and_says_its_name() {
        let id = RequestId::Given(HeaderValue::from_static("abc"));
        for &fault in Fault::ALL {
            let (status, min_version) = (fault.status(), Version::parse_exact("5.2"));
            let told = Told { fault, status, request_id: &id, min_version };
            let problem = told.body(Form::Problem);
            let problem: serde_json::Value = serde_json::from_slice(&problem).unwrap();
            assert_eq!(problem["fault"], fault.name());
            assert_eq!(problem["status"], fault.status().as_u16());
            assert_eq!(problem["request_id"], "abc");
            assert_eq!(problem["min_version"], "5.2");
            let page = told.body(Form::Page);
            assert!(std::str::from_utf8(&page).unwrap().contains(fault.detail()));
        }
    }

    #[test]
    fn a_page_is_for_those_who_ask_for_html() {
        let wanted = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            Form::wanted(&headers, &Lines::default())
        };
        assert_eq!(wanted("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8"), Form::Page);
        assert_eq!(wanted("*/*"), Form::Problem);
        assert_eq!(wanted("application/json"), Form::Problem);
        assert_eq!(Form::wanted(&HeaderMap::new(), &Lines::default()), Form::Problem);
        let lines = |lines: &str| Form::of_lines(format!("GET /\r\n{lines}").as_bytes());
        assert_eq!(lines("A: b\r\naccept: a/b, text/html\r\nX"), Form::Page);
        assert_eq!(lines("Accept: text/html"), Form::Problem, "the line may go on");
        assert_eq!(lines("X-Accept: text/html\r\n"), Form::Problem);
        assert_eq!(Form::of_lines(b"Accept: text/html\r\n"), Form::Problem, "no field");
    }
}
