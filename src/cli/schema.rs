//! `usher schema`: what a configuration may say, for editors and for people.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use super::{DONE, FAILED};
use crate::config;

/// A complete configuration with every key, its default and what it means.
pub const EXAMPLE: &str = include_str!("../../config/usher.yaml");

/// Writes the JSON Schema of the configuration, or a complete annotated file.
#[derive(Clone, Debug, clap::Args)]
pub struct SchemaArgs {
    /// A complete annotated configuration instead of the schema.
    #[arg(long)]
    pub example: bool,
    /// A file to write to instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The JSON Schema as it stands in `config/usher.schema.json`.
pub fn schema_text() -> String {
    format!("{:#}\n", config::json_schema())
}

/// Writes, and returns the exit code.
pub fn run(args: &SchemaArgs) -> u8 {
    let text = if args.example { EXAMPLE.to_owned() } else { schema_text() };
    let written = match &args.out {
        Some(path) => fs::write(path, text).map_err(|error| (path.display().to_string(), error)),
        None => io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| ("standard output".to_owned(), error)),
    };
    match written {
        Ok(()) => DONE,
        Err((place, error)) => {
            // Where standard error is closed as well, the exit code is all that is left to say it.
            let _ = writeln!(io::stderr(), "usher: {place} cannot be written: {error}");
            FAILED
        }
    }
}
