//! Where an audience goes when its own pool cannot take it.

use crate::{name::Name, units::Percent};

/// Where an audience goes when its own pool has no usable endpoint, or its queue is full.
#[derive(Clone, Debug, PartialEq)]
pub struct Fallback {
    /// The other pool.
    pub pool: Name,
    /// The share of its slots that the audience may hold there.
    pub share: Percent,
}
