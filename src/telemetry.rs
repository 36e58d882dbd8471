//! What usher says: its own log for those who run it, and the access log.
//!
//! The log goes to standard error as text, a line an event, in colour on a terminal. `USHER_LOG`
//! sets its level (`error`, `warn`, `info`, `debug`, `trace`, or directives such as
//! `info,usher::upstream=debug`); without it, `info`. Standard output is the access log's.

pub mod access_log;
mod aside;
mod trace_parent;

use std::io::IsTerminal;

use tracing_subscriber::{EnvFilter, filter::ParseError};

pub use access_log::{AccessLog, Line};
pub use aside::Aside;
pub use trace_parent::trace_id;

/// The variable that holds the log's level.
pub const LEVEL_VARIABLE: &str = "USHER_LOG";

/// What is logged when nothing else is asked for.
const LEVEL: &str = "info";

/// Sends the log of the whole process to standard error. To be called once, by `main`.
///
/// A level that makes no sense is said so and replaced by the default.
pub fn start() {
    let asked = std::env::var(LEVEL_VARIABLE).unwrap_or_default();
    let (filter, complaint) = filter(&asked);
    let started = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| aside::Sink)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .try_init();
    if started.is_err() {
        tracing::debug!("the log goes where it went before");
    }
    if let Some(error) = complaint {
        tracing::warn!(%error, "{LEVEL_VARIABLE} is no level; logging at {LEVEL}");
    }
}

fn filter(asked: &str) -> (EnvFilter, Option<ParseError>) {
    let asked = if asked.is_empty() { LEVEL } else { asked };
    match EnvFilter::try_new(asked) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(LEVEL), Some(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_that_makes_no_sense_is_replaced_and_said() {
        assert_eq!(filter("").0.to_string(), LEVEL);
        assert_eq!(filter("debug").0.to_string(), "debug");
        let (replaced, complaint) = filter("usher=loud");
        assert_eq!(replaced.to_string(), LEVEL);
        assert!(complaint.is_some());
    }
}
