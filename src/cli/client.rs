//! Speaking to a running usher: where its control port is, and one request to it.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, anyhow, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, StatusCode,
    client::conn::http1,
    header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{FAILED, WRONG};
use crate::{
    config::{self, LoadOptions, Problems, secret},
    control::Why,
};

/// Where the control port is when nothing says otherwise.
pub(super) const CONTROL: &str = "127.0.0.1:9900";

/// Where the configuration is when nothing says otherwise.
pub(super) const CONFIG: &str = "config/usher.yaml";

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
    /// Address of the control port, or `unix:PATH`; without it, the one in the configuration
    #[arg(long, value_name = "ADDR", env = "USHER_CONTROL")]
    pub control: Option<String>,
    /// Configuration that says where the control port is
    #[arg(long, value_name = "FILE", env = "USHER_CONFIG")]
    pub config: Option<PathBuf>,
    /// File with the token to show; without it, what `$USHER_TOKEN` holds
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Why something is asked of a running usher.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Reason {
    /// Why: it stands in the audit and in the status
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// The way to a running usher: its address, and the token to show there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) address: String,
    token: Option<String>,
}

/// What a control port answered.
#[derive(Debug)]
pub(super) struct Answer {
    address: String,
    pub(super) status: StatusCode,
    pub(super) body: String,
}

// === impl Way ===

impl Way {
    /// What the control port answers to a GET of `path`.
    ///
    /// # Errors
    ///
    /// It cannot be reached in time.
    pub(super) fn get(&self, path: &str) -> anyhow::Result<Answer> {
        self.ask(Method::GET, path, Bytes::new(), ANSWER_WAIT)
    }

    /// What the control port answers to a POST of `order` to `path`.
    ///
    /// # Errors
    ///
    /// It cannot be reached in time.
    pub(super) fn post(&self, path: &str, order: &impl Serialize) -> anyhow::Result<Answer> {
        self.post_and_wait(path, order, ANSWER_WAIT)
    }

    /// As [`Way::post`], for what may take as long as `wait`.
    ///
    /// # Errors
    ///
    /// It cannot be reached in time.
    pub(super) fn post_and_wait(
        &self,
        path: &str,
        order: &impl Serialize,
        wait: Duration,
    ) -> anyhow::Result<Answer> {
        self.ask(Method::POST, path, serde_json::to_vec(order)?.into(), wait)
    }

    fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        wait: Duration,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        ask(&self.address, request.body(Full::new(body))?, wait)
    }
}

// === impl Reason ===

impl Reason {
    /// What stands in the audit beside the token's name: who says to ask, and why.
    pub(super) fn why(&self) -> Why {
        let user =
            ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|it| std::env::var(it).ok());
        let operator = user.filter(|user| !user.is_empty());
        Why { operator, reason: self.reason.clone() }
    }
}

// === free functions ===

#[expect(clippy::disallowed_methods, reason = "a command of one request has no wheel")]
fn ask(address: &str, request: Request<Full<Bytes>>, wait: Duration) -> anyhow::Result<Answer> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start a runtime")?;
    runtime.block_on(async {
        let unreachable = |error: io::Error| {
            anyhow!(
                "cannot connect to {address}: {error}; is usher running? \
                 --control ADDR says where it listens"
            )
        };
        let answered = match address.strip_prefix("unix:") {
            Some(path) => {
                let stream = within(UnixStream::connect(path)).await.map_err(unreachable)?;
                timeout(wait, exchange(stream, "localhost", request)).await
            }
            None => {
                let stream = within(TcpStream::connect(address)).await.map_err(unreachable)?;
                // The address, not the name that led to it: it answers under no name.
                let host = stream.peer_addr().map_err(unreachable)?.to_string();
                timeout(wait, exchange(stream, &host, request)).await
            }
        };
        let (status, body) = answered
            .with_context(|| format!("{address} takes longer than {wait:?} to answer"))?
            .with_context(|| format!("{address} does not answer as usher does"))?;
        Ok(Answer { address: address.to_owned(), status, body })
    })
}

#[expect(clippy::disallowed_methods, reason = "a command of one request has no wheel")]
async fn within<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    timeout(CONNECT_WAIT, connecting).await?
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    host: &str,
    mut request: Request<Full<Bytes>>,
) -> anyhow::Result<(StatusCode, String)> {
    request.headers_mut().insert(HOST, host.parse()?);
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
    /// Where to ask and what to show; else what is wrong has been said, and this is the exit code.
    pub(super) fn find(&self) -> Result<Way, u8> {
        let token = self.token().map_err(|complaint| {
            let _ = writeln!(io::stderr(), "{complaint}");
            WRONG
        })?;
        match self.address() {
            Ok(Some(address)) => Ok(Way { address, token }),
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

    /// The token in the file that was named, else in the environment.
    fn token(&self) -> Result<Option<String>, String> {
        let Some(path) = &self.token_file else {
            let token = std::env::var(TOKEN_VARIABLE).ok();
            let token = token.map(|token| token.trim().to_owned()).filter(|it| !it.is_empty());
            return match token {
                Some(token) if HeaderValue::from_str(&token).is_err() => {
                    Err(format!("${TOKEN_VARIABLE} holds no token: it cannot be sent"))
                }
                token => Ok(token),
            };
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        let tokens = secret::tokens(&text)
            .map_err(|error| format!("{} holds no token: {error}", path.display()))?;
        // The newest stands below the older ones.
        Ok(tokens.last().map(|token| (*token).to_owned()))
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
    /// What it says instead of what was asked for.
    pub(super) fn detail(&self) -> String {
        let problem: Value = serde_json::from_str(&self.body).unwrap_or_default();
        problem["detail"].as_str().unwrap_or(&self.body).to_owned()
    }

    /// Its body when it is a 200, else what it says instead.
    pub(super) fn into_done(self) -> anyhow::Result<String> {
        if self.status == StatusCode::OK {
            return Ok(self.body);
        }
        bail!("{} answers {}: {}", self.address, self.status, self.detail())
    }
}
