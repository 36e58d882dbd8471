//! Requests of one audience in a pool that is not its own, because its own could not take them.
//!
//! They hold at most a share of that pool's slots, exactly, orphans included, and they never wait
//! there: those whose pool it is go first.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

/// The guests of one audience in one pool. Outlives snapshots.
#[derive(Debug, Default)]
pub struct Guests {
    here: AtomicU64,
    counts: [AtomicU64; Welcome::ALL.len()],
}

/// What became of a request that asked for a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// It got a slot.
    Taken,
    /// As many are there as may be.
    ShareUsed,
    /// The pool had no slot to spare.
    NoSlot,
}

/// A place among the guests. Dropping it makes room for another; it goes with the slot.
#[derive(Debug)]
pub struct GuestPlace(Arc<Guests>);

// === impl Guests ===

impl Guests {
    /// A place, if fewer than `share` of `slots` are held; one there may be, unless there are none.
    pub fn enter(self: &Arc<Self>, share: f64, slots: u64) -> Option<GuestPlace> {
        let max = ((share * slots as f64).floor() as u64).max(slots.min(1));
        let enter = |here| (here < max).then_some(here + 1);
        match self.here.fetch_update(Relaxed, Relaxed, enter) {
            Ok(_) => Some(GuestPlace(self.clone())),
            Err(_) => {
                self.count(Welcome::ShareUsed);
                None
            }
        }
    }

    /// Slots that are held.
    pub fn here(&self) -> u64 {
        self.here.load(Relaxed)
    }

    /// What has become of those who asked.
    pub fn counts(&self) -> [(&'static str, u64); Welcome::ALL.len()] {
        Welcome::ALL.map(|it| (it.name(), self.counts[it as usize].load(Relaxed)))
    }

    /// This has become of one.
    pub fn count(&self, welcome: Welcome) {
        self.counts[welcome as usize].fetch_add(1, Relaxed);
    }
}

// === impl Welcome ===

impl Welcome {
    /// All that there is.
    pub const ALL: [Welcome; 3] = [Welcome::Taken, Welcome::ShareUsed, Welcome::NoSlot];

    /// The word used in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Welcome::Taken => "taken",
            Welcome::ShareUsed => "share_used",
            Welcome::NoSlot => "no_slot",
        }
    }
}

// === impl GuestPlace ===

impl Drop for GuestPlace {
    fn drop(&mut self) {
        self.0.here.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_hold_their_share_and_no_more() {
        let guests = Arc::new(Guests::default());
        let places: Vec<_> = (0..9).filter_map(|_| guests.enter(0.25, 20)).collect();
        assert_eq!((places.len(), guests.here()), (5, 5));
        drop(places);
        assert_eq!(guests.here(), 0);
        assert!(guests.enter(0.25, 0).is_none(), "there are no slots at all");
        let one = guests.enter(0.01, 20);
        assert!(one.is_some() && guests.enter(0.01, 20).is_none(), "one there may be");
    }
}
