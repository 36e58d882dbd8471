//! `usher status`: how a running usher fares, on one screen.

mod client;

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;

use crate::control::{StatusView, screen::screen};

/// Where the control port is when nothing says otherwise.
const CONTROL: &str = "127.0.0.1:9900";

/// Where the configuration is when nothing says otherwise.
const CONFIG: &str = "config/usher.yaml";

/// The variable with the token that the control port may ask for.
const TOKEN_VARIABLE: &str = "USHER_TOKEN";

/// The width of a screen that is none.
const WIDTH: usize = 80;

/// What can be asked of `usher status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// Address of the control port; without it, the one in the configuration
    #[arg(long, value_name = "ADDR", env = "USHER_CONTROL")]
    pub control: Option<String>,
    /// Configuration that says where the control port is
    #[arg(long, value_name = "FILE", env = "USHER_CONFIG")]
    pub config: Option<PathBuf>,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t = Format::Text)]
    pub format: Format,
}

/// How the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One screen.
    Text,
    /// What the control port said.
    Json,
}

/// Asks the running usher and writes its answer to standard output.
///
/// `control_of` reads only `control` from a configuration: none when it does not say, and an
/// error when there is no control port or no file.
///
/// # Errors
///
/// usher cannot be reached, refuses, or answers what is no status.
pub fn run(
    args: &StatusArgs,
    control_of: impl FnOnce(&Path) -> anyhow::Result<Option<SocketAddr>>,
) -> anyhow::Result<ExitCode> {
    let address = args.address(control_of)?;
    let token = std::env::var(TOKEN_VARIABLE).ok();
    let body = client::get(&address, "/api/v1/status", token.as_deref())?;
    let text = match args.format {
        Format::Json => body + "\n",
        Format::Text => {
            let view: StatusView = serde_json::from_str(&body)
                .with_context(|| format!("what {address} answers is no status of usher"))?;
            screen(&view, width())
        }
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

// === impl StatusArgs ===

impl StatusArgs {
    /// The address asked for, else the configuration's, else the usual one.
    fn address(
        &self,
        control_of: impl FnOnce(&Path) -> anyhow::Result<Option<SocketAddr>>,
    ) -> anyhow::Result<String> {
        if let Some(address) = &self.control {
            return Ok(address.clone());
        }
        let path = self.config.as_deref().unwrap_or(Path::new(CONFIG));
        // Without a file one may have been started without one: `usher run --upstream`.
        if self.config.is_none() && !path.exists() {
            return Ok(CONTROL.to_owned());
        }
        Ok(control_of(path)?.map_or(CONTROL.to_owned(), |address| address.to_string()))
    }
}

// === free functions ===

fn width() -> usize {
    let asked = std::io::stdout().is_terminal().then(crossterm::terminal::size);
    asked.and_then(Result::ok).map_or(WIDTH, |(columns, _)| usize::from(columns))
}

#[cfg(test)]
mod tests;
