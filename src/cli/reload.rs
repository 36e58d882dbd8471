//! `usher reload`: a running usher reads its configuration again.

use std::io::{self, Write};

use anyhow::Context;
use hyper::StatusCode;

use super::{
    DONE, FAILED, Format, WRONG,
    client::{Answer, ControlPort, Reason},
};
use crate::control::ReloadView;

/// Has a running usher reload its configuration.
///
/// Exits with 0 when it is in use or nothing has changed, and with 2 when it was refused: then
/// nothing has changed.
#[derive(Clone, Debug, clap::Args)]
pub struct ReloadArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub port: ControlPort,
    /// Why.
    #[command(flatten)]
    pub reason: Reason,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Asks, writes what came of it, and returns the exit code.
pub fn run(args: &ReloadArgs) -> u8 {
    let way = match args.port.find() {
        Ok(way) => way,
        Err(code) => return code,
    };
    let asked = way.post("/api/v1/reload", &args.reason.why());
    let asked = asked.and_then(|answer| show(args, answer));
    asked.unwrap_or_else(|error| {
        // The exit code says it too, should standard error be closed.
        let _ = writeln!(io::stderr(), "{error:#}");
        FAILED
    })
}

fn show(args: &ReloadArgs, answer: Answer) -> anyhow::Result<u8> {
    let refused = answer.status == StatusCode::UNPROCESSABLE_ENTITY;
    let body = if refused { answer.body } else { answer.into_done()? };
    let view: ReloadView =
        serde_json::from_str(&body).context("what it answers is not what a reload answers")?;
    match args.format {
        Format::Json => writeln!(io::stdout(), "{body}")?,
        Format::Text if refused => {
            writeln!(io::stderr(), "{}\nrefused: nothing has changed", view.problems.join("\n"))?;
        }
        Format::Text => io::stdout().write_all(text(&view).as_bytes())?,
    }
    Ok(if refused { WRONG } else { DONE })
}

fn text(view: &ReloadView) -> String {
    let Some(generation) = view.generation else { return "nothing changes\n".to_owned() };
    let mut text = format!("generation {generation} is in use\n");
    view.changes.iter().for_each(|line| text += &format!("  {line}\n"));
    view.at_restart.iter().for_each(|line| text += &format!("  not applied: {line}\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_stands_below_the_generation() {
        let view = ReloadView {
            result: "applied".into(),
            generation: Some(3),
            changes: vec!["audience driver: +1 rule".into()],
            at_restart: vec!["workers takes a restart".into()],
            problems: Vec::new(),
        };
        let expected = "generation 3 is in use\n  audience driver: +1 rule\n  not applied: workers \
                        takes a restart\n";
        assert_eq!(text(&view), expected);
        assert_eq!(text(&ReloadView::default()), "nothing changes\n");
    }
}
