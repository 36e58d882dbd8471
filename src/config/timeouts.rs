//! How long the monolith may take, and what an audience or a rule says otherwise.

use std::time::Duration;

/// How long the monolith may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To take a connection.
    pub connect: Duration,
    /// From dispatch to the answer's head, for one attempt.
    pub first_byte: Duration,
    /// Between two reads of an answer that has begun.
    pub between_bytes: Duration,
    /// From the request read whole to the answer's head, over all attempts.
    pub total: Duration,
}

/// What differs from the pool's timeouts for an audience, or for a rule of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// To take a connection.
    pub connect: Option<Duration>,
    /// To get a slot.
    pub queue: Option<Duration>,
    /// From dispatch to the answer's head, for one attempt.
    pub first_byte: Option<Duration>,
    /// Between two reads of an answer that has begun.
    pub between_bytes: Option<Duration>,
    /// From the request read whole to the answer's head, over all attempts.
    pub total: Option<Duration>,
}

// === impl Timeouts ===

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            first_byte: Duration::from_secs(15),
            between_bytes: Duration::from_secs(60),
            total: Duration::from_secs(60),
        }
    }
}

// === impl Overrides ===

impl Overrides {
    /// These, and where they say nothing, `others`.
    pub fn or(self, others: Self) -> Self {
        Self {
            connect: self.connect.or(others.connect),
            queue: self.queue.or(others.queue),
            first_byte: self.first_byte.or(others.first_byte),
            between_bytes: self.between_bytes.or(others.between_bytes),
            total: self.total.or(others.total),
        }
    }

    /// The timeouts of a request of a pool with `pool`.
    pub fn over(self, pool: Timeouts) -> Timeouts {
        Timeouts {
            connect: self.connect.unwrap_or(pool.connect),
            first_byte: self.first_byte.unwrap_or(pool.first_byte),
            between_bytes: self.between_bytes.unwrap_or(pool.between_bytes),
            total: self.total.unwrap_or(pool.total),
        }
    }
}
