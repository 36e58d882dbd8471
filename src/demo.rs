//! `usher demo`: a stand-in monolith in four pools, usher in front of it, and the traffic of four
//! audiences, all in one process and on loopback.
//!
//! ```text
//! stage thread                     usher's own threads        whoever shows it
//! Traffic (44 clients) ──HTTP──▶ ports of `app::build` ──▶ Watch ─▶ View, sentence, summary
//! Monolith (5 endpoints) ◀─HTTP── workers
//! ```
//!
//! The stage is one thread with one runtime, joined when [`Stage`] is dropped; usher is the one
//! that `usher run` starts, with a configuration in the same language.

mod cast;
mod fared;
mod monolith;
mod script;
mod stage;
mod summary;
mod traffic;
pub mod view;
mod watch;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use crate::{
    app::{self, Addresses, Bound, BuildError, Origin},
    bind::Bind,
    config::{self, LoadOptions, Problems},
};

pub use script::Doors;
pub use stage::{Cue, SLOWER, Stage};
pub use summary::{Account, Verdict, summary};
pub use traffic::{FLOOD_CLIENTS, FLOOD_FOR};
pub use watch::{Event, Watch, readings};

/// Longer than any demo lasts, and short enough to be added to an instant.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// A demo that has all its ports.
pub struct Demo {
    /// usher, ready to run.
    pub bound: Bound,
    /// The monolith and its audiences, who already ask.
    pub stage: Stage,
    /// Where usher is reached.
    pub doors: Doors,
    /// The configuration that it runs with.
    pub script: String,
}

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// usher cannot start.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The stand-in cannot start.
    #[error("the stand-in monolith cannot start: {0}")]
    Stage(#[source] std::io::Error),
    /// The configuration is not one: a defect.
    #[error("the demo's own configuration is wrong:\n{0}")]
    Script(Problems),
}

/// A demo at `bind`: on the usual ports, and on free ones where these are taken.
///
/// # Errors
/// `bind` is none of this machine's addresses, or the system gives no sockets or threads.
pub fn build(bind: IpAddr) -> Result<Demo, DemoError> {
    let monolith = monolith::Monolith::bind().map_err(DemoError::Stage)?;
    let endpoints = monolith.addresses();
    let mut doors = Doors::usual(bind);
    let bound = loop {
        match bind_usher(doors, &endpoints) {
            Ok(bound) => break bound,
            Err(DemoError::Build(BuildError::Bind(error))) if is_taken(&error) => {
                let taken = error.bind.socket();
                let left = taken.and_then(|taken| doors.without(taken));
                doors = left.ok_or(BuildError::Bind(error))?;
            }
            Err(error) => return Err(error),
        }
    };
    let doors = opened(doors, bound.addresses());
    let stage = Stage::open(monolith, doors.clients).map_err(DemoError::Stage)?;
    Ok(Demo { bound, stage, doors, script: script::script(doors, &endpoints) })
}

/// The demo's configuration in front of endpoints as somebody may have them.
pub fn example(bind: IpAddr) -> String {
    script::script(Doors::usual(bind), &script::imagined_endpoints())
}

fn bind_usher(doors: Doors, endpoints: &[Vec<SocketAddr>]) -> Result<Bound, DemoError> {
    let text = script::script(doors, endpoints);
    let (config, _) =
        config::parse_text("demo", &text, &LoadOptions::default()).map_err(DemoError::Script)?;
    Ok(app::build(config, Origin::default())?)
}

fn is_taken(error: &app::BindError) -> bool {
    error.source.kind() == std::io::ErrorKind::AddrInUse
}

/// Where usher is reached from here, whichever ports were taken in the end.
fn opened(asked: Doors, bound: &Addresses) -> Doors {
    let from_here = |bound: Option<&Bind>, asked: SocketAddr| {
        let mut address = bound.and_then(Bind::socket).unwrap_or(asked);
        if address.ip().is_unspecified() {
            let loopback: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            address.set_ip(loopback[usize::from(address.is_ipv6())]);
        }
        address
    };
    Doors {
        clients: from_here(bound.listeners.first(), asked.clients),
        control: from_here(bound.control.as_ref(), asked.control),
        metrics: from_here(bound.metrics.as_ref(), asked.metrics),
    }
}

/// Waits. Nothing that is promised to anybody depends on the demo's timers.
#[expect(clippy::disallowed_methods, reason = "the stage has no worker and no wheel")]
async fn nap(time: Duration) {
    tokio::time::sleep(time).await;
}
