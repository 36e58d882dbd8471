//! What this process may have open.
//!
//! The limit is the process's, so what is known of it is the process's too: how often something
//! could not be had, and a few descriptors that are kept for the operators' ports. Whoever is out
//! of descriptors needs these ports more than ever.

use std::{
    fs::File,
    io,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::{
    io::Errno,
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

/// More than anybody needs; programs that close every descriptor they might have take long beyond.
const LIMIT_MAX: u64 = 1 << 20;

/// What everything but connections of clients and to endpoints needs: ports, logs, files, pollers.
const HOUSE: u64 = 64;

/// What a worker needs for itself.
const EACH_WORKER: u64 = 8;

/// How many are kept for the operators' ports.
const SPARE: usize = 16;

/// How long a shortage is worth telling about.
const RECENT: Duration = Duration::from_secs(60);

static SHORTAGES: [AtomicU64; Place::ALL.len()] =
    [AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0)];
static LATEST: Mutex<Option<Instant>> = Mutex::new(None);
static SPARES: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Where a descriptor was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// For a client's connection.
    Client,
    /// For a connection to one of usher's own ports.
    Port,
    /// For a connection to an endpoint.
    Endpoint,
}

/// How many descriptors there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// So many before they were raised.
    pub before: u64,
    /// So many now.
    pub now: u64,
}

/// A descriptor that was lent to a port. Dropping it takes one back.
#[derive(Debug)]
pub struct Lent(());

// === impl Place ===

impl Place {
    /// Every place there is.
    pub const ALL: [Place; 3] = [Place::Client, Place::Port, Place::Endpoint];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Place::Client => "client",
            Place::Port => "port",
            Place::Endpoint => "endpoint",
        }
    }
}

// === impl Allowance ===

impl Allowance {
    /// Raises the soft limit to the hard one, and keeps the spare descriptors.
    pub fn raise() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let before = limit.current.unwrap_or(u64::MAX);
        let wanted = limit.maximum.unwrap_or(u64::MAX).min(LIMIT_MAX).max(before);
        if wanted > before {
            // Without the right to do so the limit stays, which `now` says.
            let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
            let _ = setrlimit(Resource::Nofile, raised);
        }
        refill();
        Self { before, now: limit_now() }
    }

    /// The most connections of clients: beyond it there is no room for the house.
    pub fn connections_max(self, workers: usize) -> u64 {
        let own = HOUSE + SPARE as u64 + EACH_WORKER * workers as u64;
        // With a limit as low as this, half of it is worth more than a rule.
        self.now.saturating_sub(own).max(self.now / 2).max(1)
    }

    /// As many as leave each of them one to an endpoint.
    pub fn connections_auto(self, workers: usize) -> u64 {
        (self.connections_max(workers) / 2).max(1)
    }
}

// === impl Lent ===

impl Drop for Lent {
    fn drop(&mut self) {
        refill();
    }
}

/// So many descriptors this process may have.
pub fn limit_now() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Whether there was none to be had, here or in the whole system.
pub fn are_exhausted(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}

/// One was needed at `place`, and could not be had.
pub fn lacked(place: Place) {
    SHORTAGES[place as usize].fetch_add(1, Ordering::Relaxed);
    *LATEST.lock() = Some(Instant::now());
}

/// How often one was lacking since the start, in the order of [`Place::ALL`].
pub fn shortages() -> [u64; Place::ALL.len()] {
    std::array::from_fn(|place| SHORTAGES[place].load(Ordering::Relaxed))
}

/// That one was lacking a short while ago, for operators.
pub fn trouble() -> Option<String> {
    let recent = LATEST.lock().is_some_and(|at| at.elapsed() < RECENT);
    recent.then(|| {
        let limit = limit_now();
        format!("out of file descriptors within the last minute; the limit is {limit}")
    })
}

/// Gives one of the spare descriptors up, so that somebody else can have it at once.
pub fn lend() -> Option<Lent> {
    SPARES.lock().pop().map(|spare| {
        drop(spare);
        Lent(())
    })
}

/// Takes back what was lent, as far as there is any.
pub fn refill() {
    let mut spares = SPARES.lock();
    while spares.len() < SPARE {
        let Ok(spare) = File::open("/dev/null") else { return };
        spares.push(spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_the_house_and_for_endpoints() {
        for (now, max, auto) in
            [(20_000, 19_904, 9_952), (1_024, 928, 464), (100, 50, 25), (1, 1, 1), (0, 1, 1)]
        {
            let allowance = Allowance { before: now, now };
            assert_eq!(allowance.connections_max(2), max, "{now}");
            assert_eq!(allowance.connections_auto(2), auto, "{now}");
        }
    }

    #[test]
    fn a_lack_of_descriptors_is_told_from_other_errors() {
        assert!(are_exhausted(&Errno::MFILE.into()) && are_exhausted(&Errno::NFILE.into()));
        assert!(!are_exhausted(&Errno::CONNREFUSED.into()));
    }

    #[test]
    fn what_is_lent_comes_back() {
        refill();
        let lent: Vec<Lent> = std::iter::from_fn(lend).collect();
        assert_eq!(lent.len(), SPARE);
        assert!(lend().is_none());
        drop(lent);
        assert_eq!(SPARES.lock().len(), SPARE);
    }
}
