//! `usher check`: everything that is wrong with a configuration, at once.

use std::io::{self, Write};

use super::{ConfigFile, DONE, FAILED, Format, WRONG};
use crate::config::{self, LoadOptions, Problems};

/// Validates and lints a configuration.
///
/// Exits with 2 when there is an error, or with `--strict` a warning.
#[derive(Clone, Debug, clap::Args)]
pub struct CheckArgs {
    /// Which one.
    #[command(flatten)]
    pub file: ConfigFile,
    /// Take warnings for errors.
    #[arg(long)]
    pub strict: bool,
    /// What may be missing here, as on a build machine: `env`, `files` or `env,files`.
    #[arg(long, value_name = "WHAT", value_delimiter = ',')]
    pub allow_missing: Vec<Missing>,
    /// Text, or one JSON object on standard output.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Missing {
    /// Environment variables.
    Env,
    /// Files and directories.
    Files,
}

/// Checks, and returns the exit code. Problems go to standard error as text, and to standard output
/// as JSON.
pub fn run(args: &CheckArgs) -> u8 {
    let options = LoadOptions {
        allow_missing_env: args.allow_missing.contains(&Missing::Env),
        allow_missing_files: args.allow_missing.contains(&Missing::Files),
        ..LoadOptions::default()
    };
    let problems = config::check(&args.file.config, &options);
    match write(&problems, args) {
        Ok(()) if problems.errors() > 0 => WRONG,
        Ok(()) if args.strict && problems.warnings() > 0 => WRONG,
        Ok(()) => DONE,
        Err(_) => FAILED,
    }
}

fn write(problems: &Problems, args: &CheckArgs) -> io::Result<()> {
    match args.format {
        Format::Text if problems.as_slice().is_empty() => {
            writeln!(io::stderr(), "{}: {problems}", args.file.config.display())
        }
        Format::Text => writeln!(io::stderr(), "{problems}"),
        Format::Json => writeln!(io::stdout(), "{:#}", problems.to_json()),
    }
}
