//! How often an audience, or one client of it, may ask.
//!
//! The rule is the generic cell rate algorithm (ITU-T I.371, annex A), which says what a token
//! bucket says and keeps one number: when the bucket will be full again. A request that may go on
//! moves that moment by one interval; one that would move it too far ahead may not.
//!
//! Cost: a compare-and-swap for the audience, on a word that all workers share, and one for the
//! client, in a line of a table (see `clients`). Nobody is locked out, and nothing grows.

mod clients;

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

pub use clients::CLIENTS_MAX;

use crate::{peer::Client, units::format_frequency};

use clients::{Clients, client_key};

/// So many requests in a time, and how many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Requests.
    pub requests: u32,
    /// In so long.
    pub per: Duration,
    /// How many may come at once after a pause; at least 1.
    pub burst: u32,
}

/// What was written for one audience.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// For all of its requests together.
    pub audience: Option<Limit>,
    /// For those of each client.
    pub client: Option<Limit>,
}

/// How often one audience has been asked. Outlives snapshots, so that a reload forgives nobody.
#[derive(Debug)]
pub struct Meter {
    origin: Instant,
    audience: AtomicU64,
    clients: Clients,
}

/// Why a request may not go on, and when it is of use to come back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The audience has asked too often.
    Audience(Duration),
    /// This client has.
    Client(Duration),
}

/// A limit in ticks of a clock.
#[derive(Clone, Copy, Debug)]
struct Terms {
    interval: u64,
    /// How far ahead of now the moment may lie at which the bucket is full again.
    ahead: u64,
}

// === impl Limit ===

impl Limit {
    /// As many at once as in a second, and one at least.
    pub fn burst_of(requests: u32, per: Duration) -> u32 {
        let a_second = f64::from(requests) / per.as_secs_f64();
        (a_second.ceil() as u32).max(1)
    }

    /// For people: `10/s, 20 at once`.
    pub fn told(self) -> String {
        format!("{}, {} at once", format_frequency(self.requests, self.per), self.burst)
    }

    /// In ticks, of which a second has `ticks`.
    fn terms(self, ticks: u64) -> Terms {
        let per = self.per.as_nanos() * u128::from(ticks) / 1_000_000_000;
        let requests = u128::from(self.requests.max(1));
        // Rounded to the nearest tick, and never to none.
        let interval = ((per + requests / 2) / requests).max(1);
        let ahead = interval * u128::from(self.burst.max(1));
        let fits = |ticks| u64::try_from(ticks).unwrap_or(u64::MAX / 4).min(u64::MAX / 4);
        Terms { interval: fits(interval), ahead: fits(ahead) }
    }
}

// === impl Meter ===

impl Meter {
    /// Nobody has asked yet.
    pub fn new(now: Instant) -> Self {
        Self { origin: now, audience: AtomicU64::new(0), clients: Clients::new() }
    }

    /// Whether a request of `client` may go on at `now`. One that its client's limit refuses takes
    /// nothing of what all have.
    pub fn admit(&self, limits: &Limits, client: Client, now: Instant) -> Result<(), Refused> {
        let since = now.saturating_duration_since(self.origin);
        if let Some(limit) = limits.client {
            let terms = limit.terms(clients::TICKS);
            let now = u64::try_from(since.as_micros()).unwrap_or(u64::MAX);
            let wait = self.clients.take(client_key(client), now, terms);
            wait.map_err(|ticks| Refused::Client(Duration::from_micros(ticks)))?;
        }
        if let Some(limit) = limits.audience {
            let terms = limit.terms(1_000_000_000);
            let now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
            let taken =
                self.audience.fetch_update(Relaxed, Relaxed, |full| terms.take(full, now).ok());
            let over = |full| terms.take(full, now).err().unwrap_or_default();
            taken.map_err(|full| Refused::Audience(Duration::from_nanos(over(full))))?;
        }
        Ok(())
    }

    /// How often a client that was still being counted had to make room for another.
    pub fn forgotten(&self) -> u64 {
        self.clients.forgotten()
    }
}

// === impl Terms ===

impl Terms {
    /// When the bucket is full again after one more, or in how long one more fits.
    fn take(self, full: u64, now: u64) -> Result<u64, u64> {
        let next = full.max(now).saturating_add(self.interval);
        match next.saturating_sub(now).checked_sub(self.ahead) {
            None | Some(0) => Ok(next),
            Some(wait) => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests;
