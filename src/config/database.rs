//! The database behind all pools: how many connections they need of it, and how many there are.
//!
//! Each endpoint holds as many as its Puma threads ask for, so that a pool that is scaled out, or
//! that runs old and new endpoints side by side during a deploy, may exhaust what all share.

use super::{Config, Pool};
use crate::units::Percent;

/// What the database can bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Database {
    /// The most connections that it takes, less those of jobs and consoles.
    pub connections_max: u32,
}

/// What one pool needs of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Demand {
    /// Connections of one endpoint; one for each slot when left out.
    pub connections: Option<u32>,
    /// The most endpoints that the pool is scaled out to; as many as there are when left out.
    pub endpoints_max: Option<u32>,
    /// How many more there are during a deploy.
    pub surge: Surge,
}

/// How many more endpoints there are during a deploy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Surge {
    /// So many.
    Count(u32),
    /// This share of those there are, rounded up.
    Share(Percent),
}

/// Connections that all pools need together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// With the endpoints there are now.
    pub now: u64,
    /// Once every pool has been scaled out.
    pub scaled_out: u64,
    /// When all of them are deployed at once, scaled out.
    pub deploying: u64,
}

// === impl Demand ===

impl Demand {
    fn need(self, capacity: u32, endpoints_now: u64) -> Need {
        let per_endpoint = u64::from(self.connections.unwrap_or(capacity));
        let endpoints_max = self.endpoints_max.map_or(endpoints_now, u64::from).max(endpoints_now);
        let surge = match self.surge {
            Surge::Count(count) => u64::from(count),
            Surge::Share(share) => (share.ratio() * endpoints_max as f64).ceil() as u64,
        };
        Need {
            now: per_endpoint * endpoints_now,
            scaled_out: per_endpoint * endpoints_max,
            deploying: per_endpoint * (endpoints_max + surge),
        }
    }
}

// === impl Need ===

impl Need {
    /// What all pools of `config` need; `endpoints` says how many a pool has now. Nothing where the
    /// configuration says nothing of the database.
    pub fn of(config: &Config, endpoints: impl Fn(&Pool) -> u64) -> Option<(Self, u64)> {
        let database = config.database?;
        let needs =
            config.pools.iter().map(|pool| pool.database.need(pool.capacity, endpoints(pool)));
        let sum = needs.fold(Self::default(), |sum, need| Self {
            now: sum.now + need.now,
            scaled_out: sum.scaled_out + need.scaled_out,
            deploying: sum.deploying + need.deploying,
        });
        Some((sum, u64::from(database.connections_max)))
    }

    /// What is needed, by when.
    pub fn by_moment(self) -> [(&'static str, u64); 3] {
        [("now", self.now), ("scaled_out", self.scaled_out), ("deploying", self.deploying)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deploy_needs_more_than_a_pool_that_is_scaled_out_and_that_more_than_now() {
        let demand = |surge| Demand { connections: None, endpoints_max: Some(10), surge };
        let need = demand(Surge::Count(2)).need(5, 4);
        assert_eq!(need, Need { now: 20, scaled_out: 50, deploying: 60 });
        let share = Percent::of_share(0.25);
        let need = demand(Surge::Share(share)).need(5, 4);
        assert_eq!(need.deploying, 65, "a quarter of ten, rounded up");
        let grown = demand(Surge::Count(0)).need(5, 12);
        assert_eq!(grown, Need { now: 60, scaled_out: 60, deploying: 60 });
    }
}
