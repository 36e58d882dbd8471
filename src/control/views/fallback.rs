//! What is told about an audience in the pool that it falls back to.

use serde::{Deserialize, Serialize};

/// How an audience fares in a pool that is not its own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FallbackView {
    /// That pool.
    pub pool: String,
    /// The share of its slots that the audience may hold there, between 0 and 1.
    pub share: f64,
    /// Slots that it holds there now, orphaned ones included.
    pub in_flight: u64,
    /// Requests that were taken there since the start.
    pub taken: u64,
    /// Requests that found no place there since the start.
    pub refused: u64,
}
