//! From a question to the places that answer it.
//!
//! A failure ends the search: only a server's word that there is no such name leads on to the next
//! search domain. Otherwise a name server that is down for a moment could send customers to
//! whatever has the same name elsewhere.

#![expect(clippy::disallowed_methods, reason = "names are asked for by the house, not by workers")]

use std::{
    io,
    net::IpAddr,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::{
    Failure, Found, Place, Question,
    exchange::{self, Said},
    message::{Kind, Owned, Query, Records, Target},
    system::Manner,
};
use crate::config::Family;

const SYSTEM_FILE: &str = "/etc/resolv.conf";

/// How long the system's own resolver may take.
const SYSTEM_WAIT: Duration = Duration::from_secs(5);

/// How long an answer of the system's holds: it does not tell.
const SYSTEM_TTL: Duration = Duration::from_secs(10);

/// How long an answer without a time to live holds. There is none that has records.
const NO_TTL: Duration = Duration::ZERO;

/// The most targets of a service that are looked up.
const TARGETS_MAX: usize = 500;

/// The largest weight of a target among those of a service.
const WEIGHT_MAX: u32 = 100;

/// Asks, and remembers which server answered last.
#[derive(Debug, Default)]
pub(super) struct Resolver {
    preferred: AtomicUsize,
}

/// One look-up under way.
struct LookUp<'a> {
    manner: &'a Manner,
    preferred: &'a AtomicUsize,
}

// === impl Resolver ===

impl Resolver {
    /// The places that answer `question`.
    ///
    /// # Errors
    /// There are none, or nobody could say.
    pub(super) async fn look_up(
        &self,
        question: &Question,
        settings: &crate::config::Resolver,
    ) -> Result<Found, Failure> {
        if let Question::System(name) = question {
            return ask_system(name).await;
        }
        // Read each time: it changes with the network, and a Pod's is a file like any other.
        let system = tokio::fs::read_to_string(SYSTEM_FILE).await.unwrap_or_default();
        let manner = Manner::of(settings, &system);
        let look_up = LookUp { manner: &manner, preferred: &self.preferred };
        let found = timeout(manner.patience(), look_up.answer(question)).await;
        found.map_err(|_late| Failure::TooLong)?
    }
}

// === impl LookUp ===

impl LookUp<'_> {
    async fn answer(&self, question: &Question) -> Result<Found, Failure> {
        for candidate in self.manner.candidates(question.name()) {
            let name = Owned::from_str(&candidate).map_err(|_| Failure::TooLongName)?;
            let found = match question {
                Question::Service(_, family) => self.service(&name, *family).await,
                Question::Hosts(_, family) => self.places(&name, *family).await,
                Question::System(_) => Err(Failure::Nothing),
            };
            match found {
                Err(Failure::Nothing) => {}
                found => return found,
            }
        }
        Err(Failure::Nothing)
    }

    async fn places(&self, name: &Owned, family: Family) -> Result<Found, Failure> {
        let Records { addresses, ttl, .. } = self.hosts(name, family).await?;
        let place = |ip| Place { ip, port: None, weight: 1 };
        Found::of(addresses.into_iter().map(place).collect(), ttl.unwrap_or(NO_TTL))
    }

    /// The addresses of `name`. Whether there are any of IPv6 is only asked where that matters.
    async fn hosts(&self, name: &Owned, family: Family) -> Result<Records, Failure> {
        let wanted: &[Kind] = match family {
            Family::V4 => &[Kind::V4],
            Family::V6 => &[Kind::V6],
            Family::Auto | Family::Both => &[Kind::V4, Kind::V6],
        };
        let mut all = Records::default();
        for &kind in wanted {
            match self.ask(name, kind).await? {
                Said::NoName => return Err(Failure::Nothing),
                Said::Records(records) => {
                    all.ttl = all.ttl.into_iter().chain(records.ttl).min();
                    all.addresses.extend(records.addresses);
                }
            }
            if family == Family::Auto && !all.is_empty() {
                break;
            }
        }
        Ok(all)
    }

    /// The targets of a service that come first, each with its addresses.
    async fn service(&self, name: &Owned, family: Family) -> Result<Found, Failure> {
        let Said::Records(Records { targets, ttl, .. }) = self.ask(name, Kind::Service).await?
        else {
            return Err(Failure::Nothing);
        };
        let mut ttl = ttl.unwrap_or(NO_TTL);
        let mut places = Vec::new();
        for (target, weight) in weighed(first_of(targets)) {
            // A target that has just gone takes none of the others with it.
            let found = match self.hosts(&target.name, family).await {
                Err(Failure::Nothing) => continue,
                found => found?,
            };
            ttl = found.ttl.map_or(ttl, |shorter| ttl.min(shorter));
            let place = |ip: IpAddr| Place { ip, port: Some(target.port), weight };
            places.extend(found.addresses.into_iter().map(place));
        }
        Found::of(places, ttl)
    }

    /// Asks one server after the other, first the one that answered last.
    async fn ask(&self, name: &Owned, kind: Kind) -> Result<Said, Failure> {
        let query = Query { name: name.clone(), kind };
        let servers = &self.manner.servers;
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = Failure::TooLong;
        for attempt in 0..self.manner.attempts as usize * servers.len() {
            let index = (first + attempt) % servers.len();
            match exchange::ask(servers[index], &query, self.manner.timeout).await {
                Ok(said) => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return Ok(said);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }
}

/// Those of the lowest priority: the others are for when these are all gone, and a pool's own
/// health says that of an endpoint sooner than DNS does.
fn first_of(mut targets: Vec<Target>) -> Vec<Target> {
    let first = targets.iter().map(|target| target.priority).min();
    // The root as a target says that there is no such service (RFC 2782).
    targets.retain(|target| Some(target.priority) == first && !target.name.is_root());
    targets.truncate(TARGETS_MAX);
    targets
}

/// The targets with their weights, brought into bounds; alike where they are alike.
fn weighed(targets: Vec<Target>) -> Vec<(Target, u32)> {
    let most = targets.iter().map(|target| u32::from(target.weight)).max().unwrap_or_default();
    let alike = targets.iter().all(|target| u32::from(target.weight) == most);
    let weight = |target: &Target| match u32::from(target.weight) {
        _ if alike => 1,
        weight if most > WEIGHT_MAX => (weight * WEIGHT_MAX / most).max(1),
        weight => weight.max(1),
    };
    targets.into_iter().map(|target| (weight(&target), target)).map(|(w, t)| (t, w)).collect()
}

/// Asks the system's own resolver, which blocks a thread of the house meanwhile.
async fn ask_system(name: &str) -> Result<Found, Failure> {
    let found = timeout(SYSTEM_WAIT, tokio::net::lookup_host((name, 0))).await;
    let failed = |error: io::Error| Failure::System(Arc::new(error));
    let found = found.map_err(|_late| Failure::TooLong)?.map_err(failed)?;
    let place = |ip| Place { ip, port: None, weight: 1 };
    Found::of(found.map(|address| place(address.ip())).collect(), SYSTEM_TTL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(priority: u16, weight: u16, port: u16) -> Target {
        let name = Owned::from_str("web-0.example.").unwrap();
        Target { priority, weight, port, name }
    }

    #[test]
    fn the_lowest_priority_is_used_and_weights_are_brought_into_bounds() {
        let targets =
            vec![target(10, 60_000, 1), target(20, 1, 2), target(10, 30_000, 3), target(10, 0, 4)];
        let weights: Vec<_> =
            weighed(first_of(targets)).into_iter().map(|(it, weight)| (it.port, weight)).collect();
        assert_eq!(weights, [(1, 100), (3, 50), (4, 1)]);
    }

    #[test]
    fn equal_weights_are_no_weights_and_the_root_is_no_target() {
        let mut targets = vec![target(0, 33, 1), target(0, 33, 2), target(0, 33, 3)];
        targets[2].name = Owned::root_vec();
        let weights: Vec<_> =
            weighed(first_of(targets)).iter().map(|(_, weight)| *weight).collect();
        assert_eq!(weights, [1, 1]);
    }
}
