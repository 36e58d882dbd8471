//! `usher diff`: what would change from one configuration to another. It needs no running usher.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{DONE, FAILED, Format, WRONG};
use crate::config::{self, Config, Fixed, LoadOptions};

/// Says what would change from one configuration to another.
#[derive(Clone, Debug, clap::Args)]
pub struct DiffArgs {
    /// The configuration in use.
    #[arg(value_name = "OLD")]
    pub old: PathBuf,
    /// The one to come.
    #[arg(value_name = "NEW")]
    pub new: PathBuf,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Compares, and returns the exit code: 0 whether or not anything changes, 2 when one of the two is
/// wrong.
pub fn run(args: &DiffArgs) -> u8 {
    let (Some(old), Some(new)) = (load(&args.old), load(&args.new)) else { return WRONG };
    let changes = config::changes(&old, &new, &Fixed::of(&old));
    let written = match args.format {
        Format::Text => write!(io::stdout(), "{changes}"),
        Format::Json => {
            let json = json!({ "changes": changes.applied, "at_restart": changes.at_restart });
            writeln!(io::stdout(), "{json:#}")
        }
    };
    if written.is_ok() { DONE } else { FAILED }
}

fn load(path: &Path) -> Option<Config> {
    match config::load(path, &LoadOptions::default()) {
        Ok((config, _warnings)) => Some(config),
        Err(problems) => {
            // The exit code says it too, should standard error be closed.
            let _ = writeln!(io::stderr(), "{problems}");
            None
        }
    }
}
