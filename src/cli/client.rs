//! Speaking to a running usher: where its control port is, and one request to it.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{AUTHORIZATION, HOST},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpStream, time::timeout};

use super::{FAILED, WRONG};
use crate::config::{self, LoadOptions, Problems};

/// Where the control port is when nothing says otherwise.
pub(super) const CONTROL: &str = "127.0.0.1:9900";

/// Where the configuration is when nothing says otherwise.
const CONFIG: &str = "config/usher.yaml";

/// What is said when there is nobody to ask.
const CONTROL_OFF: &str = "the configuration says `control: off`: usher cannot be asked; \
                           --control ADDR asks another one";

/// The variable with the token that the control port may ask for.
const TOKEN_VARIABLE: &str = "USHER_TOKEN";

/// How long the control port may take to accept.
const CONNECT_WAIT: Duration = Duration::from_secs(2);

/// How long it may take to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// The largest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where a running usher is asked.
#[derive(Clone, Debug, clap::Args)]
pub struct ControlPort {
    /// Address of the control port; without it, the one in the configuration
    #[arg(long, value_name = "ADDR", env = "USHER_CONTROL")]
    pub control: Option<String>,
    /// Configuration that says where the control port is
    #[arg(long, value_name = "FILE", env = "USHER_CONFIG")]
    pub config: Option<PathBuf>,
}

/// What a control port answered.
#[derive(Debug)]
pub(super) struct Answer {
    address: String,
    pub(super) status: StatusCode,
    pub(super) body: String,
}

/// What the control port at `address` answers to a GET of `path`.
///
/// # Errors
///
/// It cannot be reached in time.
pub(super) fn get(address: &str, path: &str) -> anyhow::Result<Answer> {
    ask(Method::GET, address, path)
}

/// What the control port at `address` answers to a POST to `path`.
///
/// # Errors
///
/// It cannot be reached in time.
pub(super) fn post(address: &str, path: &str) -> anyhow::Result<Answer> {
    ask(Method::POST, address, path)
}

#[expect(clippy::disallowed_methods, reason = "a command of one request has no wheel")]
fn ask(method: Method, address: &str, path: &str) -> anyhow::Result<Answer> {
    let token = std::env::var(TOKEN_VARIABLE).ok();
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
        let (status, body) = timeout(ANSWER_WAIT, exchange(stream, method, path, token.as_deref()))
            .await
            .with_context(|| format!("{address} takes longer than {ANSWER_WAIT:?} to answer"))?
            .with_context(|| format!("{address} does not answer as usher does"))?;
        Ok(Answer { address: address.to_owned(), status, body })
    })
}

#[expect(clippy::disallowed_methods, reason = "a command of one request has no wheel")]
async fn connect(address: &str) -> io::Result<TcpStream> {
    timeout(CONNECT_WAIT, TcpStream::connect(address)).await?
}

async fn exchange(
    stream: TcpStream,
    method: Method,
    path: &str,
    token: Option<&str>,
) -> anyhow::Result<(StatusCode, String)> {
    // The address, not the name that led to it: the control port answers under no name.
    let host = stream.peer_addr()?.to_string();
    let mut request = Request::builder().method(method).uri(path).header(HOST, host);
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

// === impl ControlPort ===

impl ControlPort {
    /// The address to ask; else what is wrong has been said, and this is the exit code.
    pub(super) fn find(&self) -> Result<String, u8> {
        match self.address() {
            Ok(Some(address)) => Ok(address),
            Ok(None) => {
                // The exit code says it too, should standard error be closed.
                let _ = writeln!(io::stderr(), "{CONTROL_OFF}");
                Err(FAILED)
            }
            Err(problems) => {
                let _ = writeln!(io::stderr(), "{problems}");
                Err(WRONG)
            }
        }
    }

    /// The address asked for, else the configuration's, else the usual one. None when the
    /// configuration has no control port.
    pub(super) fn address(&self) -> Result<Option<String>, Problems> {
        if let Some(address) = &self.control {
            return Ok(Some(address.clone()));
        }
        let path = self.config.as_deref().unwrap_or(Path::new(CONFIG));
        // Without a file one may have been started without one: `usher run --upstream`.
        if self.config.is_none() && !path.exists() {
            return Ok(Some(CONTROL.to_owned()));
        }
        let control = config::control_only(path, &LoadOptions::default())?;
        Ok(control.map(|address| address.to_string()))
    }
}

// === impl Answer ===

impl Answer {
    /// Its body when it is a 200, else what it says instead.
    pub(super) fn into_done(self) -> anyhow::Result<String> {
        if self.status == StatusCode::OK {
            return Ok(self.body);
        }
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let detail = problem["detail"].as_str().unwrap_or(&self.body);
        bail!("{} answers {}: {detail}", self.address, self.status)
    }
}
