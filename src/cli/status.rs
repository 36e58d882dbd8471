//! `usher status`: how a running usher fares, on one screen.

use std::io::{IsTerminal, Write};

use anyhow::Context;

use super::{
    DONE, FAILED, Format,
    client::{ControlPort, Way},
};
use crate::control::{StatusView, screen::screen};

/// The width of a screen that is none.
const WIDTH: usize = 80;

/// What can be asked of `usher status`.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub port: ControlPort,
    /// For people, or for programs
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Asks the running usher, writes its answer to standard output, and returns the exit code.
pub fn run(args: &StatusArgs) -> u8 {
    let way = match args.port.find() {
        Ok(way) => way,
        Err(code) => return code,
    };
    match show(args.format, &way) {
        Ok(()) => DONE,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error:#}");
            FAILED
        }
    }
}

fn show(format: Format, way: &Way) -> anyhow::Result<()> {
    let body = way.get("/api/v1/status")?.into_done()?;
    let text = match format {
        Format::Json => body + "\n",
        Format::Text => {
            let view: StatusView = serde_json::from_str(&body)
                .with_context(|| format!("what {} answers is no status of usher", way.address))?;
            screen(&view, width())
        }
    };
    std::io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

// === free functions ===

fn width() -> usize {
    let asked = std::io::stdout().is_terminal().then(crossterm::terminal::size);
    asked.and_then(Result::ok).map_or(WIDTH, |(columns, _)| usize::from(columns))
}

#[cfg(test)]
mod tests;
