//! `usher rules`: Prometheus' rules for what was promised.

use std::{
    fs,
    io::{self, Write as _},
    path::PathBuf,
};

use super::{ConfigFile, DONE, FAILED, WRONG};
use crate::{
    config::{self, LoadOptions},
    slo::{
        Alerts, Promise,
        rules::{self, Alerting, Options},
    },
};

/// Writes rules for Prometheus: recordings and alerts for what was promised, and alerts about
/// usher itself.
///
/// Exits with 2 when the configuration is wrong.
#[derive(Clone, Debug, clap::Args)]
pub struct RulesArgs {
    /// Which configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// For whom.
    #[arg(long, value_enum, default_value_t)]
    pub format: Kind,
    /// How alerts are asked for: by how much of the budget is gone, or by ratios.
    #[arg(long, value_enum, default_value_t)]
    pub alerting: Form,
    /// Matchers for usher's series, such as `job="usher"`, where others' are stored as well.
    #[arg(long, value_name = "MATCHERS", default_value = "")]
    pub selector: String,
    /// Where the runbooks can be read; alerts link there.
    #[arg(long, value_name = "URL", default_value = "")]
    pub runbooks: String,
    /// A file to write to instead of standard output.
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// For whom rules are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// A file of rules for Prometheus.
    #[default]
    Prometheus,
    /// OpenSLO v1 documents.
    Openslo,
    /// Sloth's specifications.
    Sloth,
}

/// How alerts are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Form {
    /// By how much of the budget is gone: quiet at night.
    #[default]
    Count,
    /// By the ratio in each window, as in the SRE workbook.
    Classic,
}

/// Writes, and returns the exit code.
pub fn run(args: &RulesArgs) -> u8 {
    let options = LoadOptions {
        allow_missing_env: true,
        allow_missing_files: true,
        ..LoadOptions::default()
    };
    let config = match config::load(&args.file.config, &options) {
        Ok((config, _warnings)) => config,
        Err(problems) => {
            // The exit code says it too, should standard error be closed.
            let _ = writeln!(io::stderr(), "{problems}");
            return WRONG;
        }
    };
    let promises = config.promises();
    for word in words(&promises) {
        let _ = writeln!(io::stderr(), "{word}");
    }
    let text = text(&promises, args);
    let written = match &args.out {
        Some(path) => fs::write(path, text).map_err(|error| (path.display().to_string(), error)),
        None => io::stdout()
            .write_all(text.as_bytes())
            .map_err(|error| ("standard output".to_owned(), error)),
    };
    match written {
        Ok(()) => DONE,
        Err((place, error)) => {
            let _ = writeln!(io::stderr(), "usher: {place} cannot be written: {error}");
            FAILED
        }
    }
}

fn text(promises: &[Promise], args: &RulesArgs) -> String {
    let options = Options {
        alerting: match args.alerting {
            Form::Count => Alerting::Count,
            Form::Classic => Alerting::Classic,
        },
        selector: args.selector.clone(),
        runbooks: args.runbooks.clone(),
    };
    match args.format {
        Kind::Prometheus => rules::prometheus(promises, &options),
        Kind::Openslo => rules::openslo(promises, &options),
        Kind::Sloth => rules::sloth(promises, &options),
    }
}

/// What is not as one would expect.
fn words(promises: &[Promise]) -> Vec<String> {
    if promises.is_empty() {
        return vec!["usher: no objectives are configured".to_owned()];
    }
    let word = |promise: &Promise| {
        let Promise { audience, label, .. } = promise;
        Alerts::of(promise).word().map(|word| format!("usher: {audience} {label}: {word}"))
    };
    promises.iter().filter_map(word).collect()
}
