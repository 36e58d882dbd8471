//! `usher run`: the proxy.

use std::{
    fmt::Write as _,
    io::{ErrorKind, Write as _},
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::mpsc::{Receiver, TryRecvError, sync_channel},
    thread,
    time::{Duration, Instant},
};

use super::{
    DONE, FAILED, WRONG,
    live::{Key, Screen},
};
use crate::{
    app::{self, Addresses, Bound, BuildError, House, Inherited, Invocation, Origin, Remote},
    bind::Bind,
    config::{self, Config, LoadOptions, Problem, Problems},
    control::screen::screen,
};

/// Where `--upstream` listens, for clients, for operators and for Prometheus.
const PORTS: [u16; 3] = [8080, 9900, 9901];

/// How often the live table changes.
const TICK: Duration = Duration::from_secs(1);

/// How soon a key is noticed.
const POLL: Duration = Duration::from_millis(100);

/// What to do when a port is taken and there is no file to say another.
const WAY_OUT: &str = "stop what listens there, or listen elsewhere: --bind 127.0.0.2; with a \
    configuration usher listens where that says (usher schema --example)";

/// Runs the proxy, from a configuration or in front of the Rails that you name.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// The configuration [default: `$USHER_CONFIG`, then config/usher.yaml].
    // Without clap's `env`: the variable is no reason to refuse `--upstream`.
    #[arg(long, value_name = "FILE", conflicts_with = "upstream")]
    pub config: Option<PathBuf>,
    /// No file: one audience in front of these endpoints (`127.0.0.1:3000`, `unix:/run/puma.sock`).
    #[arg(long, value_name = "ADDR", value_delimiter = ',')]
    pub upstream: Vec<String>,
    /// The address to listen on with `--upstream`.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1", requires = "upstream")]
    pub bind: IpAddr,
}

// === impl RunArgs ===

impl RunArgs {
    fn file(&self) -> PathBuf {
        let said = || std::env::var_os("USHER_CONFIG").map(PathBuf::from);
        self.config.clone().or_else(said).unwrap_or_else(|| PathBuf::from("config/usher.yaml"))
    }
}

// === free functions ===

/// Runs until it is stopped, and returns the exit code.
pub fn run(args: &RunArgs) -> u8 {
    // First of all: a signal that comes while usher starts is kept, and not its end.
    let house = match House::open() {
        Ok(house) => house,
        Err(error) => return fail(&error),
    };
    let mut inherited = match Inherited::receive(&house) {
        Ok(inherited) => inherited,
        Err(error) => return fail(&error),
    };
    let bound = match bind(args, &mut inherited) {
        Ok(bound) => bound,
        Err((code, why)) => {
            inherited.refuse(&house, &why);
            return code;
        }
    };
    announce(&bound);
    let screen = if args.upstream.is_empty() { None } else { Screen::open() };
    let ran = match screen {
        Some(screen) => serve_on(&screen, bound, house),
        None => bound.run_in(house),
    };
    match ran {
        Ok(()) => DONE,
        Err(error) => fail(&error),
    }
}

/// Loads the configuration and takes its ports; else says what is wrong, and returns the exit code
/// and that.
fn bind(args: &RunArgs, inherited: &mut Inherited) -> Result<Bound, (u8, String)> {
    let (config, warnings) =
        load(args).map_err(|problems| (refuse(&problems), problems.to_string()))?;
    let origin = Origin {
        path: args.upstream.is_empty().then(|| args.file()),
        warnings: warnings.iter().map(Problem::headline).collect(),
        invocation: Invocation::of_this_process(),
    };
    app::build_on(config, origin, inherited).map_err(|error| {
        let code = fail(&error);
        if !args.upstream.is_empty() && is_taken(&error) {
            tracing::error!("{WAY_OUT}");
        }
        (code, error.to_string())
    })
}

fn fail(error: &dyn std::error::Error) -> u8 {
    tracing::error!("{error}");
    FAILED
}

/// Serves, and shows how everybody fares until then.
fn serve_on(screen: &Screen, bound: Bound, house: House) -> Result<(), app::Ended> {
    let (remote, addresses) = (bound.remote(), bound.addresses().clone());
    // Nothing is ever sent: that the sender has gone says that usher has ended.
    let (running, ended) = sync_channel::<()>(1);
    thread::scope(|scope| {
        scope.spawn(move || watch(screen, &remote, &addresses, &ended));
        let ran = bound.run_in(house);
        drop(running);
        ran
    })
}

fn watch(screen: &Screen, remote: &Remote, addresses: &Addresses, ended: &Receiver<()>) {
    let mut next = Instant::now();
    while ended.try_recv() != Err(TryRecvError::Disconnected) {
        let now = Instant::now();
        if now >= next {
            screen.draw(&live_lines(remote, addresses, screen.width()));
            next = now + TICK;
        }
        if screen.key(POLL) == Some(Key::Quit) {
            // As with signals, the second one does not wait for anybody.
            if remote.is_stopping() { remote.cut() } else { remote.stop() }
        }
    }
}

fn live_lines(remote: &Remote, addresses: &Addresses, width: usize) -> Vec<String> {
    let clients: Vec<String> = addresses.listeners.iter().map(ToString::to_string).collect();
    let metrics =
        addresses.metrics.as_ref().map(|metrics| format!("   metrics http://{metrics}/metrics"));
    let metrics = metrics.unwrap_or_default();
    let first = format!("serving http://{}{metrics}   q stops", clients.join(" http://"));
    let mut lines = vec![first, String::new()];
    lines.extend(self::screen(&remote.status(), width).lines().map(str::to_owned));
    lines
}

fn is_taken(error: &BuildError) -> bool {
    matches!(error, BuildError::Bind(error) if error.source.kind() == ErrorKind::AddrInUse)
}

fn load(args: &RunArgs) -> Result<(Config, Vec<Problem>), Problems> {
    let options = LoadOptions::default();
    if !args.upstream.is_empty() {
        let text = upstream_text(&args.upstream, args.bind);
        let (config, _) = config::parse_text("--upstream", &text, &options)?;
        // There is no file in which warnings could be heeded.
        return Ok((config, Vec::new()));
    }
    let (config, warnings) = config::load(&args.file(), &options)?;
    if !warnings.is_empty() {
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
    let inside = if bind.is_loopback() { bind } else { Ipv4Addr::LOCALHOST.into() };
    let inside = std::net::SocketAddr::new(inside, control);
    let _ = writeln!(text, "control: {{ bind: \"{inside}\" }}");
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

fn announce(bound: &Bound) {
    let addresses = bound.addresses();
    for (listener, address) in bound.config().listeners.iter().zip(&addresses.listeners) {
        let scheme = if listener.tls.is_some() { "https" } else { "http" };
        tracing::info!("serving on {}", url(scheme, address));
    }
    if let Some(control) = &addresses.control {
        let shown = url("http", control);
        tracing::info!("operators' port on {shown} (try: usher status --control {control})");
    }
    if let Some(metrics) = &addresses.metrics {
        match metrics.path() {
            None => tracing::info!("metrics on http://{metrics}/metrics"),
            Some(_) => tracing::info!("metrics on {metrics}, /metrics"),
        }
    }
}

/// How people are told where something is.
fn url(scheme: &str, bind: &Bind) -> String {
    match bind.path() {
        None => format!("{scheme}://{bind}"),
        Some(_) => format!("{bind} ({scheme})"),
    }
}
