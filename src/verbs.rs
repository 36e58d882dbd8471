//! Operators' verbs: what is paused, closed for maintenance or drained; by whom, why, for how long.
//!
//! ```text
//!             put, end, expire              renew
//!   operator ─────────────────▶ Register ─────────▶ Gates ◀── every request: one relaxed load
//!                                  │
//!                                  └─▶ kept: a file in `state_dir`, or another process
//! ```
//!
//! A verb is keyed by its target and outlives every snapshot: a reload does not end a pause, and
//! an audience that goes and comes back is still paused. What requests see of it are [`Gates`].
//! Draining an endpoint has no gate: `upstream` keeps that beside the endpoint itself.
//!
//! Time is an argument everywhere: the house brings the clock.

mod gates;
mod kept;
mod line;
mod register;
mod store;

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use crate::{name::Name, peer::Network};

pub use gates::{Closed, Gates, Held};
pub use kept::{KeptError, read, write};
pub use line::{Full, Line, Turn, Waiting};
pub use register::{Register, TooMany};
pub use store::{Store, StoreError};

/// How long a paused request waits when nothing else is said.
pub const WAIT: Duration = Duration::from_secs(30);

/// How many wait when nothing else is said. Each has a client's connection and, with a body, up to
/// 64 KiB of memory.
pub const REQUESTS: u32 = 1_000;

/// What is in force for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verb {
    /// What it is.
    pub action: Action,
    /// For what.
    pub target: Target,
    /// Who said so.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
    /// Since when.
    pub since: SystemTime,
    /// Until when; `None`: until somebody ends it.
    pub until: Option<SystemTime>,
}

/// What a verb does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Requests wait.
    Pause {
        /// How long each of them may.
        wait: Duration,
        /// How many may at once.
        requests: u32,
    },
    /// Requests are answered by usher.
    Maintenance {
        /// Whose requests pass.
        allow: Allowed,
    },
    /// No new requests go there.
    Drain,
}

/// Who passes during maintenance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Clients of these networks.
    pub networks: Vec<Network>,
    /// Users, by the ids that a source of `identity:` has proved.
    pub users: Vec<Box<str>>,
}

/// What a verb is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// An audience.
    Audience(Name),
    /// A pool.
    Pool(Name),
    /// An endpoint, by its address as the status shows it.
    Endpoint(Box<str>),
}

// === impl Verb ===

impl Verb {
    /// How long it goes on at `now`; `None`: until somebody ends it.
    pub fn left(&self, now: SystemTime) -> Option<Duration> {
        self.until.map(|until| until.duration_since(now).unwrap_or_default())
    }

    /// Whether its time is over at `now`.
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

// === impl Action ===

impl Action {
    /// The word used in the API, in the file and in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Action::Pause { .. } => "pause",
            Action::Maintenance { .. } => "maintenance",
            Action::Drain => "drain",
        }
    }

    /// What its target is while it is in force.
    pub const fn state(&self) -> &'static str {
        match self {
            Action::Pause { .. } => "paused",
            Action::Maintenance { .. } => "in maintenance",
            Action::Drain => "drained",
        }
    }
}

// === impl Target ===

impl Target {
    /// What kind of thing it is.
    pub const fn kind(&self) -> &'static str {
        match self {
            Target::Audience(_) => "audience",
            Target::Pool(_) => "pool",
            Target::Endpoint(_) => "endpoint",
        }
    }

    /// Its name or address.
    pub fn name(&self) -> &str {
        match self {
            Target::Audience(name) | Target::Pool(name) => name.as_str(),
            Target::Endpoint(address) => address,
        }
    }
}

impl fmt::Display for Target {
    /// In words: `audience customer`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.name())
    }
}
