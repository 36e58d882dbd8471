//! What a connection is held to, whatever it speaks.

use std::time::Duration;

use http::HeaderName;

use crate::config::Limits;

/// What a connection is held to.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Bytes of a head, its empty last line included.
    pub head_bytes: usize,
    /// Fields of a head.
    pub headers: usize,
    /// Bytes of a target.
    pub target_bytes: usize,
    /// Bytes of a body.
    pub body_bytes: u64,
    /// Names with `_` that are passed on. Rack folds `_` onto `-`, so all others are dropped.
    pub underscores: Vec<HeaderName>,
    /// Whether a client may speak HTTP/2 without having agreed on it within TLS.
    pub h2c: bool,
    /// From the first byte of a head to its last.
    pub head_wait: Duration,
    /// The lowest rate at which a body may arrive, in bytes a second.
    pub body_rate: u64,
    /// How long a client may take none of its answer.
    pub write_wait: Duration,
    /// How long a connection may be idle.
    pub keep_alive: Duration,
    /// How old a connection may become; each has up to a tenth less, so that those which came
    /// together do not all go together.
    pub age: Duration,
}

// === impl Rules ===

impl Rules {
    /// How old the next connection may become, by a number between 0 and 1 that is drawn for it.
    pub(super) fn lifetime(&self, drawn: f64) -> Duration {
        self.age.mul_f64(1.0 - drawn / 10.0)
    }
}

impl From<&Limits> for Rules {
    fn from(limits: &Limits) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            head_bytes: size(limits.head_bytes),
            headers: size(limits.headers),
            target_bytes: size(limits.target_bytes),
            body_bytes: limits.body_bytes,
            underscores: Vec::new(),
            h2c: false,
            head_wait: limits.head_wait,
            body_rate: limits.body_rate,
            write_wait: limits.write_wait,
            keep_alive: limits.keep_alive,
            age: limits.age,
        }
    }
}

impl Default for Rules {
    /// The defaults of `limits:`.
    fn default() -> Self {
        Self {
            head_bytes: 16 * 1024,
            headers: 100,
            target_bytes: 8 * 1024,
            body_bytes: 1024 * 1024 * 1024,
            underscores: Vec::new(),
            h2c: false,
            head_wait: Duration::from_secs(10),
            body_rate: 1024,
            write_wait: Duration::from_secs(60),
            keep_alive: Duration::from_secs(75),
            age: Duration::from_secs(3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_came_together_do_not_all_go_together() {
        let rules = Rules { age: Duration::from_secs(1000), ..Rules::default() };
        let drawn = [0.0, 0.25, 0.5, 1.0].map(|drawn| rules.lifetime(drawn).as_secs());
        assert_eq!(drawn, [1000, 975, 950, 900]);
    }
}
