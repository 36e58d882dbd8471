//! One check: a request of usher's own to an endpoint, and what is wrong with the answer.
//!
//! A check has a connection of its own, so that no Puma thread stays with it afterwards. What a
//! Rails application answers to a stranger is explained: those two settings (`force_ssl` and
//! `config.hosts`) are why checks of new pools fail.

use std::{fmt, future::poll_fn, time::Duration};

use bytes::BytesMut;
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use tokio::time::Instant;

use crate::{
    body::Body,
    config,
    deadline::Wheel,
    http1::lines::Lines,
    units::format_duration,
    upstream::{
        Address, Dialect, Endpoint,
        broken::Broken,
        connect::{Way, connect},
        connection::Connection,
    },
};

/// As much of a body as is read to be compared.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// As much of it as is shown.
const SHOWN_CHARACTERS: usize = 60;

/// What is wrong with an endpoint, according to a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// There was no answer in time.
    Late(Duration),
    /// No connection, or no answer on it.
    Broken(String),
    /// The answer is not what is expected.
    Answer(String),
}

/// Asks `endpoint`, in `dialect` unless the policy wants it plain.
pub async fn check(
    endpoint: &Endpoint,
    dialect: &Dialect,
    policy: &config::Health,
    wheel: &Wheel,
) -> Result<(), Complaint> {
    let at = Instant::now() + policy.timeout;
    let plain = Dialect::plain();
    let dialect = if policy.plain { &plain } else { dialect };
    let asked = wheel.within(at, ask(endpoint, dialect, policy, wheel)).await;
    asked.unwrap_or(Err(Complaint::Late(policy.timeout)))
}

async fn ask(
    endpoint: &Endpoint,
    dialect: &Dialect,
    policy: &config::Health,
    wheel: &Wheel,
) -> Result<(), Complaint> {
    let address = asked_at(endpoint.address(), policy.port);
    let way = Way { address: &address, endpoint_id: endpoint.id(), dialect, behalf: None };
    let connection = connect(way, policy.timeout, wheel).await;
    let mut connection = connection.map_err(|error| Complaint::Broken(error.to_string()))?;
    let request = request(&address, policy)?;
    let (head, body) = request.into_parts();
    connection.send(&head, &Lines::default(), body);
    let answer = poll_fn(|cx| connection.poll_answer(cx, |_, _| {})).await;
    let mut answer = answer.map_err(|broken| Complaint::Broken(format!("no answer: {broken}")))?;
    connection.take_lines().pour(answer.headers_mut());
    if !policy.expects(answer.status().as_u16()) {
        return Err(Complaint::Answer(explain(&answer, &address, policy)));
    }
    match &policy.body {
        Some(_) => compare(&mut connection, policy).await,
        None => Ok(()),
    }
}

/// The endpoint's address with the port that is asked.
fn asked_at(address: &Address, port: Option<u16>) -> Address {
    match (address, port) {
        (Address::Socket(socket), Some(port)) => Address::Socket((socket.ip(), port).into()),
        (Address::Socket(_) | Address::Unix(_), _) => address.clone(),
    }
}

fn request(address: &Address, policy: &config::Health) -> Result<Request<Body>, Complaint> {
    let own = || match address {
        Address::Socket(socket) => HeaderValue::from_str(&socket.to_string()).ok(),
        Address::Unix(_) => Some(HeaderValue::from_static("localhost")),
    };
    let broken = || Complaint::Broken("the check cannot be written as a request".to_owned());
    let mut request = Request::new(Body::empty());
    *request.method_mut() = policy.method.clone();
    *request.uri_mut() = policy.path.parse::<Uri>().map_err(|_| broken())?;
    let headers = request.headers_mut();
    headers.insert(header::HOST, policy.host.clone().or_else(own).ok_or_else(broken)?);
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    let agent = concat!("usher/", env!("CARGO_PKG_VERSION"), " (health check)");
    headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
    headers.extend(policy.headers.clone());
    Ok(request)
}

/// Why an answer has another status than is expected, as far as that can be told.
fn explain(answer: &Response<()>, address: &Address, policy: &config::Health) -> String {
    let status = answer.status().as_u16();
    let location = answer.headers().get(header::LOCATION).and_then(|at| at.to_str().ok());
    let to_https = location.is_some_and(|at| at.starts_with("https://"));
    match answer.status() {
        status if status.is_redirection() && to_https && !policy.says_https() => format!(
            "answered {} to https: Rails' `force_ssl` wants `headers: {{ X-Forwarded-Proto: \
             https }}` in `health`",
            status.as_u16()
        ),
        status if status.is_redirection() => {
            let to = cut(location.unwrap_or("nowhere"));
            format!("answered {} to {to}: write a `path` that is not redirected", status.as_u16())
        }
        StatusCode::FORBIDDEN => {
            let host = policy.host.as_ref().and_then(|host| host.to_str().ok());
            let host = host.map_or_else(|| address.to_string(), str::to_owned);
            format!(
                "answered 403: Rails' `config.hosts` may not admit `{host}`; write a `host` that \
                 it does, or exclude {} in `config.host_authorization`",
                policy.path
            )
        }
        StatusCode::NOT_FOUND => format!(
            "answered 404: there is nothing at {}; Rails has `/up` from 7.1 on, write another \
             `path` where it has not",
            policy.path
        ),
        StatusCode::UNAUTHORIZED => "answered 401: write a `path` that needs no log-in".to_owned(),
        _ => format!("answered {status}"),
    }
}

async fn compare(connection: &mut Connection, policy: &config::Health) -> Result<(), Complaint> {
    let body = match read(connection).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            let told = format!("its body has more than the {BODY_BYTES_MAX} bytes that are read");
            return Err(Complaint::Answer(told));
        }
        Err(broken) => {
            return Err(Complaint::Answer(format!("its body cannot be read: {broken}")));
        }
    };
    if policy.body.as_ref().is_none_or(|expected| expected.matches(&body)) {
        return Ok(());
    }
    let shown = cut(&String::from_utf8_lossy(&body));
    Err(Complaint::Answer(format!("its body is not as expected: {shown:?}")))
}

/// The body of an answer, unless it is too long to be compared.
async fn read(connection: &mut Connection) -> Result<Option<BytesMut>, Broken> {
    let mut body = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| connection.poll_frame(cx)).await {
        let Ok(data) = frame?.into_data() else { continue };
        if body.len() + data.len() > BODY_BYTES_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&data);
    }
    Ok(Some(body))
}

fn cut(text: &str) -> String {
    let mut rest = text.chars();
    let mut start: String = rest.by_ref().take(SHOWN_CHARACTERS).collect();
    if rest.next().is_some() {
        start.push('…');
    }
    start
}

// === impl Complaint ===

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Complaint::Late(timeout) => {
                write!(f, "no answer within {}", format_duration(*timeout))
            }
            Complaint::Broken(why) | Complaint::Answer(why) => f.write_str(why),
        }
    }
}
