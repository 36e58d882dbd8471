//! Slots, orphans, queue and capacity of one address, against a model that only counts.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;

use super::{enter_for, lease, pool, terms};
use crate::upstream::{Lease, Pool, Waiting};

const CAPACITY_MAX: u32 = 4;

/// So long that the pool is never overloaded, however busy the machine is.
const WAIT: Duration = Duration::from_secs(3600);

/// What may happen; numbers choose among those that there are.
#[derive(Clone, Debug)]
enum Step {
    Lease,
    GiveBack(usize),
    Orphan(usize),
    Wait,
    Leave(usize),
    Resize(u32),
}

/// A pool of one endpoint, and what must be true of it.
struct Both {
    pool: Pool,
    capacity: u32,
    held: Vec<(Lease, bool)>,
    waiting: Vec<Waiting>,
}

// === impl Both ===

impl Both {
    fn new() -> Self {
        let pool = pool(&[1], 2, &Arc::default());
        Self { pool, capacity: 2, held: Vec::new(), waiting: Vec::new() }
    }

    fn take(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match *step {
            Step::Lease => {
                let free = self.held.len() < self.capacity as usize;
                let leased = lease(&self.pool);
                prop_assert_eq!(leased.is_ok(), free && self.waiting.is_empty());
                self.held.extend(leased.ok().map(|lease| (lease, false)));
            }
            Step::GiveBack(which) => {
                if let Some(at) = choose(which, self.held.len()) {
                    drop(self.held.swap_remove(at));
                }
            }
            Step::Orphan(which) => {
                if let Some(at) = choose(which, self.held.len()) {
                    self.held[at].0.orphan();
                    self.held[at].1 = true;
                }
            }
            Step::Wait => {
                if self.waiting.len() < 10 {
                    self.waiting.push(enter_for(WAIT, &self.pool, &[]));
                }
            }
            Step::Leave(which) => {
                if let Some(at) = choose(which, self.waiting.len()) {
                    drop(self.waiting.remove(at));
                }
            }
            Step::Resize(capacity) => {
                self.pool = self.pool.successor(terms(&[1], capacity));
                self.capacity = capacity;
            }
        }
        self.collect();
        self.check()
    }

    /// Takes up what was granted to those who wait.
    fn collect(&mut self) {
        // In order, so that whoever has waited longest is asked first.
        let waiting = std::mem::take(&mut self.waiting);
        let mut queued = self.pool.queue().waiting();
        let granted = waiting.len() - queued;
        for (place, waiting) in waiting.into_iter().enumerate() {
            if place < granted {
                let grant = waiting.leave().expect("the oldest are served first");
                self.held.push((grant.lease, false));
            } else {
                queued -= 1;
                self.waiting.push(waiting);
            }
        }
        assert_eq!(queued, 0);
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let members = self.pool.members();
        let endpoint = &members.iter().next().expect("a member").endpoint;
        let orphans = self.held.iter().filter(|(_, orphaned)| *orphaned).count();
        prop_assert_eq!(endpoint.in_flight() as usize, self.held.len());
        prop_assert_eq!(endpoint.orphans() as usize, orphans);
        prop_assert_eq!(endpoint.capacity(), self.capacity);
        prop_assert_eq!(self.pool.queue().waiting(), self.waiting.len());
        let free = self.held.len() < self.capacity as usize;
        prop_assert!(!free || self.waiting.is_empty(), "nobody waits beside a free slot");
        Ok(())
    }
}

fn choose(which: usize, of: usize) -> Option<usize> {
    which.checked_rem(of)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => Just(Step::Lease),
        3 => any::<usize>().prop_map(Step::GiveBack),
        1 => any::<usize>().prop_map(Step::Orphan),
        3 => Just(Step::Wait),
        1 => any::<usize>().prop_map(Step::Leave),
        1 => (1..=CAPACITY_MAX).prop_map(Step::Resize),
    ]
}

proptest! {
    #[test]
    fn slots_are_what_a_count_says_whatever_happens(
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut both = Both::new();
        for step in &steps {
            both.take(step)?;
        }
        // Whatever was under way, in the end all is back.
        both.waiting.clear();
        both.held.clear();
        both.check()?;
    }
}
