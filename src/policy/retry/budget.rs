//! How many retries a pool may have: a share of its requests, and a few a second always.
//!
//! Each worker counts its requests in a row of its own, by second, and writes to nothing that
//! another reads meanwhile in the ordinary course; the rows are summed only when a retry is wanted,
//! and what is spent is counted under a lock.
//!
//! Invariant: within any second, at most `per_second` retries beyond the share are granted.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;

use super::Policy;

/// Over how many seconds the share is taken.
const WINDOW_SECONDS: u64 = 10;

/// Seconds that a row remembers: more than the window, so that one being overwritten is not read.
const SLOTS: usize = 16;

/// What one pool has had and may have.
pub struct Budget {
    rows: Box<[CachePadded<Row>]>,
    spent: Mutex<Spent>,
}

/// Requests by second: each cell holds the second in its upper half and the count in its lower.
#[derive(Default)]
struct Row([AtomicU64; SLOTS]);

/// Retries by second.
#[derive(Debug, Default)]
struct Spent([(u64, u64); SLOTS]);

// === impl Budget ===

impl Budget {
    /// Of a pool whose requests `rows` threads count.
    pub fn new(rows: usize) -> Self {
        Self { rows: (0..rows).map(|_| CachePadded::default()).collect(), spent: Mutex::default() }
    }

    /// A request of the thread `row` begins in `second`. Only that thread may say so.
    #[inline]
    pub fn request(&self, row: usize, second: u64) {
        self.rows[row].add(second);
    }

    /// Takes one retry in `second`, if there is one.
    pub fn take(&self, second: u64, policy: &Policy) -> bool {
        let mut spent = self.spent.lock();
        let share = policy.budget.ratio() * self.requests(second) as f64;
        let within_share = (spent.lately(second) as f64) < share.floor();
        let granted = within_share || spent.at(second) < u64::from(policy.per_second);
        if granted {
            spent.add(second);
        }
        granted
    }

    /// Requests within the window that ends with `second`.
    fn requests(&self, second: u64) -> u64 {
        self.rows.iter().map(|row| row.lately(second)).sum()
    }
}

impl std::fmt::Debug for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Budget").field("spent", &self.spent.lock()).finish_non_exhaustive()
    }
}

// === impl Row ===

impl Row {
    fn add(&self, second: u64) {
        let cell = &self.0[slot(second)];
        let held = cell.load(Relaxed);
        let begun = (second & u64::from(u32::MAX)) << 32;
        let count = if held & !u64::from(u32::MAX) == begun { held } else { begun };
        cell.store(count + 1, Relaxed);
    }

    fn lately(&self, second: u64) -> u64 {
        let held = self.0.iter().map(|cell| cell.load(Relaxed));
        held.filter(|held| is_lately(held >> 32, second)).map(|it| it & u64::from(u32::MAX)).sum()
    }
}

// === impl Spent ===

impl Spent {
    fn add(&mut self, second: u64) {
        let count = self.at(second) + 1;
        self.0[slot(second)] = (second, count);
    }

    fn at(&self, second: u64) -> u64 {
        let (held, count) = self.0[slot(second)];
        if held == second { count } else { 0 }
    }

    fn lately(&self, second: u64) -> u64 {
        let held = self.0.iter().filter(|(held, _)| is_lately(*held, second));
        held.map(|(_, count)| count).sum()
    }
}

// === free functions ===

fn slot(second: u64) -> usize {
    (second % SLOTS as u64) as usize
}

fn is_lately(held: u64, second: u64) -> bool {
    held <= second && second - held < WINDOW_SECONDS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_share_of_the_requests_and_ten_a_second_may_be_retries() {
        let policy = Policy::default();
        let budget = Budget::new(2);
        let taken = |second| (0..10_000).take_while(|_| budget.take(second, &policy)).count();
        assert_eq!(taken(100), 10, "without any request");
        for _ in 0..500 {
            budget.request(0, 101);
            budget.request(1, 101);
        }
        assert_eq!(taken(101), 190, "20 % of 1000, with those of the second before");
        assert_eq!(taken(102), 10, "the share is used up");
        assert_eq!(taken(111), 10, "the requests are too long ago");
    }

    /// What is remembered without rows, rings and halves of words.
    #[derive(Default)]
    struct Model {
        requests: Vec<u64>,
        retries: Vec<u64>,
    }

    impl Model {
        fn take(&mut self, second: u64, policy: &Policy) -> bool {
            let lately = |all: &[u64]| all.iter().filter(|at| **at + 10 > second).count() as f64;
            let share = (policy.budget.ratio() * lately(&self.requests)).floor();
            let now = self.retries.iter().filter(|at| **at == second).count();
            let granted = lately(&self.retries) < share || now < policy.per_second as usize;
            if granted {
                self.retries.push(second);
            }
            granted
        }
    }

    proptest! {
        #[test]
        fn it_grants_what_the_model_grants(
            steps in prop::collection::vec((0_u64..4, 0_usize..3, 0_usize..8, 0_usize..12), 1..200),
            per_second in 0_u32..4,
        ) {
            let policy = Policy { per_second, ..Policy::default() };
            let budget = Budget::new(3);
            let mut model = Model::default();
            let mut second = 1_000;
            for (later, row, requests, retries) in steps {
                second += later * later;
                for _ in 0..requests {
                    budget.request(row, second);
                    model.requests.push(second);
                }
                for _ in 0..retries {
                    prop_assert_eq!(budget.take(second, &policy), model.take(second, &policy));
                }
            }
        }
    }
}
