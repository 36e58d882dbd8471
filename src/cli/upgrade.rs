//! `usher upgrade`: a running usher hands over to the binary that lies where it came from.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::Context;
use hyper::StatusCode;

use super::{
    DONE, FAILED, Format,
    client::{Answer, ControlPort, Reason},
};
use crate::{
    control::{UpgradeOrder, UpgradeView},
    units,
};

/// What it takes beside the wait for the new process, to end one that is not ready for example.
const SLACK: Duration = Duration::from_secs(15);

/// Has a running usher start the binary that lies where it came from, and hand over to it without a
/// gap.
///
/// Exits with 0 when the new one serves, and with 1 when the old one goes on, and says why.
#[derive(Clone, Debug, clap::Args)]
pub struct UpgradeArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub port: ControlPort,
    /// How long the new process may take to be ready, from 1s to 300s
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = wait)]
    pub wait: Duration,
    /// Why.
    #[command(flatten)]
    pub reason: Reason,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Asks, writes what came of it, and returns the exit code.
pub fn run(args: &UpgradeArgs) -> u8 {
    let way = match args.port.find() {
        Ok(way) => way,
        Err(code) => return code,
    };
    let why = args.reason.why();
    let order = UpgradeOrder {
        operator: why.operator,
        reason: why.reason,
        wait_seconds: Some(args.wait.as_secs()),
    };
    let asked = way.post_and_wait("/api/v1/upgrade", &order, args.wait + SLACK);
    asked.and_then(|answer| show(args, answer)).unwrap_or_else(|error| {
        // The exit code says it too, should standard error be closed.
        let _ = writeln!(io::stderr(), "{error:#}");
        FAILED
    })
}

fn show(args: &UpgradeArgs, answer: Answer) -> anyhow::Result<u8> {
    let refused = answer.status == StatusCode::UNPROCESSABLE_ENTITY;
    let body = if refused { answer.body } else { answer.into_done()? };
    let view: UpgradeView =
        serde_json::from_str(&body).context("what it answers is not what an upgrade answers")?;
    match args.format {
        Format::Json => writeln!(io::stdout(), "{body}")?,
        Format::Text if refused => writeln!(io::stderr(), "{}", refusal(&view))?,
        Format::Text => io::stdout().write_all(text(&view).as_bytes())?,
    }
    Ok(if refused { FAILED } else { DONE })
}

fn refusal(view: &UpgradeView) -> String {
    let problem = view.problem.as_deref().unwrap_or("for a reason that it does not say");
    format!("not upgraded: {problem}\nusher {} goes on", view.from)
}

fn text(view: &UpgradeView) -> String {
    let to = view.to.as_deref().unwrap_or("?");
    let pid = view.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
    format!("usher {to}{pid} serves; usher {} finishes what it has begun\n", view.from)
}

fn wait(text: &str) -> Result<Duration, String> {
    let wait = units::parse_duration(text).map_err(|error| error.to_string())?;
    let possible = Duration::from_secs(1)..=Duration::from_secs(300);
    if possible.contains(&wait) { Ok(wait) } else { Err("from 1s to 300s".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_says_who_serves_now() {
        let mut view = UpgradeView {
            result: "upgraded".into(),
            from: "0.1.0".into(),
            to: Some("0.2.0".into()),
            pid: Some(7),
            problem: None,
        };
        let done = "usher 0.2.0 (process 7) serves; usher 0.1.0 finishes what it has begun\n";
        assert_eq!(text(&view), done);
        view.problem = Some("usher is stopping".into());
        assert_eq!(refusal(&view), "not upgraded: usher is stopping\nusher 0.1.0 goes on");
    }

    #[test]
    fn the_wait_has_bounds() {
        assert_eq!(wait("90s"), Ok(Duration::from_secs(90)));
        assert!(wait("0s").is_err() && wait("6m").is_err() && wait("7").is_err());
    }
}
