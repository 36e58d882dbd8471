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
    pub fn iter(&self) -> impl Iterator<Item = &Member> {
        self.members.iter()
    }

    /// Chooses an endpoint that is not in `tried`.
    pub fn choose(&self, tried: &[u32], random: &mut fastrand::Rng) -> Option<&Arc<Endpoint>> {
        if !tried.is_empty() {
            return self.least_busy_except(tried);
        }
        match &*self.members {
            [] => None,
            [only] => Some(&only.endpoint),
            members => {
                let first = self.draw(random);
                let second = self.draw_other(first, random);
                Some(&less_busy(&members[first], &members[second]).endpoint)
            }
        }
    }

    /// A second attempt is rare and looks at all of them.
    fn least_busy_except(&self, tried: &[u32]) -> Option<&Arc<Endpoint>> {
        let usable = self.members.iter().filter(|m| !tried.contains(&m.endpoint.id()));
        usable.reduce(less_busy).map(|member| &member.endpoint)
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

/// The one whose load, with one more request, is the smaller share of its weight.
fn less_busy<'a>(one: &'a Member, other: &'a Member) -> &'a Member {
    let load = |m: &Member| u64::from(m.endpoint.in_flight()) + 1;
    let one_load = load(one) * u64::from(other.weight);
    let other_load = load(other) * u64::from(one.weight);
    if other_load < one_load { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::{address::Address, endpoint::Endpoints};

    fn members(weights: &[u32]) -> Members {
        let endpoints = Endpoints::default();
        let member = |(n, &weight): (usize, &u32)| {
            let address = Address::Socket(([127, 0, 0, 1], n as u16 + 1).into());
            Member { endpoint: endpoints.at(&address), weight }
        };
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
