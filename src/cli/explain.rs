//! `usher explain`: who is this for, and why.
//!
//! It needs no running usher: it reads the configuration and asks the functions that decide.

use std::{
    io::{self, Write},
    net::Ipv4Addr,
};

use clap::Parser;

use super::{ConfigFile, DONE, FAILED, Format, WRONG, curl};
use crate::{
    config::{self, LoadOptions},
    peer::Client,
};

mod asked;
mod identity;
mod operation;
mod verdict;
mod version;

#[cfg(test)]
mod tests;

pub use self::{
    asked::{AskError, Asked},
    identity::IdentityView,
    verdict::{Explanation, PoolView, RuleView, StepView, explain},
    version::AppVersionView,
};

/// Says who a request is for, and why.
///
/// Takes METHOD URL [-H 'Name: value']... [-d BODY] [--from IP], or a pasted `curl` command line,
/// as one quoted argument or as it is (explain's own options then stand before `curl`).
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// Which configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// How to ask and answer.
    #[command(flatten)]
    pub options: Options,
    /// METHOD URL, or a `curl` command line.
    #[arg(
        value_name = "REQUEST",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub request: Vec<String>,
}

/// What may stand before the request and behind it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Options {
    /// A field of the request; as often as needed.
    #[arg(short = 'H', long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// The request's body, for GraphQL operations.
    #[arg(short = 'd', long = "data", value_name = "DATA")]
    pub data: Option<String>,
    /// Who asks, after trusted proxies have been believed; 127.0.0.1 unless given.
    #[arg(long, value_name = "IP")]
    pub from: Option<Client>,
    /// The subject of the certificate that the client showed; none unless given.
    #[arg(long, value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// Show every rule that was tried, and why it did not match.
    #[arg(short, long)]
    pub verbose: bool,
    /// Text, or one JSON object.
    #[arg(long, value_enum)]
    pub format: Option<Format>,
}

/// What may stand behind METHOD URL.
#[derive(Debug, Parser)]
#[command(name = "usher explain METHOD URL", disable_help_flag = true)]
struct Behind {
    #[arg(long, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
    #[command(flatten)]
    options: Options,
}

/// Explains, and returns the exit code: 0 for an answer, whatever it is; 2 when the configuration
/// or the command line is wrong.
pub fn run(args: &ExplainArgs) -> u8 {
    match answer(args.clone()).map(|(explanation, options)| write(&explanation, &options)) {
        Ok(Ok(())) => DONE,
        Ok(Err(_)) => FAILED,
        Err(complaint) => {
            // Where standard error is closed as well, the exit code is all that is left to say it.
            let _ = writeln!(io::stderr(), "{}", complaint.trim_end());
            WRONG
        }
    }
}

fn answer(args: ExplainArgs) -> Result<(Explanation, Options), String> {
    let (asked, args) = read_request(args)?;
    let loaded = config::load(&args.file.config, &LoadOptions::default());
    let (config, _warnings) = loaded.map_err(|problems| problems.to_string())?;
    let client = args.options.from.unwrap_or(Client::Ip(Ipv4Addr::LOCALHOST.into()));
    let mut explanation = explain(&config, &asked, client, args.options.subject.as_deref());
    let decided = explanation.audience.is_some();
    if decided && args.options.from.is_none() && verdict::asks_for_client(&config) {
        explanation.notes.push(format!("the client is taken to be {client}; say `--from IP`"));
    }
    if asked.headers.contains_key("x-forwarded-for") {
        explanation.notes.push("X-Forwarded-For is not read: `--from` is the client".to_owned());
    }
    Ok((explanation, args.options))
}

fn write(explanation: &Explanation, options: &Options) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match options.format.unwrap_or_default() {
        Format::Json => writeln!(out, "{:#}", serde_json::json!(explanation)),
        Format::Text => {
            writeln!(out, "{}", explanation.verdict())?;
            if options.verbose {
                writeln!(out, "{}", explanation.tried())?;
            }
            Ok(())
        }
    }
}

/// Reads the request out of the words; options behind it join those before it.
fn read_request(mut args: ExplainArgs) -> Result<(Asked, ExplainArgs), String> {
    let words = std::mem::take(&mut args.request);
    let text = |error: AskError| error.to_string();
    let (mut asked, behind) = match words.as_slice() {
        [curl, rest @ ..] if curl == "curl" => (curl::parse_words(rest).map_err(text)?, &[][..]),
        [line, behind @ ..] if line.trim_start().starts_with("curl ") => {
            (curl::parse_line(line.trim()).map_err(text)?, behind)
        }
        [url, behind @ ..] if url.starts_with('/') || url.contains("://") => {
            (Asked::new("GET", url).map_err(text)?, behind)
        }
        [method, url, behind @ ..] => (Asked::new(method, url).map_err(text)?, behind),
        _ => return Err(text(AskError::NoRequest)),
    };
    let name = ["usher explain METHOD URL".to_owned()];
    let more = Behind::try_parse_from(name.iter().chain(behind)).map_err(|e| e.to_string())?;
    args.file.config = more.config.unwrap_or(args.file.config);
    args.options.join(more.options);
    for field in &args.options.headers {
        asked.add_field(field).map_err(text)?;
    }
    if let Some(data) = &args.options.data {
        asked.add_body(data);
    }
    Ok((asked, args))
}

// === impl Options ===

impl Options {
    fn join(&mut self, more: Options) {
        self.headers.extend(more.headers);
        self.data = more.data.or(self.data.take());
        self.from = more.from.or(self.from);
        self.verbose |= more.verbose;
        self.format = more.format.or(self.format);
    }
}
