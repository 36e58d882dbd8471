//! What came of what requests carried to prove who asks.

use super::Cells;

/// How many results one source can have beside the good one.
const RESULTS_MAX: usize = 31;

/// Counts what came of asking one source of identities.
pub struct IdentityMeter {
    cells: Cells,
    /// The words for what may be wrong, in the order of their numbers.
    flaws: &'static [&'static str],
}

// === impl IdentityMeter ===

impl IdentityMeter {
    pub(super) fn new(rows: usize, flaws: &'static [&'static str]) -> Self {
        assert!(flaws.len() <= RESULTS_MAX, "results are a closed and small set");
        Self { cells: Cells::new(rows, flaws.len() + 1), flaws }
    }

    /// It was asked by `worker`: it proved somebody, or the flaw of that number was found.
    pub fn asked(&self, worker: usize, flaw: Option<usize>) {
        self.cells.add(worker, flaw.map_or(0, |flaw| flaw + 1), 1);
    }

    /// How often each came about: `proved`, and every flaw.
    pub(super) fn read(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let words = std::iter::once("proved").chain(self.flaws.iter().copied());
        words.enumerate().map(|(slot, word)| (word, self.cells.sum(slot)))
    }
}

impl std::fmt::Debug for IdentityMeter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityMeter")
    }
}
