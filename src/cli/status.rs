//! `usher status`: how a running usher fares, on one screen.

mod client;

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{DONE, FAILED, Format, WRONG};
use crate::{
    config::{self, LoadOptions, Problems},
    control::{StatusView, screen::screen},
};

/// Where the control port is when nothing says otherwise.
const CONTROL: &str = "127.0.0.1:9900";

/// Where the configuration is when nothing says otherwise.
const CONFIG: &str = "config/usher.yaml";

/// What is said when there is nobody to ask.
const CONTROL_OFF: &str = "the configuration says `control: off`: usher cannot be asked; \
                           --control ADDR asks another one";

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
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Asks the running usher, writes its answer to standard output, and returns the exit code.
pub fn run(args: &StatusArgs) -> u8 {
    let address = match args.address() {
        Ok(Some(address)) => address,
        Ok(None) => {
            let _ = writeln!(std::io::stderr(), "{CONTROL_OFF}");
            return FAILED;
        }
        Err(problems) => {
            // The exit code says it too, should standard error be closed.
            let _ = writeln!(std::io::stderr(), "{problems}");
            return WRONG;
        }
    };
    match show(args.format, &address) {
        Ok(()) => DONE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            FAILED
        }
    }
}

fn show(format: Format, address: &str) -> anyhow::Result<()> {
    let token = std::env::var(TOKEN_VARIABLE).ok();
    let body = client::get(address, "/api/v1/status", token.as_deref())?;
    let text = match format {
        Format::Json => body + "\n",
        Format::Text => {
            let view: StatusView = serde_json::from_str(&body)
                .with_context(|| format!("what {address} answers is no status of usher"))?;
            screen(&view, width())
        }
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

// === impl StatusArgs ===

impl StatusArgs {
    /// The address asked for, else the configuration's, else the usual one. None when the
    /// configuration has no control port.
    fn address(&self) -> Result<Option<String>, Problems> {
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

// === free functions ===

fn width() -> usize {
    let asked = std::io::stdout().is_terminal().then(crossterm::terminal::size);
    asked.and_then(Result::ok).map_or(WIDTH, |(columns, _)| usize::from(columns))
}

#[cfg(test)]
mod tests;
