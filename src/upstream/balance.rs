//! Which endpoint of a pool a request goes to: the less busy one of two taken at random.
//!
//! Two random choices keep the busiest endpoint close to the average without looking at all of
//! them (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 2001). A weight
//! makes an endpoint proportionally more likely to be looked at and proportionally less busy.

use std::sync::Arc;

use super::endpoint::Endpoint;

/// An endpoint and its share.
#[derive(Clone, Debug)]
pub struct Member {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its share relative to the others; at least 1.
    pub weight: u32,
}

/// The endpoints of a pool, ready to be chosen from.
#[derive(Clone, Debug, Default)]
pub struct Members {
    members: Box<[Member]>,
    /// The sums of the weights up to and with each member; empty when all weights are equal.
    upto: Box<[u64]>,
}

// === impl Members ===

impl Members {
    /// Makes `members` ready.
    pub fn new(members: Vec<Member>) -> Self {
        let equal = members.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        let mut sum = 0;
        let upto = members.iter().map(|member| {
            sum += u64::from(member.weight);
            sum
        });
        let upto = if equal { Box::default() } else { upto.collect() };
        Self { members: members.into(), upto }
    }

    /// All of them, in the order of the configuration.
    pub fn iter(&self) -> std::slice::Iter<'_, Member> {
        self.members.iter()
    }

    /// Chooses an endpoint that is usable and not in `tried`.
    pub fn choose(&self, tried: &[u32], random: &mut fastrand::Rng) -> Option<&Arc<Endpoint>> {
        if !tried.is_empty() {
            return self.least_busy_except(tried);
        }
        let chosen = match &*self.members {
            [] => return None,
            [only] => only,
            members => {
                let first = self.draw(random);
                let second = self.draw_other(first, random);
                less_busy(&members[first], &members[second])
            }
        };
        if !chosen.endpoint.is_usable() {
            return self.least_busy_except(tried);
        }
        Some(&chosen.endpoint)
    }

    /// A second attempt, or two unusable ones out of two, are rare: it looks at all of them.
    fn least_busy_except(&self, tried: &[u32]) -> Option<&Arc<Endpoint>> {
        let usable = |m: &&Member| !tried.contains(&m.endpoint.id()) && m.endpoint.is_usable();
        let usable = self.members.iter().filter(usable);
        usable.reduce(less_busy).map(|member| &member.endpoint)
    }

    /// Chooses among those that are not well and not in `tried`: one that is ejected rather than
    /// one that checks have found down. Never one that an operator has drained.
    pub fn choose_unwell(&self, tried: &[u32]) -> Option<&Arc<Endpoint>> {
        let untried = |m: &&Member| !tried.contains(&m.endpoint.id()) && !m.endpoint.is_drained();
        let rank = |m: &&Member| (m.endpoint.health().standing(), m.endpoint.in_flight());
        self.members.iter().filter(untried).min_by_key(rank).map(|member| &member.endpoint)
    }

    fn draw(&self, random: &mut fastrand::Rng) -> usize {
        match self.upto.last() {
            None => random.usize(..self.members.len()),
            Some(&sum) => {
                let drawn = random.u64(..sum);
                self.upto.partition_point(|&upto| upto <= drawn)
            }
        }
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

/// The one whose load, with one more request, is the smaller share of its weight; one that is
/// not usable only if neither is.
fn less_busy<'a>(one: &'a Member, other: &'a Member) -> &'a Member {
    if !one.endpoint.is_usable() {
        return other;
    }
    if !other.endpoint.is_usable() {
        return one;
    }
    let load = |m: &Member| u64::from(m.endpoint.in_flight()) + 1;
    let one_load = load(one) * u64::from(other.weight);
    let other_load = load(other) * u64::from(one.weight);
    if other_load < one_load { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config,
        upstream::{
            address::Address,
            endpoint::Endpoints,
            health::{Cause, Totals},
        },
    };

    fn address(n: usize) -> Address {
        Address::Socket(([127, 0, 0, 1], n as u16 + 1).into())
    }

    fn members(weights: &[u32]) -> Members {
        members_of(&Endpoints::default(), weights)
    }

    fn members_of(endpoints: &Endpoints, weights: &[u32]) -> Members {
        let member =
            |(n, &weight): (usize, &u32)| Member { endpoint: endpoints.at(&address(n)), weight };
        Members::new(weights.iter().enumerate().map(member).collect())
    }

    /// Takes `count` leases and keeps them all; returns how many each endpoint has.
    fn fill(members: &Members, count: usize) -> Vec<u32> {
        let mut random = fastrand::Rng::with_seed(3);
        let choose = |_| members.choose(&[], &mut random).expect("there are some").lease();
        let leases: Vec<_> = (0..count).map(choose).collect();
        let counts = members.iter().map(|m| m.endpoint.in_flight()).collect();
        drop(leases);
        counts
    }

    #[test]
    fn equal_endpoints_get_equal_loads() {
        let counts = fill(&members(&[1; 10]), 1_000);
        assert!(counts.iter().all(|&count| (95..=105).contains(&count)), "{counts:?}");
    }

    #[test]
    fn loads_follow_the_weights() {
        let counts = fill(&members(&[1, 2, 5]), 800);
        assert!((90..=110).contains(&counts[0]), "{counts:?}");
        assert!((185..=215).contains(&counts[1]), "{counts:?}");
        assert!((480..=520).contains(&counts[2]), "{counts:?}");
    }

    #[test]
    fn what_is_drained_is_not_chosen_and_the_others_share_its_load() {
        let endpoints = Endpoints::default();
        for weights in [&[1, 1, 1, 1][..], &[1, 50, 1, 3]] {
            let members = members_of(&endpoints, weights);
            endpoints.drain(&address(1));
            let counts = fill(&members, 300);
            assert_eq!((counts[1], counts.iter().sum::<u32>()), (0, 300), "{counts:?}");
            assert!(counts.iter().filter(|&&count| count > 0).count() == 3, "{counts:?}");
            endpoints.undrain(&address(1));
            assert!(fill(&members, 300)[1] > 0);
        }
        let one = members_of(&endpoints, &[1]);
        endpoints.drain(&address(0));
        assert!(one.choose(&[], &mut fastrand::Rng::with_seed(1)).is_none());
    }

    #[test]
    fn of_those_that_are_not_well_the_ejected_come_before_those_that_are_down() {
        let members = members(&[1, 1, 1]);
        let endpoint = |n: usize| &members.iter().nth(n).expect("there are three").endpoint;
        let policy = config::Health { fall: 1, ..config::Health::default() };
        endpoint(0).health().checked(false, "late", &policy);
        let ejection = config::Ejection::default();
        endpoint(1).health().eject(
            std::time::Instant::now(),
            Cause::Refused,
            &ejection,
            Totals::default(),
        );
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..20 {
            assert_eq!(members.choose(&[], &mut random).map(|e| e.id()), Some(endpoint(2).id()));
        }
        let tried = [endpoint(2).id()];
        assert!(members.choose(&tried, &mut random).is_none());
        assert_eq!(members.choose_unwell(&tried).map(|e| e.id()), Some(endpoint(1).id()));
        let tried = [endpoint(2).id(), endpoint(1).id()];
        assert_eq!(members.choose_unwell(&tried).map(|e| e.id()), Some(endpoint(0).id()));
    }

    #[test]
    fn what_was_tried_is_not_chosen_again() {
        let members = members(&[1, 1, 1]);
        let mut random = fastrand::Rng::with_seed(1);
        let mut tried = Vec::new();
        while let Some(endpoint) = members.choose(&tried, &mut random) {
            assert!(!tried.contains(&endpoint.id()));
            tried.push(endpoint.id());
        }
        assert_eq!(tried.len(), 3);
        assert!(Members::default().choose(&[], &mut random).is_none());
    }
}
