//! The slots of one endpoint: so many requests may be in progress at one Puma, over all workers.
//!
//! Taking one is a compare-and-swap; so is all that a request pays while nobody waits. Who gives a
//! slot back looks for waiters *after* that, and who begins to wait tries for a slot *after* having
//! said so; a fence stands between the two halves on either side, so that at least one of them sees
//! the other.
//!
//! Invariant: never more are taken than the limit was when they were.

use super::sync::{AtomicU32, Ordering, fence};

/// The slots of one endpoint.
#[derive(Debug)]
pub struct Slots {
    taken: AtomicU32,
    limit: AtomicU32,
}

// === impl Slots ===

impl Slots {
    /// So many slots, all free.
    pub fn new(limit: u32) -> Self {
        Self { taken: AtomicU32::new(0), limit: AtomicU32::new(limit) }
    }

    /// How many are taken.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// How many there are.
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Whether one looks free.
    pub fn has_room(&self) -> bool {
        self.taken() < self.limit()
    }

    /// There are `limit` slots from now on. Those that are taken beyond it stay so until they are
    /// given back. Answers whether there are more than before: then waiters are to be looked for.
    pub fn resize(&self, limit: u32) -> bool {
        let grown = self.limit.swap(limit, Ordering::Relaxed) < limit;
        if grown {
            fence(Ordering::SeqCst);
        }
        grown
    }

    /// Takes one, if one is free.
    pub fn take(&self) -> bool {
        let limit = self.limit();
        let mut taken = self.taken.load(Ordering::Relaxed);
        while taken < limit {
            let (now, order) = (taken + 1, Ordering::AcqRel);
            match self.taken.compare_exchange_weak(taken, now, order, Ordering::Relaxed) {
                Ok(_) => return true,
                Err(seen) => taken = seen,
            }
        }
        false
    }

    /// Gives one back. Waiters are to be looked for after that.
    pub fn give_back(&self) {
        let before = self.taken.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "a slot was given back twice");
        fence(Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_taken_than_there_are() {
        let slots = Slots::new(2);
        assert!(slots.take() && slots.take() && !slots.take());
        slots.give_back();
        assert!(slots.take());
        assert!(!slots.resize(1), "fewer");
        slots.give_back();
        assert!(!slots.take(), "one is still taken, and there is one");
        assert!(slots.resize(3));
        assert!(slots.take() && slots.take() && !slots.take());
    }

    #[test]
    fn no_more_are_taken_than_there_are_by_many_at_once() {
        let slots = Slots::new(3);
        let most = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if slots.take() {
                            most.fetch_max(slots.taken(), Ordering::Relaxed);
                            slots.give_back();
                        }
                    }
                });
            }
        });
        assert_eq!(slots.taken(), 0);
        assert!((1..=3).contains(&most.load(Ordering::Relaxed)));
    }
}
