//! `usher check`: everything that is wrong with a configuration, at once.

use std::{
    collections::BTreeSet,
    io::{self, Write},
    sync::Arc,
    time::Duration,
};

use tokio::task::JoinSet;

use super::{ConfigFile, DONE, FAILED, Format, WRONG};
use crate::{
    config::{self, AddressSpec, Config, LoadOptions, Problems},
    discover::{Directory, Question},
};

/// How long name servers are waited for.
const NAMES_WAIT: Duration = Duration::from_secs(2);

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
        ask_names: Some(ask_names),
        ..LoadOptions::default()
    };
    let (problems, notes) = match config::inspect(&args.file.config, &options).result {
        Ok((config, warnings)) => (Problems::new(warnings), not_looked_at(&config)),
        Err(problems) => (problems, Vec::new()),
    };
    match write(&problems, &notes, args) {
        Ok(()) if problems.errors() > 0 => WRONG,
        Ok(()) if args.strict && problems.warnings() > 0 => WRONG,
        Ok(()) => DONE,
        Err(_) => FAILED,
    }
}

/// What the names of endpoints stand for here and now. A machine that builds may not reach them,
/// which is no problem of the configuration.
#[expect(clippy::disallowed_methods, reason = "a command has no wheel")]
fn ask_names(config: &Config) -> Vec<(AddressSpec, String, &'static str)> {
    let specs = config.pools.iter().flat_map(|pool| &pool.endpoints).map(|it| it.address.clone());
    let asked: Vec<_> = specs.filter(|spec| matches!(spec, AddressSpec::Dns(_))).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Some(runtime) = runtime.ok().filter(|_| !asked.is_empty()) else { return Vec::new() };
    let directory = Arc::new(Directory::default());
    directory.configure(&config.resolver);
    let questions: BTreeSet<_> = asked.iter().filter_map(Question::of).collect();
    runtime.block_on(async {
        let mut look_ups = JoinSet::new();
        for question in questions {
            let directory = directory.clone();
            look_ups.spawn(async move { directory.look_up(&question).await });
        }
        let all = async { while look_ups.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(NAMES_WAIT, all).await;
    });
    let odd = |spec: AddressSpec| {
        let (oddity, hint) = directory.report(&Question::of(&spec)?).oddity()?;
        Some((spec, oddity, hint))
    };
    asked.into_iter().filter_map(odd).collect()
}

/// What is not part of the file, and was therefore not looked at. No warning: nothing is wrong.
fn not_looked_at(config: &Config) -> Vec<String> {
    let sources = config.identity.iter().flat_map(|identities| identities.sources());
    let urls: BTreeSet<String> =
        sources.flat_map(|source| source.publishers().map(|it| it.shown())).collect();
    let note = |url| format!("note: the keys at {url} were not fetched: a running usher does that");
    urls.into_iter().map(note).collect()
}

fn write(problems: &Problems, notes: &[String], args: &CheckArgs) -> io::Result<()> {
    for note in notes {
        writeln!(io::stderr(), "{}: {note}", args.file.config.display())?;
    }
    match args.format {
        Format::Text if problems.as_slice().is_empty() => {
            writeln!(io::stderr(), "{}: {problems}", args.file.config.display())
        }
        Format::Text => writeln!(io::stderr(), "{problems}"),
        Format::Json => writeln!(io::stdout(), "{:#}", problems.to_json()),
    }
}
