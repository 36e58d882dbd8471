//! `usher versions`: which versions of apps come, and whom a least one would lock out.

use std::{
    fmt::Write as _,
    io::{self, Write as _},
};

use anyhow::Context;

use super::{
    DONE, FAILED, Format,
    client::{ControlPort, Way},
};
use crate::{
    classify::Version,
    control::{AppView, LockedOutView, VersionView, VersionsView},
    units::{Percent, format_duration},
};

/// More would be locked out than may be.
pub const TOO_MANY: u8 = 3;
/// It is not known: nothing came.
pub const UNKNOWN: u8 = 4;

/// The most versions of an audience that are shown.
const LINES_MAX: usize = 40;

/// Shows which versions of apps come, and whom a least version would lock out.
///
/// Asks a running usher, which counts what came to it in the last hours. With --at-most it exits
/// with 3 when more than that share of an audience's clients would be locked out, and with 4 when
/// an audience had no requests, so that nobody knows.
#[derive(Clone, Debug, clap::Args)]
pub struct VersionsArgs {
    /// Whom to ask.
    #[command(flatten)]
    pub port: ControlPort,
    /// Only this audience.
    #[arg(long, value_name = "NAME")]
    pub audience: Option<String>,
    /// Say whom this least version would lock out.
    #[arg(long, value_name = "VERSION", value_parser = version)]
    pub if_min: Option<Version>,
    /// Exit with 3 when it would lock out more than this share of clients: `1%`.
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "if_min")]
    pub at_most: Option<Percent>,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Asks, writes the answer to standard output, and returns the exit code.
pub fn run(args: &VersionsArgs) -> u8 {
    let way = match args.port.find() {
        Ok(way) => way,
        Err(code) => return code,
    };
    let written = ask(args, &way).and_then(|(view, body)| {
        let text = match args.format {
            Format::Json => body + "\n",
            Format::Text => text(&view),
        };
        io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")?;
        Ok(view)
    });
    match written {
        Ok(view) => args.at_most.map_or(DONE, |most| judge(&view, most)),
        Err(error) => {
            // The exit code says it too, should standard error be closed.
            let _ = writeln!(io::stderr(), "{error:#}");
            FAILED
        }
    }
}

fn ask(args: &VersionsArgs, way: &Way) -> anyhow::Result<(VersionsView, String)> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    if let Some(audience) = &args.audience {
        query.append_pair("audience", audience);
    }
    if let Some(min) = args.if_min {
        query.append_pair("if_min", &min.to_string());
    }
    let body = way.get(&format!("/api/v1/versions?{}", query.finish()))?.into_done()?;
    let view = serde_json::from_str(&body)
        .with_context(|| format!("what {} answers is no table of versions", way.address))?;
    Ok((view, body))
}

/// The worst of the audiences decides. What is not known is never few.
fn judge(view: &VersionsView, most: Percent) -> u8 {
    let shares = view.audiences.iter().map(|app| app.if_min.as_ref()?.clients_share);
    let shares: Vec<Option<f64>> = shares.collect();
    if shares.iter().flatten().any(|share| *share > most.ratio()) {
        TOO_MANY
    } else if shares.is_empty() || shares.contains(&None) {
        UNKNOWN
    } else {
        DONE
    }
}

fn text(view: &VersionsView) -> String {
    if view.audiences.is_empty() {
        return "no audience looks at versions: docs/versions.md says how\n".to_owned();
    }
    let mut text = String::new();
    for app in &view.audiences {
        let _ = writeln!(text, "{}", heading(app));
        table(app, &mut text);
        if let Some(locked_out) = &app.if_min {
            let _ = writeln!(text, "  {}", told(locked_out, app));
        }
        text.push('\n');
    }
    let _ = writeln!(text, "{}", view.note);
    text
}

fn heading(app: &AppView) -> String {
    let mut parts = vec![format!("audience {}", app.audience)];
    if let Some(min) = &app.min {
        let refused = Percent::of_share(app.refused_share);
        parts.push(format!("min {min}, {refused} of those below it refused now"));
    }
    parts.extend(app.warn_below.as_ref().map(|it| format!("warned below {it}")));
    let over = std::time::Duration::from_secs(app.over_seconds.div_ceil(60) * 60);
    parts.push(format!("by {}", app.from.join(", else ")));
    parts.push(format!("over the last {}", format_duration(over)));
    parts.join("; ")
}

fn table(app: &AppView, text: &mut String) {
    let heads = ["VERSION", "STANDING", "REQUESTS", "SHARE", "CLIENTS", "SHARE"];
    let rows: Vec<[String; 6]> = std::iter::once(heads.map(str::to_owned))
        .chain(app.versions.iter().take(LINES_MAX).map(row))
        .collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].len()).max().unwrap_or_default()
    });
    for row in &rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < 2 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let _ = writeln!(text, "  {}", cells.collect::<Vec<_>>().join("  "));
    }
    if let Some(more) = app.versions.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        let _ = writeln!(text, "  and {more} more; --format json has them all");
    }
    if app.rest > 0 {
        let rest = app.rest;
        let _ = writeln!(text, "  and {rest} requests of versions too many to keep apart");
    }
}

fn row(it: &VersionView) -> [String; 6] {
    [
        it.version.clone(),
        it.band.clone(),
        it.requests.to_string(),
        Percent::of_share(it.requests_share).to_string(),
        it.clients.to_string(),
        Percent::of_share(it.clients_share).to_string(),
    ]
}

fn told(it: &LockedOutView, app: &AppView) -> String {
    let (Some(requests), Some(clients)) = (it.requests_share, it.clients_share) else {
        return format!("min {} would lock out nobody knows whom: no request came", it.min);
    };
    let unknown = match it.unknown_requests {
        0 => String::new(),
        unknown => format!(" (of {unknown} requests it is not known)"),
    };
    format!(
        "min {} would lock out {} of {} clients ({}) and {} of {} requests ({}){unknown}",
        it.min,
        it.clients,
        app.clients,
        Percent::of_share(clients),
        it.requests,
        app.requests,
        Percent::of_share(requests),
    )
}

fn version(text: &str) -> Result<Version, String> {
    Version::parse_exact(text).ok_or_else(|| "write numbers with dots, such as 5.2".to_owned())
}

fn share(text: &str) -> Result<Percent, String> {
    Percent::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(version: &str, band: &str, requests: u64, clients: u64) -> VersionView {
        VersionView {
            version: version.into(),
            band: band.into(),
            requests,
            requests_share: requests as f64 / 1_000.0,
            clients,
            clients_share: clients as f64 / 100.0,
        }
    }

    fn app(share: Option<f64>) -> AppView {
        AppView {
            audience: "customer".into(),
            from: vec!["header x-app-version".into(), "User-Agent Shop/".into()],
            min: Some("5.2".into()),
            warn_below: Some("5.6".into()),
            refused_share: 0.25,
            over_seconds: 75_000,
            requests: 1_000,
            clients: 100,
            versions: vec![
                line("5.6.1", "current", 900, 80),
                line("5.1", "below_min", 90, 15),
                line("none", "none", 10, 5),
            ],
            rest: 0,
            if_min: Some(LockedOutView {
                min: "5.4".into(),
                requests: 90,
                requests_share: share,
                clients: 15,
                clients_share: share,
                unknown_requests: 0,
            }),
        }
    }

    #[test]
    fn an_audience_is_a_table_and_what_a_least_version_would_do() {
        let view = VersionsView { note: "Counted.".into(), audiences: vec![app(Some(0.15))] };
        let expected = "\
audience customer; min 5.2, 25% of those below it refused now; warned below 5.6; \
by header x-app-version, else User-Agent Shop/; over the last 1250m
  VERSION  STANDING   REQUESTS  SHARE  CLIENTS  SHARE
  5.6.1    current         900    90%       80    80%
  5.1      below_min        90     9%       15    15%
  none     none             10     1%        5     5%
  min 5.4 would lock out 15 of 100 clients (15%) and 90 of 1000 requests (15%)

Counted.
";
        assert_eq!(text(&view), expected, "\n{}", text(&view));
        assert!(text(&VersionsView::default()).starts_with("no audience"));
    }

    #[test]
    fn the_worst_audience_decides_and_what_is_not_known_is_never_few() {
        let judged = |shares: &[Option<f64>]| {
            let audiences = shares.iter().map(|share| app(*share)).collect();
            let view = VersionsView { audiences, ..VersionsView::default() };
            judge(&view, Percent::parse("1%").expect("a share"))
        };
        assert_eq!(judged(&[Some(0.01), Some(0.0)]), DONE);
        assert_eq!(judged(&[Some(0.0), Some(0.011)]), TOO_MANY);
        assert_eq!(judged(&[Some(0.0), None]), UNKNOWN);
        assert_eq!(judged(&[None, Some(0.5)]), TOO_MANY);
        assert_eq!(judged(&[]), UNKNOWN);
    }
}
