//! Counters in rows, one row for each thread that counts.
//!
//! Invariant: a row has one writer. That is why it is counted with a load and a store instead of
//! an atomic addition, and why rows lie on cache lines of their own.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_utils::CachePadded;

/// Whether anything is counted. Only who wants to know what counting costs builds usher without.
pub(super) const COUNTS: bool = !cfg!(feature = "uncounted");

/// Counters on one pair of cache lines.
const LINE_CELLS: usize = 16;

type Line = CachePadded<[AtomicU64; LINE_CELLS]>;

/// A number of counters for each of a number of rows.
pub struct Cells {
    lines: Box<[Line]>,
    row_lines: usize,
    slots: usize,
}

// === impl Cells ===

impl Cells {
    /// `rows` rows of `slots` counters, all at 0.
    pub fn new(rows: usize, slots: usize) -> Self {
        let row_lines = slots.div_ceil(LINE_CELLS);
        let lines = (0..rows * row_lines).map(|_| Line::default()).collect();
        Self { lines, row_lines, slots }
    }

    /// Adds `amount` to a counter of the row `worker`, which only its own thread may do.
    #[inline]
    pub fn add(&self, worker: usize, slot: usize, amount: u64) {
        if !COUNTS {
            return;
        }
        let cell = self.cell(worker, slot);
        cell.store(cell.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Takes 1 from a counter of the row `worker`, which only its own thread may do.
    #[inline]
    pub fn take(&self, worker: usize, slot: usize) {
        self.add(worker, slot, 1_u64.wrapping_neg());
    }

    /// A counter over all rows.
    pub fn sum(&self, slot: usize) -> u64 {
        let line = slot / LINE_CELLS;
        let rows = self.lines.iter().skip(line).step_by(self.row_lines);
        rows.fold(0, |sum, line| sum.wrapping_add(line[slot % LINE_CELLS].load(Relaxed)))
    }

    /// A counter that goes up and down, over all rows. Rows are read one after the other, so a
    /// thing that is taken in between can seem to be missing; never less than 0.
    pub fn gauge(&self, slot: usize) -> u64 {
        self.sum(slot).cast_signed().max(0).cast_unsigned()
    }

    #[inline]
    fn cell(&self, worker: usize, slot: usize) -> &AtomicU64 {
        debug_assert!(slot < self.slots, "slot {slot} of {}", self.slots);
        &self.lines[worker * self.row_lines + slot / LINE_CELLS][slot % LINE_CELLS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_count_apart_and_are_read_together() {
        let cells = Cells::new(3, 40);
        for worker in 0..3 {
            cells.add(worker, 0, 1);
            cells.add(worker, 17, worker as u64);
            cells.add(worker, 39, 100);
        }
        assert_eq!([0, 1, 17, 39].map(|slot| cells.sum(slot)), [3, 0, 3, 300]);
    }

    #[test]
    fn what_one_row_adds_another_may_take() {
        let cells = Cells::new(2, 1);
        cells.add(0, 0, 1);
        cells.take(1, 0);
        assert_eq!(cells.gauge(0), 0);
        cells.take(1, 0);
        assert_eq!(cells.gauge(0), 0, "a gauge never wraps");
    }

    #[test]
    fn rows_share_no_cache_line() {
        let cells = Cells::new(2, 3);
        let first = std::ptr::from_ref(cells.cell(0, 2)) as usize;
        let second = std::ptr::from_ref(cells.cell(1, 0)) as usize;
        assert_ne!(first / 64, second / 64);
    }
}
