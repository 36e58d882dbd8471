//! `usher gate`: whether to ship, for pipelines.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use anyhow::Context;
use clap::{Subcommand, ValueEnum};

use super::{
    DONE, FAILED, Format,
    client::{ControlPort, Reason, Way},
};
use crate::{
    control::{AnnotationOrder, EndOrder, GateView, OverrideOrder},
    slo::Verdict,
    units,
};

/// The gate holds.
pub const HOLD: u8 = 3;
/// It is not known.
pub const UNKNOWN: u8 = 4;

/// Says whether to ship: exits with 0 to go, 3 to hold, 4 when it is not known.
///
/// Green and yellow go, red goes for hotfixes only, frozen holds. The worst of the audiences
/// decides. What is not known (no answer, no event, a silent Prometheus) is never green.
#[derive(Clone, Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct GateArgs {
    /// What to tell the gate instead of asking it.
    #[command(subcommand)]
    pub order: Option<GateCommand>,
    /// Whom to ask.
    #[command(flatten)]
    pub port: ControlPort,
    /// Only this audience; may be given more than once.
    #[arg(long, value_name = "NAME")]
    pub audience: Vec<String>,
    /// What is to be shipped.
    #[arg(long, value_enum, default_value_t)]
    pub class: Class,
    /// What to do when it is not known, instead of exiting with 4.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub unknown: Option<Otherwise>,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// What is to be shipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Class {
    /// Any change.
    #[default]
    Normal,
    /// One that mends what spends the budget.
    Hotfix,
}

/// What to do when it is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Otherwise {
    /// Exit with 3.
    Hold,
    /// Exit with 0.
    Go,
}

/// What the gate can be told.
#[derive(Clone, Debug, Subcommand)]
pub enum GateCommand {
    /// Decide otherwise for a while
    Override(OverrideArgs),
    /// End an override
    End(EndArgs),
    /// Write down what happened elsewhere; it changes no number
    Annotate(AnnotateArgs),
}

/// Decide otherwise for a while.
#[derive(Clone, Debug, clap::Args)]
pub struct OverrideArgs {
    /// Whom to tell.
    #[command(flatten)]
    pub port: ControlPort,
    /// What holds meanwhile: `go` or `hold`.
    #[arg(value_enum)]
    pub verdict: Otherwise,
    /// For how long: `2h`, at most 7d.
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub lasts: Duration,
    /// For this audience only.
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// Why; required.
    #[command(flatten)]
    pub reason: Reason,
}

/// End an override.
#[derive(Clone, Debug, clap::Args)]
pub struct EndArgs {
    /// Whom to tell.
    #[command(flatten)]
    pub port: ControlPort,
    /// The one for this audience; else the one for all.
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// Why.
    #[command(flatten)]
    pub reason: Reason,
}

/// Write down what happened elsewhere.
#[derive(Clone, Debug, clap::Args)]
pub struct AnnotateArgs {
    /// Whom to tell.
    #[command(flatten)]
    pub port: ControlPort,
    /// From when: `2026-11-24T14:00:00Z`.
    #[arg(long, value_name = "TIME")]
    pub from: String,
    /// Until when.
    #[arg(long, value_name = "TIME")]
    pub until: String,
    /// To this audience only.
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// What happened; required.
    #[command(flatten)]
    pub reason: Reason,
}

/// Asks or tells, writes what it is answered, and returns the exit code.
pub fn run(args: &GateArgs) -> u8 {
    let port = match &args.order {
        None => &args.port,
        Some(GateCommand::Override(it)) => &it.port,
        Some(GateCommand::End(it)) => &it.port,
        Some(GateCommand::Annotate(it)) => &it.port,
    };
    let way = match port.find() {
        Ok(way) => way,
        Err(code) => return code,
    };
    let done = match &args.order {
        None => return ask(args, &way),
        Some(order) => tell(order, &way),
    };
    match done {
        Ok(text) => {
            let written = io::stdout().write_all(text.as_bytes());
            if written.is_ok() { DONE } else { FAILED }
        }
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            FAILED
        }
    }
}

fn ask(args: &GateArgs, way: &Way) -> u8 {
    let (text, verdict) = match asked(args, way) {
        Ok((view, body)) => {
            let verdict = Verdict::parse(&view.verdict).unwrap_or(Verdict::Unknown);
            let text = match args.format {
                Format::Json => body + "\n",
                Format::Text => text(&view),
            };
            (text, verdict)
        }
        // No answer is no reason to ship.
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            (String::new(), Verdict::Unknown)
        }
    };
    // The exit code says it too, should standard output be closed.
    let _ = io::stdout().write_all(text.as_bytes());
    match (verdict, args.unknown) {
        (Verdict::Go, _) | (Verdict::Unknown, Some(Otherwise::Go)) => DONE,
        (Verdict::Hold, _) | (Verdict::Unknown, Some(Otherwise::Hold)) => HOLD,
        (Verdict::Unknown, None) => UNKNOWN,
    }
}

fn asked(args: &GateArgs, way: &Way) -> anyhow::Result<(GateView, String)> {
    let class = match args.class {
        Class::Normal => "normal",
        Class::Hotfix => "hotfix",
    };
    let audiences = args.audience.join(",");
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("class", class)
        .append_pair("audience", &audiences)
        .finish();
    let body = way.get(&format!("/api/v1/gate?{query}"))?.into_done()?;
    let view = serde_json::from_str(&body).context("what it answers is no verdict")?;
    Ok((view, body))
}

fn tell(order: &GateCommand, way: &Way) -> anyhow::Result<String> {
    let answer = match order {
        GateCommand::Override(args) => {
            let why = args.reason.why();
            let verdict = match args.verdict {
                Otherwise::Go => "go",
                Otherwise::Hold => "hold",
            };
            let order = OverrideOrder {
                verdict: verdict.to_owned(),
                audience: args.audience.clone(),
                for_seconds: args.lasts.as_secs(),
                operator: why.operator,
                reason: why.reason,
            };
            way.post("/api/v1/gate/override", &order)
        }
        GateCommand::End(args) => {
            let why = args.reason.why();
            let audience = args.audience.clone();
            let order = EndOrder { audience, operator: why.operator, reason: why.reason };
            way.post("/api/v1/gate/end", &order)
        }
        GateCommand::Annotate(args) => {
            let why = args.reason.why();
            let order = AnnotationOrder {
                from: args.from.clone(),
                until: args.until.clone(),
                audience: args.audience.clone(),
                operator: why.operator,
                reason: why.reason,
            };
            way.post("/api/v1/gate/annotate", &order)
        }
    };
    let body = answer?.into_done()?;
    let view: GateView = serde_json::from_str(&body).context("what it answers is no verdict")?;
    Ok(text(&view))
}

/// The verdict on one line, and below it why.
fn text(view: &GateView) -> String {
    let state = view.state.as_deref().map_or(String::new(), |state| format!(" ({state})"));
    let mut text = format!("{}{state}\n", view.verdict);
    for reason in &view.reasons {
        text += &format!("  {reason}\n");
    }
    text
}

fn duration(text: &str) -> Result<Duration, String> {
    units::parse_duration(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_stands_on_the_first_line_and_why_below_it() {
        let view = GateView {
            verdict: "hold".into(),
            state: Some("red".into()),
            reasons: vec!["driver is red".into()],
            ..GateView::default()
        };
        assert_eq!(text(&view), "hold (red)\n  driver is red\n");
        let unknown = GateView { verdict: "unknown".into(), ..GateView::default() };
        assert_eq!(text(&unknown), "unknown\n");
    }
}
