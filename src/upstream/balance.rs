//! Which endpoint of a pool a request goes to.
//!
//! By default the less busy one of two taken at random: two choices keep the busiest endpoint close
//! to the average without looking at all of them (Mitzenmacher, "The Power of Two Choices in
//! Randomized Load Balancing", 2001). A weight makes an endpoint proportionally more likely to be
//! looked at and proportionally less busy. An endpoint that is clearly slower counts as busier by
//! as much, see [`super::latency`].
//!
//! Whatever was chosen, a slot is only had where one is free; where the chosen endpoint has none,
//! all others are looked at.

mod hashing;
mod turns;

use std::sync::Arc;

use smallvec::SmallVec;

use super::{endpoint::Endpoint, lease::Lease};
use crate::{
    config::{Balance, WhenUnhealthy},
    policy::sticky::Place,
};

use turns::Turns;

/// Latencies that differ by less than so many times are the same: requests differ by more.
const CLEARLY: u64 = 2;

/// An endpoint and its share.
#[derive(Clone, Debug)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share relative to the others; at least 1.
    pub weight: u32,
}

/// The endpoints of a pool, ready to be chosen from.
#[derive(Debug, Default)]
pub struct Members {
    members: Box<[Member]>,
    /// The sums of the weights up to and with each member; empty when all weights are equal.
    upto: Box<[u64]>,
    balance: Balance,
    turns: Turns,
}

/// What is known of a request that asks for an endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asking<'a> {
    /// Endpoints that it has tried.
    pub tried: &'a [u32],
    /// Where it stands, in a pool that hashes.
    pub key: Option<Place>,
    /// Whether it wants to become a tunnel.
    pub tunnel: bool,
    /// Whether it goes to an endpoint that is not well when none is.
    pub when_unhealthy: WhenUnhealthy,
    /// The time, on [`super::clock_ms`]'s clock.
    pub now_ms: u64,
}

/// Why no endpoint gives a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lacking {
    /// Those that are usable have none free.
    Slot,
    /// None is usable, or all that are were tried.
    Endpoint,
}

// === impl Members ===

impl Members {
    /// Makes `members` ready.
    pub fn new(members: Vec<Member>, balance: Balance) -> Self {
        let equal = members.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let mut sum = 0;
        let upto = members.iter().map(|member| {
            sum += u64::from(member.weight);
            sum
        });
        let upto = if equal { Box::default() } else { upto.collect() };
        Self { members: members.into(), upto, balance, turns: Turns::default() }
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.members.iter()
    }

    /// A slot of an endpoint that was not tried.
    pub fn lease(&self, asking: &Asking<'_>, random: &mut fastrand::Rng) -> Result<Lease, Lacking> {
        if asking.tried.is_empty()
            && let Some(chosen) = self.choose(asking, random)
            && let Some(lease) = chosen.endpoint.lease()
        {
            return Ok(lease);
        }
        self.any(asking)
    }

    /// Whether any endpoint that was not tried is usable.
    pub fn is_usable(&self, tried: &[u32]) -> bool {
        self.members.iter().any(|m| m.endpoint.is_usable() && !tried.contains(&m.endpoint.id()))
    }

    /// Whether any endpoint that was not tried takes requests: a usable one, or one that is not
    /// well if that is wanted.
    pub fn takes(&self, tried: &[u32], when_unhealthy: WhenUnhealthy) -> bool {
        let unwell = when_unhealthy == WhenUnhealthy::Try && self.unwell(tried).next().is_some();
        unwell || self.is_usable(tried)
    }

    fn choose(&self, asking: &Asking<'_>, random: &mut fastrand::Rng) -> Option<&Member> {
        match (&*self.members, &self.balance, asking.key) {
            ([], ..) => None,
            ([only], ..) => Some(only),
            (members, Balance::RoundRobin, _) if !asking.tunnel => {
                let turn = self.turns.next(self.weight());
                Some(&members[self.place(turn)])
            }
            (members, Balance::Hash(_), Some(key)) => hashing::choose(members, key),
            (members, ..) => {
                let first = self.draw(random);
                let second = self.draw_other(first, random);
                Some(less_busy(&members[first], &members[second], asking))
            }
        }
    }

    /// Another attempt, or a pool that is nearly full: it looks at all of them.
    fn any(&self, asking: &Asking<'_>) -> Result<Lease, Lacking> {
        let untried =
            |m: &&Member| m.endpoint.is_usable() && !asking.tried.contains(&m.endpoint.id());
        let mut candidates: SmallVec<[&Member; 16]> = self.members.iter().filter(untried).collect();
        if candidates.is_empty() {
            return match asking.when_unhealthy {
                WhenUnhealthy::Try => self.lease_unwell(asking.tried),
                WhenUnhealthy::Refuse => Err(Lacking::Endpoint),
            };
        }
        candidates.retain(|member| member.endpoint.has_room());
        while let Some(best) =
            candidates.iter().copied().reduce(|one, other| less_busy(one, other, asking))
        {
            if let Some(lease) = best.endpoint.lease() {
                return Ok(lease);
            }
            candidates.retain(|member| !std::ptr::eq(*member, best));
        }
        Err(Lacking::Slot)
    }

    /// A slot of an endpoint that is not well: of one that is ejected rather than of one that
    /// checks have found down. Never of one that an operator has drained.
    fn lease_unwell(&self, tried: &[u32]) -> Result<Lease, Lacking> {
        let mut unwell: SmallVec<[&Member; 16]> = self.unwell(tried).collect();
        if unwell.is_empty() {
            return Err(Lacking::Endpoint);
        }
        unwell.sort_by_key(|m| (m.endpoint.health().standing(), m.endpoint.in_flight()));
        let leased = unwell.iter().find_map(|member| member.endpoint.lease_unwell());
        leased.ok_or(Lacking::Slot)
    }

    /// Those that were not tried and not drained, whether they are well or not.
    fn unwell(&self, tried: &[u32]) -> impl Iterator<Item = &Member> {
        let untried = |m: &&Member| !tried.contains(&m.endpoint.id()) && !m.endpoint.is_drained();
        self.members.iter().filter(untried)
    }

    /// The sum of the weights, or the number of members where they are equal.
    fn weight(&self) -> u64 {
        self.upto.last().copied().unwrap_or(self.members.len() as u64)
    }

    /// Whose part of the sum of the weights `drawn` falls into.
    fn place(&self, drawn: u64) -> usize {
        if self.upto.is_empty() {
            return drawn as usize;
        }
        self.upto.partition_point(|&upto| upto <= drawn)
    }

    fn draw(&self, random: &mut fastrand::Rng) -> usize {
        self.place(random.u64(..self.weight()))
    }

    /// Draws again until it is another one; gives up on heavily uneven weights.
    fn draw_other(&self, first: usize, random: &mut fastrand::Rng) -> usize {
        for _ in 0..4 {
            let second = self.draw(random);
            if second != first {
                return second;
            }
        }
        (first + 1) % self.members.len()
    }
}

/// The one whose load, with one more request, is the smaller share of its weight; one that takes
/// none only if neither does.
fn less_busy<'a>(one: &'a Member, other: &'a Member, asking: &Asking<'_>) -> &'a Member {
    match (one.endpoint.is_open(), other.endpoint.is_open()) {
        (true, false) => return one,
        (false, true) => return other,
        (true, true) | (false, false) => {}
    }
    let load = |m: &Member| {
        let busy = if asking.tunnel { m.endpoint.tunnels() } else { m.endpoint.in_flight() };
        u64::from(busy) + 1
    };
    let (one_us, other_us) = slowness(one, other, asking);
    let one_load = load(one) * u64::from(other.weight) * one_us;
    let other_load = load(other) * u64::from(one.weight) * other_us;
    if other_load < one_load { other } else { one }
}

/// How slow each of them is in comparison: alike unless one is clearly slower.
fn slowness(one: &Member, other: &Member, asking: &Asking<'_>) -> (u64, u64) {
    let one_us = one.endpoint.latency().micros(asking.now_ms);
    let other_us = other.endpoint.latency().micros(asking.now_ms);
    let known = one_us > 0 && other_us > 0;
    let clearly = one_us > CLEARLY * other_us || other_us > CLEARLY * one_us;
    if known && clearly { (one_us, other_us) } else { (1, 1) }
}

#[cfg(test)]
mod tests;
