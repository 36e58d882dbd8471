//! Counts of the last while, in slots of equal length.

/// Good and bad events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Served as promised.
    pub good: u64,
    /// Not.
    pub bad: u64,
}

/// A ring of slots, the newest at `head`. Time is in seconds since 1970 and never runs backwards
/// here: what comes with an earlier time is counted in the newest slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ring {
    step: u64,
    /// The newest slot: seconds since 1970 divided by `step`.
    head: u64,
    slots: Box<[Count]>,
}

// === impl Count ===

impl Count {
    /// All of them.
    pub fn events(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// The share of bad ones; none without events.
    pub fn bad_share(self) -> Option<f64> {
        (self.events() > 0).then(|| self.bad as f64 / self.events() as f64)
    }

    /// Those of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { good: self.good.saturating_add(other.good), bad: self.bad.saturating_add(other.bad) }
    }
}

// === impl Ring ===

impl Ring {
    /// An empty ring that remembers at least the last `span` seconds, in slots of `step`.
    pub fn new(step: u64, span: u64) -> Self {
        // One for the slot that is only half over, one for the half that has left the window.
        let slots = usize::try_from(span.div_ceil(step) + 2).unwrap_or(2);
        Self { step, head: 0, slots: vec![Count::default(); slots].into() }
    }

    /// How long a slot is, in seconds.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Whether it remembers `over` seconds.
    pub fn reaches(&self, over: u64) -> bool {
        over.div_ceil(self.step) + 2 <= self.slots.len() as u64
    }

    /// Counts `count` at `now`.
    pub fn add(&mut self, now: u64, count: Count) {
        self.advance(now / self.step);
        let index = self.index(self.head);
        self.slots[index] = self.slots[index].plus(count);
    }

    /// What was counted in the last `over` seconds before `now`, to the slot: up to one slot more.
    pub fn sum(&self, now: u64, over: u64) -> Count {
        let newest = (now / self.step).max(self.head);
        let oldest = now.max(self.head * self.step).saturating_sub(over) / self.step;
        let slots = (oldest..=newest).filter_map(|slot| self.slot(slot));
        slots.fold(Count::default(), Count::plus)
    }

    /// The slots in which anything was counted, oldest first, by when they begin.
    pub fn counted(&self) -> impl Iterator<Item = (u64, Count)> {
        let oldest = (self.head + 1).saturating_sub(self.slots.len() as u64);
        let slots = (oldest..=self.head).filter_map(|slot| Some((slot, self.slot(slot)?)));
        slots.filter(|(_, count)| count.events() > 0).map(|(slot, count)| (slot * self.step, count))
    }

    /// The newest slot: seconds since 1970 divided by the length of a slot.
    pub(super) fn newest(&self) -> u64 {
        self.head
    }

    /// All slots, the newest first.
    pub(super) fn backwards(&self) -> impl Iterator<Item = Count> {
        (0..self.slots.len() as u64).map_while(|back| self.slot(self.head.checked_sub(back)?))
    }

    /// Empties it, and makes `slot` the newest.
    pub(super) fn begin_at(&mut self, slot: u64) {
        self.slots.fill(Count::default());
        self.head = slot;
    }

    /// Sets what was counted so many slots before the newest one, as far as it is remembered.
    pub(super) fn set(&mut self, back: u64, count: Count) {
        let slot = self.head.checked_sub(back).filter(|slot| self.slot(*slot).is_some());
        if let Some(slot) = slot {
            let index = self.index(slot);
            self.slots[index] = count;
        }
    }

    /// Takes in all that `other`, a ring of the same kind, remembers.
    pub fn merge(&mut self, other: &Ring) {
        self.advance(other.head);
        for (at, count) in other.counted() {
            let slot = at / self.step;
            if self.slot(slot).is_some() {
                let index = self.index(slot);
                self.slots[index] = self.slots[index].plus(count);
            }
        }
    }

    fn slot(&self, slot: u64) -> Option<Count> {
        let remembered = slot <= self.head && self.head - slot < self.slots.len() as u64;
        remembered.then(|| self.slots[self.index(slot)])
    }

    fn index(&self, slot: u64) -> usize {
        (slot % self.slots.len() as u64) as usize
    }

    fn advance(&mut self, slot: u64) {
        if slot <= self.head {
            return;
        }
        let over = (slot - self.head).min(self.slots.len() as u64);
        for new in slot + 1 - over..=slot {
            let index = self.index(new);
            self.slots[index] = Count::default();
        }
        self.head = slot;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn bad(bad: u64) -> Count {
        Count { good: 0, bad }
    }

    #[test]
    fn what_is_older_than_the_window_is_gone() {
        let mut ring = Ring::new(5, 300);
        for second in 1_000..2_000 {
            ring.add(second, bad(1));
        }
        // Slots are 5 s long, so a window may hold up to 5 s more.
        assert!((300..=305).contains(&ring.sum(1_999, 300).bad));
        assert!((200..=205).contains(&ring.sum(1_999 + 100, 300).bad));
        assert_eq!(ring.sum(9_000, 300).bad, 0);
    }

    #[test]
    fn a_clock_that_goes_back_counts_into_the_newest_slot() {
        let mut ring = Ring::new(5, 300);
        ring.add(1_000, bad(1));
        ring.add(400, bad(1));
        assert_eq!(ring.sum(400, 5).bad, 2);
        assert_eq!(ring.counted().collect::<Vec<_>>(), [(1_000, bad(2))]);
    }

    proptest! {
        #[test]
        fn a_ring_counts_what_a_list_would(
            steps in prop::collection::vec((0_u64..40, 0_u64..5), 1..200),
            over in 1_u64..120,
        ) {
            let mut ring = Ring::new(5, 120);
            let (mut now, mut list) = (10_000, Vec::new());
            for (pause, count) in steps {
                now += pause;
                ring.add(now, bad(count));
                list.push((now, count));
            }
            let from = (now - over) / 5 * 5;
            let expected: u64 =
                list.iter().filter(|(at, _)| *at >= from).map(|(_, count)| count).sum();
            prop_assert_eq!(ring.sum(now, over).bad, expected);
        }
    }
}
