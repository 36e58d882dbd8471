//! One request to a control port.

use std::{io, time::Duration};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Request, StatusCode,
    client::conn::http1,
    header::{AUTHORIZATION, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

/// How long the control port may take to accept.
const CONNECT_WAIT: Duration = Duration::from_secs(2);

/// How long it may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The body that the control port at `address` answers for `path`.
///
/// # Errors
///
/// It cannot be reached in time, or answers anything but 200.
#[expect(clippy::disallowed_methods, reason = "a command of one request has no wheel")]
pub(super) fn get(address: &str, path: &str, token: Option<&str>) -> anyhow::Result<String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        let stream = connect(address).await.map_err(|error| {
            anyhow!(
                "cannot connect to {address}: {error}; is usher running? \
                 --control ADDR says where it listens"
            )
        })?;
        let (status, body) = timeout(ANSWER_WAIT, exchange(stream, path, token))
            .await
            .with_context(|| format!("{address} takes longer than {ANSWER_WAIT:?} to answer"))?
            .with_context(|| format!("{address} does not answer as usher does"))?;
        if status == StatusCode::OK {
            return Ok(body);
        }
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        bail!("{address} answers {status}: {}", problem["detail"].as_str().unwrap_or(&body))
    })
}

#[expect(clippy::disallowed_methods, reason = "a command of one request has no wheel")]
async fn connect(address: &str) -> io::Result<TcpStream> {
    timeout(CONNECT_WAIT, TcpStream::connect(address)).await?
}

async fn exchange(
    stream: TcpStream,
    path: &str,
    token: Option<&str>,
) -> anyhow::Result<(StatusCode, String)> {
    // The address, not the name that led to it: the control port answers under no name.
    let host = stream.peer_addr()?.to_string();
    let mut request = Request::get(path).header(HOST, host);
    if let Some(token) = token {
        request = request.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    let request = request.body(Empty::<Bytes>::new())?;
    let (mut sender, connection) =
        http1::Builder::new().max_buf_size(64 * 1024).handshake(TokioIo::new(stream)).await?;
    let driver = tokio::spawn(connection);
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
    driver.abort();
    let body = body.map_err(anyhow::Error::from_boxed)?.to_bytes();
    Ok((status, String::from_utf8(body.into())?))
}
