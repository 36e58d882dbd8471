//! One request of usher's own to whoever publishes keys.
//!
//! It is bounded in time and size, and goes nowhere but where the configuration says: a redirect is
//! a complaint, since whoever can write one could lead usher to keys of their own.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{io, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{CertificateError, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    identity::{Answer, Issuer},
    tls,
};

/// How long all of it may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The largest JWK set that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// The largest head, and the most fields in it.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 100;

/// As much of where a redirect leads as is shown.
const SHOWN_CHARACTERS: usize = 200;

/// Why there are no keys. For people.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silence {
    #[error("no answer within {} s", ANSWER_WAIT.as_secs())]
    Slow(#[from] tokio::time::error::Elapsed),
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    #[error("no TLS: {0}{hint}", hint = advice(.0))]
    Tls(#[source] io::Error),
    #[error("no certificate can be good for this host")]
    Name,
    #[error("it does not answer as HTTP says: {0}")]
    Http(#[from] hyper::Error),
    #[error("it cannot be asked: {0}")]
    Request(#[from] http::Error),
    #[error("it answers {} and leads to {to}, where usher does not go: write that URL, if it is \
             right", status.as_u16())]
    Elsewhere { status: StatusCode, to: String },
    #[error("it answers {0}")]
    Refused(StatusCode),
    #[error("its answer breaks off, or is larger than {} KiB", ANSWER_BYTES_MAX >> 10)]
    Body,
    #[error("its answer is not text")]
    NotText,
}

/// Asks `issuer` for its keys.
pub(super) async fn fetch(issuer: &Issuer) -> Result<Answer, Silence> {
    timeout(ANSWER_WAIT, ask(issuer)).await?
}

async fn ask(issuer: &Issuer) -> Result<Answer, Silence> {
    let url = &issuer.spec().url;
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let usual = if issuer.tls().is_some() { 443 } else { 80 };
    let address = (host.as_str(), url.port_u16().unwrap_or(usual));
    let stream = TcpStream::connect(address).await.map_err(Silence::Connect)?;
    let Some(tls) = issuer.tls() else { return exchange(stream, url).await };
    let name = ServerName::try_from(host.trim_end_matches('.').to_owned());
    let name = name.map_err(|_| Silence::Name)?;
    let shaken = TlsConnector::from(tls.clone()).connect(name, stream).await;
    exchange(shaken.map_err(Silence::Tls)?, url).await
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Uri,
) -> Result<Answer, Silence> {
    let mut builder = http1::Builder::new();
    builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
    let request = request(url)?;
    let asked = async move {
        let answer = sender.send_request(request).await?;
        read(answer).await
    };
    // The connection has no task of its own: it moves while the answer is waited for, and ends
    // when the sender has gone. Whoever does not close it then is not waited for.
    let mut connection = std::pin::pin!(connection);
    let mut asked = std::pin::pin!(asked);
    tokio::select! {
        answer = &mut asked => answer,
        // What it has read by then is still to be had.
        _ended = &mut connection => asked.await,
    }
}

fn request(url: &Uri) -> Result<Request<Empty<Bytes>>, http::Error> {
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let authority = url.authority().map_or("", |authority| authority.as_str());
    Request::get(path)
        .header(header::HOST, authority)
        .header(header::ACCEPT, "application/jwk-set+json, application/json")
        .header(header::USER_AGENT, concat!("usher/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close")
        .body(Empty::new())
}

async fn read(answer: Response<Incoming>) -> Result<Answer, Silence> {
    let status = answer.status();
    if status.is_redirection() {
        let to = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        let to = to.unwrap_or("nowhere").chars().take(SHOWN_CHARACTERS).collect();
        return Err(Silence::Elsewhere { status, to });
    }
    if status != StatusCode::OK {
        return Err(Silence::Refused(status));
    }
    let fresh = fresh(answer.headers());
    let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
    let body = body.map_err(|_| Silence::Body)?.to_bytes();
    let text = String::from_utf8(body.into()).map_err(|_| Silence::NotText)?;
    Ok(Answer { text, fresh })
}

/// How long an answer stays fresh (RFC 9111 §4.2.1, §5.2.2), if it says so.
fn fresh(headers: &HeaderMap) -> Option<Duration> {
    let values = headers.get_all(header::CACHE_CONTROL).iter();
    let values: Vec<&str> = values.filter_map(|value| value.to_str().ok()).collect();
    let directives = values.iter().flat_map(|value| value.split(',')).map(str::trim);
    let mut fresh = None;
    for directive in directives {
        let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
        if ["no-store", "no-cache"].iter().any(|it| name.eq_ignore_ascii_case(it)) {
            return Some(Duration::ZERO);
        }
        if name.eq_ignore_ascii_case("max-age") {
            fresh = value.trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    let age = headers.get(header::AGE).map(HeaderValue::to_str);
    let age = age.and_then(|age| age.ok()?.parse().ok()).map(Duration::from_secs);
    fresh.map(|fresh: Duration| fresh.saturating_sub(age.unwrap_or_default()))
}

/// What to do about it, behind a semicolon.
fn advice(error: &io::Error) -> String {
    let advice = match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Some("`roots` has not signed its certificate")
        }
        Some(error @ rustls::Error::InvalidMessage(_)) => tls::advice(error),
        Some(_) | None => None,
    };
    advice.map(|advice| format!("; {advice}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::TcpListener;

    use super::*;
    use crate::identity::IssuerSpec;

    /// Time stands still but for what is waited for.
    #[tokio::test(start_paused = true)]
    async fn whoever_does_not_answer_is_not_waited_for_long() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/keys", silent.local_addr().unwrap()).parse().unwrap();
        let refresh = Duration::from_secs(3600);
        let spec = IssuerSpec { url, refresh, roots: None, algorithms: Vec::new() };
        let begun = tokio::time::Instant::now();
        let error = fetch(&Issuer::new(spec, Instant::now())).await.unwrap_err();
        assert_eq!(error.to_string(), "no answer within 10 s");
        assert_eq!(begun.elapsed().as_secs(), ANSWER_WAIT.as_secs());
    }

    #[test]
    fn freshness_is_what_the_answer_says_less_its_age() {
        let fresh = |fields: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            fresh(&headers).map(|fresh| fresh.as_secs())
        };
        assert_eq!(fresh(&[]), None);
        assert_eq!(fresh(&[("cache-control", "public, max-age=600, must-revalidate")]), Some(600));
        assert_eq!(fresh(&[("cache-control", "Max-Age=\"600\""), ("age", "100")]), Some(500));
        assert_eq!(fresh(&[("cache-control", "max-age=600"), ("age", "700")]), Some(0));
        assert_eq!(fresh(&[("cache-control", "max-age=600, no-store")]), Some(0));
        assert_eq!(fresh(&[("cache-control", "private"), ("cache-control", "No-Cache")]), Some(0));
        assert_eq!(fresh(&[("cache-control", "max-age=soon")]), None);
    }
}
