//! The slots of a wheel: each a list of the deadlines whose tick falls on it.
//!
//! The lists are linked by index within one slab, so that a deadline leaves its list in constant
//! time. Pure: ticks are arguments, and whoever calls wakes.

use std::task::{Context, Poll, Waker};

use slab::Slab;

/// Slots of the wheel; a deadline further away than all of them waits for a later turn.
const SLOTS: usize = 4096;

/// The end of a slot's list.
const END: u32 = u32::MAX;

/// Deadlines by tick.
pub(super) struct Slots {
    entries: Slab<Entry>,
    heads: Box<[u32]>,
    /// One bit a slot, so that empty ones cost nothing to skip.
    occupied: Box<[u64]>,
    /// The last tick that was dealt with.
    tick: u64,
    /// The tick for which the driver sleeps.
    next: Option<u64>,
}

/// Where a deadline is linked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    key: usize,
    /// When it fires.
    pub(super) tick: u64,
}

struct Entry {
    tick: u64,
    waker: Option<Waker>,
    fired: bool,
    before: u32,
    after: u32,
}

// === impl Slots ===

impl Slots {
    pub(super) fn new() -> Self {
        Self {
            entries: Slab::new(),
            heads: vec![END; SLOTS].into(),
            occupied: vec![0; SLOTS / 64].into(),
            tick: 0,
            next: None,
        }
    }

    /// How many deadlines there are.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The last tick that was dealt with.
    pub(super) fn tick(&self) -> u64 {
        self.tick
    }

    /// Whether `tick` has been dealt with.
    pub(super) fn has_passed(&self, tick: u64) -> bool {
        tick <= self.tick
    }

    /// How many ticks before `now` the driver was to have fired what is next.
    pub(super) fn behind(&self, now: u64) -> u64 {
        self.next.map_or(0, |next| now.saturating_sub(next))
    }

    /// Whether `tick` comes before the one that the driver sleeps for; then it is to be told.
    pub(super) fn is_sooner(&mut self, tick: u64) -> bool {
        let sooner = self.next.is_none_or(|next| tick < next);
        if sooner {
            self.next = Some(tick);
        }
        sooner
    }

    /// Whether the deadline has fired; if not, its waker is renewed.
    pub(super) fn poll(&mut self, place: Place, cx: &Context<'_>) -> Poll<()> {
        let entry = &mut self.entries[place.key];
        if entry.fired {
            return Poll::Ready(());
        }
        if !entry.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            entry.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Links a deadline into the slot of its tick; returns its place.
    pub(super) fn insert(&mut self, tick: u64, waker: Waker) -> Place {
        let slot = slot_of(tick);
        let after = self.heads[slot];
        let entry = Entry { tick, waker: Some(waker), fired: false, before: END, after };
        let key = self.entries.insert(entry);
        let link = u32::try_from(key).expect("a worker has fewer than 2^32 deadlines");
        if after != END {
            self.entries[after as usize].before = link;
        }
        self.heads[slot] = link;
        self.occupied[slot / 64] |= 1 << (slot % 64);
        Place { key, tick }
    }

    /// Forgets a deadline, whether it has fired or not.
    pub(super) fn remove(&mut self, Place { key, .. }: Place) {
        if !self.entries[key].fired {
            self.unlink(key);
        }
        self.entries.remove(key);
    }

    fn unlink(&mut self, key: usize) {
        let Entry { tick, before, after, .. } = self.entries[key];
        if after != END {
            self.entries[after as usize].before = before;
        }
        if before != END {
            self.entries[before as usize].after = after;
            return;
        }
        let slot = slot_of(tick);
        self.heads[slot] = after;
        if after == END {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// Fires all that is due at `now` into `due`, and tells the tick to sleep for.
    pub(super) fn advance(&mut self, now: u64, due: &mut Vec<Waker>) -> Option<u64> {
        let first = self.tick + 1;
        let last = now.min(self.tick + SLOTS as u64);
        for tick in first..=last {
            let mut link = self.heads[slot_of(tick)];
            while link != END {
                let key = link as usize;
                link = self.entries[key].after;
                if self.entries[key].tick <= now {
                    self.unlink(key);
                    let entry = &mut self.entries[key];
                    entry.fired = true;
                    due.extend(entry.waker.take());
                }
            }
        }
        self.tick = self.tick.max(now);
        self.next = self.next_occupied();
        self.next
    }

    /// The next tick whose slot holds anything.
    fn next_occupied(&self) -> Option<u64> {
        let first = self.tick + 1;
        let start = slot_of(first);
        let words = self.occupied.len();
        for step in 0..=words {
            let index = (start / 64 + step) % words;
            let mut word = self.occupied[index];
            if step == 0 {
                word &= u64::MAX << (start % 64);
            } else if step == words {
                word &= !(u64::MAX << (start % 64));
            }
            if word != 0 {
                let slot = index * 64 + word.trailing_zeros() as usize;
                return Some(first + ((slot + SLOTS - start) % SLOTS) as u64);
            }
        }
        None
    }
}

fn slot_of(tick: u64) -> usize {
    (tick % SLOTS as u64) as usize
}
