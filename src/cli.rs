//! Commands that need no running usher, and those that speak to one.
//!
//! Each has its arguments, and a `run` that returns the exit code. Errors and notes go to standard
//! error.

pub mod check;
mod client;
pub mod curl;
pub mod dashboards;
pub mod demo;
pub mod explain;
pub mod gate;
mod live;
pub mod diff;
pub mod reload;
pub mod run;
pub mod rules;
pub mod schema;
pub mod slo;
pub mod status;
pub mod upgrade;
pub mod verbs;
pub mod versions;
pub mod why;

use std::path::PathBuf;

/// It did what was asked.
pub const DONE: u8 = 0;
/// It ran and failed.
pub const FAILED: u8 = 1;
/// The configuration or the command line is wrong.
pub const WRONG: u8 = 2;

/// For whom a command writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub struct ConfigFile {
    /// The configuration.
    #[arg(long, value_name = "FILE", env = "USHER_CONFIG", default_value = "config/usher.yaml")]
    pub config: PathBuf,
}
