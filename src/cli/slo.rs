//! `usher slo`: how promises stand, and what counts for them.

mod explained;
mod shown;

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::Context;

use super::{
    DONE, FAILED, Format, WRONG,
    client::{CONFIG, ControlPort, Way},
};
use crate::{
    config::{self, LoadOptions},
    control::SloView,
};

/// Shows what is left of each error budget and how fast it goes.
///
/// Asks a running usher, which counts for itself alone. With --explain it asks nobody, and says
/// from the configuration what counts for which promise.
#[derive(Clone, Debug, clap::Args)]
pub struct SloArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub port: ControlPort,
    /// Say what counts, instead of what was counted.
    #[arg(long)]
    pub explain: bool,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Asks, writes the answer to standard output, and returns the exit code.
pub fn run(args: &SloArgs) -> u8 {
    if args.explain {
        return explain(args);
    }
    let way = match args.port.find() {
        Ok(way) => way,
        Err(code) => return code,
    };
    finish(show(args.format, &way))
}

fn show(format: Format, way: &Way) -> anyhow::Result<String> {
    let body = way.get("/api/v1/slo")?.into_done()?;
    Ok(match format {
        Format::Json => body + "\n",
        Format::Text => {
            let view: SloView = serde_json::from_str(&body).with_context(|| {
                format!("what {} answers is not what usher counts", way.address)
            })?;
            shown::text(&view)
        }
    })
}

fn explain(args: &SloArgs) -> u8 {
    let path = args.port.config.as_deref().unwrap_or(Path::new(CONFIG));
    let options = LoadOptions { allow_missing_env: true, ..LoadOptions::default() };
    match config::load(path, &options) {
        Ok((config, _warnings)) => finish(Ok(match args.format {
            Format::Text => explained::text(&config),
            Format::Json => format!("{:#}\n", explained::json(&config)),
        })),
        Err(problems) => {
            // The exit code says it too, should standard error be closed.
            let _ = writeln!(io::stderr(), "{problems}");
            WRONG
        }
    }
}

fn finish(text: anyhow::Result<String>) -> u8 {
    let written = text.and_then(|text| {
        io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
    });
    match written {
        Ok(()) => DONE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            FAILED
        }
    }
}
