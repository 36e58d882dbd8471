//! `usher run`: the proxy.

use std::{fmt::Write as _, io::Write as _, net::IpAddr};

use super::{ConfigFile, DONE, FAILED, WRONG};
use crate::{
    app::{self, Addresses, Bound, Origin},
    config::{self, Config, LoadOptions, Problem, Problems},
};

/// Where `--upstream` listens, for clients, for operators and for Prometheus.
const PORTS: [u16; 3] = [8080, 9900, 9901];

/// Runs the proxy, from a configuration or in front of the Rails that you name.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The configuration.
    #[command(flatten)]
    pub file: ConfigFile,
    /// No file: one audience, in front of these endpoints (`127.0.0.1:3000`, `unix:/run/puma.sock`).
    #[arg(long, value_name = "ADDR", value_delimiter = ',', conflicts_with = "config")]
    pub upstream: Vec<String>,
    /// The address to listen on with `--upstream`.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1", requires = "upstream")]
    pub bind: IpAddr,
}

/// Runs until it is stopped, and returns the exit code.
pub fn run(args: &RunArgs) -> u8 {
    let (config, warnings) = match load(args) {
        Ok(loaded) => loaded,
        Err(problems) => return refuse(&problems),
    };
    let origin = Origin {
        path: args.upstream.is_empty().then(|| args.file.config.clone()),
        warnings: warnings.iter().map(Problem::headline).collect(),
    };
    let bound = match app::build(config, origin) {
        Ok(bound) => bound,
        Err(error) => {
            tracing::error!("{error}");
            return FAILED;
        }
    };
    announce(bound.addresses());
    serve(bound)
}

fn serve(bound: Bound) -> u8 {
    match bound.run() {
        Ok(()) => DONE,
        Err(error) => {
            tracing::error!("{error}");
            FAILED
        }
    }
}

fn load(args: &RunArgs) -> Result<(Config, Vec<Problem>), Problems> {
    let options = LoadOptions::default();
    let (config, warnings) = if args.upstream.is_empty() {
        config::load(&args.file.config, &options)?
    } else {
        config::parse_text("--upstream", &upstream_text(&args.upstream, args.bind), &options)?
    };
    if args.upstream.is_empty() && !warnings.is_empty() {
        // A closed standard error is no reason not to run.
        let _ = writeln!(std::io::stderr(), "{}", Problems::new(warnings.clone()));
    }
    Ok((config, warnings))
}

/// The configuration in front of one's own Rails: one audience, everything measured.
pub fn upstream_text(upstream: &[String], bind: IpAddr) -> String {
    let at = |port| std::net::SocketAddr::new(bind, port);
    let [clients, control, metrics] = PORTS;
    let mut text = format!("listeners: [{{ bind: \"{}\" }}]\n", at(clients));
    // The operators' port stays on loopback: off it, it would demand a token.
    let _ = writeln!(text, "control: {{ bind: \"127.0.0.1:{control}\" }}");
    let _ = writeln!(text, "metrics: {{ bind: \"{}\" }}", at(metrics));
    text.push_str("access_log: off\ndrain: { grace: 0s }\n");
    text.push_str("audiences: [{ name: everyone, pool: rails }]\n");
    text.push_str("pools:\n  rails:\n    endpoints:\n");
    for address in upstream {
        let _ = writeln!(text, "      - {}", serde_json::Value::from(address.as_str()));
    }
    text
}

fn refuse(problems: &Problems) -> u8 {
    // The exit code says it too, should standard error be closed.
    let _ = writeln!(std::io::stderr(), "{problems}");
    WRONG
}

fn announce(addresses: &Addresses) {
    for listener in &addresses.listeners {
        tracing::info!("serving on http://{listener}");
    }
    if let Some(control) = addresses.control {
        tracing::info!("operators' port on http://{control} (try: usher status)");
    }
    if let Some(metrics) = addresses.metrics {
        tracing::info!("metrics on http://{metrics}/metrics");
    }
}
