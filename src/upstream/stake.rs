//! What an audience may expect of a pool that it shares with others, and what it holds of it.
//!
//! Slots that an audience holds are counted in a cell of each worker's own: a request pays a load
//! and a store for it, and the sum is only made while somebody waits.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use crossbeam_utils::CachePadded;

use super::line::Lane;

/// Slots that one audience holds in one pool, a cell for each worker. Outlives snapshots.
#[derive(Debug)]
pub struct Holdings {
    id: u64,
    cells: Box<[CachePadded<AtomicU64>]>,
}

/// One audience's claim to the slots of one pool.
#[derive(Debug)]
pub struct Stake {
    holdings: Arc<Holdings>,
    priority: u8,
    /// The share of the pool's slots that it gets when it wants them, whoever else does.
    share: f64,
    /// The slots of the whole pool.
    slots: Arc<AtomicU64>,
}

// === impl Holdings ===

impl Holdings {
    pub(super) fn new(id: u64, workers: usize) -> Self {
        Self { id, cells: (0..workers).map(|_| CachePadded::default()).collect() }
    }
}

// === impl Stake ===

impl Stake {
    pub(super) fn new(
        holdings: Arc<Holdings>,
        slots: Arc<AtomicU64>,
        priority: u8,
        share: f64,
    ) -> Self {
        Self { holdings, priority, share, slots }
    }

    /// `worker` has taken a slot for it. Only its own thread may say so.
    #[inline]
    pub fn took(&self, worker: usize) {
        self.add(worker, 1);
    }

    /// `worker` has given back a slot that it took for it.
    #[inline]
    pub fn gave_back(&self, worker: usize) {
        self.add(worker, 1_u64.wrapping_neg());
    }

    /// Slots that it holds.
    pub fn held(&self) -> u64 {
        let cells = self.holdings.cells.iter();
        let held = cells.fold(0_u64, |sum, cell| sum.wrapping_add(cell.load(Relaxed)));
        held.cast_signed().max(0).cast_unsigned()
    }

    /// Slots that it is guaranteed: its share of the pool's, rounded up.
    pub fn guaranteed(&self) -> u64 {
        (self.share * self.slots.load(Relaxed) as f64).ceil() as u64
    }

    fn add(&self, worker: usize, amount: u64) {
        if let Some(cell) = self.holdings.cells.get(worker) {
            cell.store(cell.load(Relaxed).wrapping_add(amount), Relaxed);
        }
    }
}

impl Lane for Arc<Stake> {
    fn key(&self) -> u64 {
        self.holdings.id
    }

    fn priority(&self) -> u8 {
        self.priority
    }

    fn owed(&self) -> i64 {
        self.guaranteed() as i64 - self.held() as i64
    }
}
