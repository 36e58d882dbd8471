//! What is asked of a configuration as a whole.

use super::{Audience, Config};
use crate::classify::RuleSpec;

// === impl Config ===

impl Config {
    /// Every rule: those that take requests, those of `only`, and those of promises.
    pub fn rules(&self) -> impl Iterator<Item = &RuleSpec> {
        self.audiences.iter().flat_map(|audience| {
            let scopes = audience.objectives.iter().flat_map(|objective| &objective.only);
            audience.rules.iter().chain(&audience.only).chain(scopes)
        })
    }

    /// Whether anything that is decided for `audience` asks by what its clients are known again.
    pub fn is_sticky(&self, audience: &Audience) -> bool {
        let pool = self.pools.iter().find(|pool| pool.name == audience.pool);
        pool.is_some_and(|pool| pool.balance.is_sticky())
    }
}
