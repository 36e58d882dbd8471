//! What came of bodies that were asked what their request asks for.

use super::Cells;

/// Counts bodies by what came of them.
pub struct GraphqlMeter {
    cells: Cells,
    /// The words for it, in the order of their numbers.
    results: &'static [&'static str],
}

// === impl GraphqlMeter ===

impl GraphqlMeter {
    pub(super) fn new(rows: usize, results: &'static [&'static str]) -> Self {
        Self { cells: Cells::new(rows, results.len()), results }
    }

    /// A body was asked by `worker`, with the result of that number.
    pub fn asked(&self, worker: usize, result: usize) {
        self.cells.add(worker, result, 1);
    }

    /// How often each came about.
    pub(super) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.results.iter().enumerate().map(|(slot, word)| (*word, self.cells.sum(slot)))
    }
}

impl std::fmt::Debug for GraphqlMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GraphqlMeter")
    }
}
