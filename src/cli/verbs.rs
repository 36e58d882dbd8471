//! `usher pause`, `resume`, `maintenance`, `drain`, `undrain`: what operators tell a running usher.

use std::io::{self, Write};

use anyhow::{Context, anyhow};
use hyper::StatusCode;

use super::{
    DONE, FAILED, Format, WRONG,
    client::{Answer, ControlPort, Reason},
};
use crate::control::{Asked, OrderBody, OrderedView, screen::age};

/// What every one of them can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// Whom to tell.
    #[command(flatten)]
    pub port: ControlPort,
    /// Why.
    #[command(flatten)]
    pub reason: Reason,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Has the requests of an audience or a pool wait.
///
/// They wait in order, hold no slot, and go on when it is resumed. Beyond `--requests`, or after
/// `--wait`, a request is answered 503 `paused` with `Retry-After`.
#[derive(Clone, Debug, clap::Args)]
pub struct PauseArgs {
    /// An audience (`customer`, `audience:customer`) or a pool (`pool:web`).
    #[arg(value_name = "AUDIENCE|POOL")]
    pub target: String,
    /// For how long (`10m`); without it, until it is resumed.
    #[arg(long = "for", value_name = "DURATION")]
    pub length: Option<String>,
    /// How long a request may wait [default: 30s].
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
    /// How many requests may wait [default: 1000].
    #[arg(long, value_name = "NUMBER")]
    pub requests: Option<u32>,
    /// What every verb can be told.
    #[command(flatten)]
    pub common: Common,
}

/// Answers the requests of an audience or a pool with 503 `maintenance`: a page, or JSON.
#[derive(Clone, Debug, clap::Args)]
pub struct MaintenanceArgs {
    /// An audience (`customer`, `audience:customer`) or a pool (`pool:web`).
    #[arg(value_name = "AUDIENCE|POOL")]
    pub target: String,
    /// For how long (`1h`); without it, until it is resumed.
    #[arg(long = "for", value_name = "DURATION")]
    pub length: Option<String>,
    /// Networks whose requests pass (`10.0.0.0/8`), separated by commas or said several times.
    #[arg(long, value_name = "NETWORK", value_delimiter = ',')]
    pub allow: Vec<String>,
    /// A user whose requests pass, by the id that a source of `identity:` proves; may be repeated.
    #[arg(long = "allow-user", value_name = "ID")]
    pub allow_users: Vec<String>,
    /// What every verb can be told.
    #[command(flatten)]
    pub common: Common,
}

/// Ends a pause and maintenance of an audience or a pool.
#[derive(Clone, Debug, clap::Args)]
pub struct ResumeArgs {
    /// An audience (`customer`, `audience:customer`) or a pool (`pool:web`).
    #[arg(value_name = "AUDIENCE|POOL")]
    pub target: String,
    /// What every verb can be told.
    #[command(flatten)]
    pub common: Common,
}

/// Gives an endpoint no new requests; those in flight finish, and its connections close.
#[derive(Clone, Debug, clap::Args)]
pub struct DrainArgs {
    /// Its address as `usher status` shows it, or as it stands in the configuration.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// For how long (`10m`); without it, until it is undrained.
    #[arg(long = "for", value_name = "DURATION")]
    pub length: Option<String>,
    /// Even if a pool has no other endpoint that takes requests.
    #[arg(long)]
    pub last: bool,
    /// What every verb can be told.
    #[command(flatten)]
    pub common: Common,
}

/// Gives an endpoint requests again.
#[derive(Clone, Debug, clap::Args)]
pub struct UndrainArgs {
    /// Its address as `usher status` shows it, or as it stands in the configuration.
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    /// What every verb can be told.
    #[command(flatten)]
    pub common: Common,
}

/// Pauses, and returns the exit code.
pub fn pause(args: &PauseArgs) -> u8 {
    let PauseArgs { target, length, wait, requests, common } = args.clone();
    let order = OrderBody { target, length, wait, requests, ..OrderBody::default() };
    tell(Asked::Pause, order, &common)
}

/// Begins maintenance, and returns the exit code.
pub fn maintenance(args: &MaintenanceArgs) -> u8 {
    let MaintenanceArgs { target, length, allow, allow_users, common } = args.clone();
    let order = OrderBody { target, length, allow, allow_users, ..OrderBody::default() };
    tell(Asked::Maintenance, order, &common)
}

/// Resumes, and returns the exit code.
pub fn resume(args: &ResumeArgs) -> u8 {
    let ResumeArgs { target, common } = args.clone();
    tell(Asked::Resume, OrderBody { target, ..OrderBody::default() }, &common)
}

/// Drains, and returns the exit code.
pub fn drain(args: &DrainArgs) -> u8 {
    let DrainArgs { endpoint: target, length, last, common } = args.clone();
    tell(Asked::Drain, OrderBody { target, length, last, ..OrderBody::default() }, &common)
}

/// Undrains, and returns the exit code.
pub fn undrain(args: &UndrainArgs) -> u8 {
    let UndrainArgs { endpoint: target, common } = args.clone();
    tell(Asked::Undrain, OrderBody { target, ..OrderBody::default() }, &common)
}

/// Gives the order, writes what came of it, and returns the exit code: 1 when it was refused, 2
/// when it makes no sense.
fn tell(asked: Asked, order: OrderBody, common: &Common) -> u8 {
    let way = match common.port.find() {
        Ok(way) => way,
        Err(code) => return code,
    };
    let why = common.reason.why();
    let order = OrderBody { operator: why.operator, reason: why.reason, ..order };
    let answer = way.post(&format!("/api/v1/{}", asked.name()), &order);
    let told = answer.and_then(|answer| show(common.format, &order.target, answer));
    told.unwrap_or_else(|error| {
        // The exit code says it too, should standard error be closed.
        let _ = writeln!(io::stderr(), "{error:#}");
        FAILED
    })
}

fn show(format: Format, target: &str, answer: Answer) -> anyhow::Result<u8> {
    match answer.status {
        StatusCode::OK => {}
        StatusCode::BAD_REQUEST => {
            writeln!(io::stderr(), "{}", answer.detail())?;
            return Ok(WRONG);
        }
        StatusCode::NOT_FOUND | StatusCode::CONFLICT => return Err(anyhow!("{}", answer.detail())),
        _ => {}
    }
    let body = answer.into_done()?;
    let text = match format {
        Format::Json => body + "\n",
        Format::Text => {
            let view: OrderedView = serde_json::from_str(&body)
                .context("what it answers is not what an order is answered")?;
            text(target, &view)
        }
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
    Ok(DONE)
}

fn text(target: &str, view: &OrderedView) -> String {
    let mut lines: Vec<String> = view.after.iter().map(|verb| verb.line(age)).collect();
    if view.after.is_empty() {
        let nothing = view.before.is_empty();
        let before = if nothing { "nothing was in force for it" } else { "as usual again" };
        lines.push(format!("{target}: {before}"));
    }
    lines.extend(view.before.iter().map(|verb| format!("  before: {}", verb.line(age))));
    lines.extend(view.notes.iter().map(|note| format!("  {note}")));
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::VerbView;

    #[test]
    fn what_holds_now_stands_above_what_held_before() {
        let pause = VerbView {
            verb: "pause".into(),
            kind: "audience".into(),
            target: "customer".into(),
            by: "alice (oncall)".into(),
            reason: Some("the database moves".into()),
            seconds_left: Some(252),
            waiting: Some(34),
            requests: Some(1_000),
            known: true,
            ..VerbView::default()
        };
        let mut view = OrderedView { after: vec![pause.clone()], ..OrderedView::default() };
        view.notes.push("It does not outlive a restart: there is no `state_dir`.".into());
        assert_eq!(
            text("customer", &view),
            "audience customer is paused for 4m 12s more, by alice (oncall); 34 of at most 1000 \
             requests wait: the database moves\n\
             \x20 It does not outlive a restart: there is no `state_dir`.\n"
        );
        let resumed = OrderedView { before: vec![pause], ..OrderedView::default() };
        assert!(text("customer", &resumed).starts_with(
            "customer: as usual again\n  before: audience customer is paused for 4m 12s more"
        ));
        let nothing = text("customer", &OrderedView::default());
        assert_eq!(nothing, "customer: nothing was in force for it\n");
    }
}
