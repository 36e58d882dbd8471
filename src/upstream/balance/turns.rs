//! Whose turn it is when endpoints take turns.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts turns, over all workers. Only pools that balance by turns write to it.
#[derive(Debug, Default)]
pub struct Turns(AtomicU64);

// === impl Turns ===

impl Turns {
    /// A number below `sum`. Any `sum` turns in a row are each of them once, spread out: so each
    /// endpoint has exactly its weight, and not all of it in a row.
    pub fn next(&self, sum: u64) -> u64 {
        let turn = self.0.fetch_add(1, Relaxed) % sum;
        u64::try_from(u128::from(turn) * u128::from(stride(sum)) % u128::from(sum)).unwrap_or(0)
    }
}

/// A step that has no divisor in common with `sum`, near its golden section.
fn stride(sum: u64) -> u64 {
    let golden = (sum as f64 * 0.618_034) as u64;
    let mut strides = (1..=golden.max(1)).rev();
    strides.find(|&stride| divisor(stride, sum) == 1).unwrap_or(1)
}

fn divisor(one: u64, other: u64) -> u64 {
    if other == 0 { one } else { divisor(other, one % other) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_in_a_round() {
        for sum in [1, 2, 3, 4, 6, 7, 100, 1000] {
            let turns = Turns::default();
            let mut round: Vec<_> = (0..sum).map(|_| turns.next(sum)).collect();
            round.sort_unstable();
            assert_eq!(round, (0..sum).collect::<Vec<_>>());
        }
    }
}
