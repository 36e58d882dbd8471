//! One worker's memory: two rings, for what went well and for what went wrong.

use std::{collections::VecDeque, time::SystemTime};

use super::{Reach, Remembered};

/// How many configurations back the texts of entries are kept; entries that are older go.
const GENERATIONS_MAX: u64 = 8;

/// What one worker remembers.
#[derive(Debug)]
pub(super) struct Shelf {
    well: Ring,
    wrong: Ring,
}

/// The last so many.
#[derive(Debug)]
struct Ring {
    entries: VecDeque<Remembered>,
    most: usize,
    generation: u64,
    /// When the last one ended that is no longer in here.
    forgotten: Option<SystemTime>,
}

// === impl Shelf ===

impl Shelf {
    /// Room for `most` entries, half of them for what went wrong.
    pub(super) fn new(most: usize) -> Self {
        let half = most.div_ceil(2);
        Self { well: Ring::new(half), wrong: Ring::new(half) }
    }

    #[inline(always)]
    pub(super) fn keep(&mut self, request: Remembered) {
        let ring = if request.went_wrong() { &mut self.wrong } else { &mut self.well };
        ring.keep(request);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.well.entries.len() + self.wrong.entries.len()
    }

    /// At most `most` entries from the one at `from` on, those that went wrong first.
    pub(super) fn entries(&self, from: usize, most: usize) -> impl Iterator<Item = &Remembered> {
        self.wrong.entries.iter().chain(&self.well.entries).skip(from).take(most)
    }

    pub(super) fn reach(&self) -> Reach {
        Reach { well: self.well.forgotten, wrong: self.wrong.forgotten }
    }
}

// === impl Ring ===

impl Ring {
    fn new(most: usize) -> Self {
        Self { entries: VecDeque::with_capacity(most), most, generation: 0, forgotten: None }
    }

    #[inline(always)]
    fn keep(&mut self, request: Remembered) {
        if request.told.generation > self.generation {
            self.generation = request.told.generation;
            self.forget_old_generations();
        }
        if self.entries.len() == self.most {
            self.forget_first();
        }
        self.entries.push_back(request);
    }

    /// However often the configuration changes, few of them are held on to.
    #[cold]
    fn forget_old_generations(&mut self) {
        let oldest = self.generation.saturating_sub(GENERATIONS_MAX - 1);
        while self.entries.front().is_some_and(|first| first.told.generation < oldest) {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.forgotten = Some(first.at);
        }
    }
}
