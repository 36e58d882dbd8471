//! `usher why`: what became of one request, by its id.

use std::io::{self, Write};

use anyhow::Context;
use hyper::StatusCode;

use super::{
    DONE, FAILED, Format,
    client::{ControlPort, Way},
};
use crate::{
    control::{AttemptView, RequestView, RequestsView, screen::milliseconds},
    fault::Fault,
};

/// What became of one request: whom it was for and why, where it was sent, and what went wrong.
///
/// The id is what the answer's `X-Request-Id`, the access log and Rails' log say. Exits with 1 when
/// usher does not remember such a request; then it says how far back it does.
#[derive(Clone, Debug, clap::Args)]
pub struct WhyArgs {
    /// What `X-Request-Id` said.
    #[arg(value_name = "REQUEST-ID")]
    pub request_id: String,
    /// Whom to ask.
    #[command(flatten)]
    pub port: ControlPort,
    /// For people, or for programs.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Asks the running usher, writes its answer to standard output, and returns the exit code.
pub fn run(args: &WhyArgs) -> u8 {
    let way = match args.port.find() {
        Ok(way) => way,
        Err(code) => return code,
    };
    match show(args, &way) {
        Ok(()) => DONE,
        Err(error) => {
            // The exit code says it too, should standard error be closed.
            let _ = writeln!(io::stderr(), "{error:#}");
            FAILED
        }
    }
}

fn show(args: &WhyArgs, way: &Way) -> anyhow::Result<()> {
    let id = percent_encoding::utf8_percent_encode(&args.request_id, ENCODED);
    let answer = way.get(&format!("/api/v1/requests/{id}"))?;
    if answer.status == StatusCode::NOT_FOUND {
        anyhow::bail!("{}", answer.detail());
    }
    let body = answer.into_done()?;
    let text = match args.format {
        Format::Json => body + "\n",
        Format::Text => {
            let view: RequestsView = serde_json::from_str(&body)
                .with_context(|| format!("what {} answers is no request", way.address))?;
            let told: Vec<String> = view.requests.iter().map(text).collect();
            told.join("\n")
        }
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// All that could end a segment of a path.
const ENCODED: &percent_encoding::AsciiSet = percent_encoding::NON_ALPHANUMERIC;

fn text(request: &RequestView) -> String {
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    let because = match &request.rule {
        Some(rule) => format!("because of {rule}"),
        None if request.audience == crate::name::NONE => "refused before it had one".to_owned(),
        None => "because it takes what no rule takes".to_owned(),
    };
    let mut lines = vec![
        format!(
            "{} {} from {}, ended {}",
            known(&request.method),
            known(&request.path),
            request.client,
            request.time
        ),
        format!("audience: {}, {because} (generation {})", request.audience, request.generation),
        match &request.fallback {
            Some(fallback) => {
                format!("pool: {}, which could not take it; fell back to {fallback}", request.pool)
            }
            None => format!("pool: {}", request.pool),
        },
    ];
    // By its own word: letters, digits and `_`, or visible ASCII.
    lines.extend(request.operation.as_ref().map(|it| format!("operation: {it}")));
    for (index, attempt) in request.attempts.iter().enumerate() {
        lines.push(format!("attempt {}: {}", index + 1, attempted(attempt)));
    }
    let status = request.status.map(|status| format!(" with {status}"));
    lines.push(format!("{}{}", request.outcome, status.unwrap_or_default()));
    lines.extend(request.fault.as_deref().map(|fault| blamed(fault, &request.blame)));
    let times = [
        ("paused", request.paused_ms),
        ("queue", request.queue_ms),
        ("connect", request.connect_ms),
        ("first byte", request.first_byte_ms),
        ("upstream", request.upstream_ms),
        ("total", request.total_ms),
    ];
    let times = times.into_iter().filter(|(_, ms)| ms.is_some());
    let times: Vec<_> = times.map(|(name, ms)| format!("{name} {}", milliseconds(ms))).collect();
    lines.push(times.join(", "));
    lines.push(format!("{} bytes in, {} bytes out", request.bytes_in, request.bytes_out));
    lines.join("\n") + "\n"
}

fn attempted(attempt: &AttemptView) -> String {
    let AttemptView { endpoint, ended, replayed, took_ms } = attempt;
    let replayed = if *replayed { ", sent again after a reused connection had died" } else { "" };
    format!("{endpoint}: {} after {}{replayed}", ended.replace('_', " "), milliseconds(*took_ms))
}

/// The fault, and what it means when this version knows it.
fn blamed(fault: &str, blame: &Option<String>) -> String {
    let known = Fault::ALL.iter().find(|known| known.name() == fault);
    let detail = known.map_or_else(String::new, |known| format!(": {}", known.detail()));
    let blame = blame.as_deref().unwrap_or("unknown");
    format!("fault: {fault} (blame: {blame}){detail} What to do: docs/faults.md")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_told_from_its_rule_to_its_fault() {
        let attempt = |endpoint: &str, ended: &str, replayed| AttemptView {
            endpoint: endpoint.into(),
            ended: ended.into(),
            replayed,
            took_ms: Some(12.4),
        };
        let request = RequestView {
            time: "2026-11-25T03:12:07.114Z".into(),
            client: "10.0.0.9".into(),
            method: Some("GET".into()),
            path: Some("/admin/reports/7".into()),
            operation: Some("Report7".into()),
            generation: 3,
            audience: "admin".into(),
            rule: Some("path /admin/**".into()),
            pool: "admin".into(),
            status: Some(502),
            outcome: "failed".into(),
            fault: Some("upstream_broke".into()),
            blame: Some("upstream".into()),
            attempts: vec![
                attempt("127.0.0.1:3030", "no_connection", false),
                attempt("127.0.0.1:3031", "upstream_broke", true),
            ],
            bytes_out: 187,
            queue_ms: Some(0.0),
            total_ms: Some(1_250.0),
            ..RequestView::default()
        };
        assert_eq!(
            text(&request),
            "GET /admin/reports/7 from 10.0.0.9, ended 2026-11-25T03:12:07.114Z\n\
             audience: admin, because of path /admin/** (generation 3)\n\
             pool: admin\n\
             operation: Report7\n\
             attempt 1: 127.0.0.1:3030: no connection after 12ms\n\
             attempt 2: 127.0.0.1:3031: upstream broke after 12ms, sent again after a reused \
             connection had died\n\
             failed with 502\n\
             fault: upstream_broke (blame: upstream): The service behind broke before its answer \
             was complete. What to do: docs/faults.md\n\
             queue 0ms, total 1.25s\n\
             0 bytes in, 187 bytes out\n"
        );
    }
}
