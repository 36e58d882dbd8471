//! `usher dashboards`: dashboards for Grafana.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::Value;

use super::{DONE, FAILED};
use crate::dashboards::{Options, Subject};

/// Writes dashboards for Grafana.
///
/// They are the same for every configuration: Grafana reads audiences, pools and replicas from the
/// metrics. Budgets, burn rates and alerts on them come from the rules of `usher rules`.
#[derive(Clone, Debug, clap::Args)]
pub struct DashboardsArgs {
    /// Which one; without it all of them, as one array
    #[arg(value_enum)]
    pub dashboard: Option<Which>,
    /// Matchers for usher's series, such as `job="usher"`, where others' are stored as well.
    #[arg(long, value_name = "MATCHERS", default_value = "")]
    pub selector: String,
    /// A directory to write to instead of standard output, a file for each dashboard.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// A dashboard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Which {
    /// Whom usher serves, and what was promised to them.
    Audiences,
    /// Where requests go, and whether there is room.
    Pools,
    /// Usher itself.
    Usher,
}

/// Writes, and returns the exit code.
pub fn run(args: &DashboardsArgs) -> u8 {
    let options = Options { selector: args.selector.clone() };
    let asked: Vec<Subject> = match args.dashboard {
        Some(Which::Audiences) => vec![Subject::Audiences],
        Some(Which::Pools) => vec![Subject::Pools],
        Some(Which::Usher) => vec![Subject::Usher],
        None => Subject::ALL.to_vec(),
    };
    let written = match &args.out {
        Some(directory) => files(directory, &asked, &options),
        None => print(&asked, &options),
    };
    match written {
        Ok(()) => DONE,
        Err(error) => {
            // The exit code says it too, should standard error be closed.
            let _ = writeln!(io::stderr(), "usher: {error:#}");
            FAILED
        }
    }
}

fn files(directory: &Path, subjects: &[Subject], options: &Options) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("{} cannot be made", directory.display()))?;
    for subject in subjects {
        let path = directory.join(subject.file());
        fs::write(&path, text(&subject.dashboard(options)))
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(())
}

fn print(subjects: &[Subject], options: &Options) -> anyhow::Result<()> {
    let document = match subjects {
        [one] => one.dashboard(options),
        all => all.iter().map(|subject| subject.dashboard(options)).collect(),
    };
    io::stdout().write_all(text(&document).as_bytes()).context("standard output cannot be written")
}

fn text(document: &Value) -> String {
    format!("{document:#}\n")
}
