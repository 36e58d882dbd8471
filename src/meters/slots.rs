//! The time that slots were held, exactly, those still held included.
//!
//! With `held` slots now, the integral of slots over time at `t` is `held × t + base`, where
//! taking a slot at `t` takes `t` from `base` and giving it back at `t` adds `t`. The two belong
//! together, so they are read under a sequence number: odd while they are being written.
//!
//! Invariant: a clock has one writer; readers try again, writers never wait.

use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
    fence,
};

use crossbeam_utils::CachePadded;

use super::cells::COUNTS;

/// The held slots of one thread. Times are microseconds since a common origin.
#[derive(Default)]
pub(super) struct SlotClock(CachePadded<Words>);

#[derive(Default)]
struct Words {
    sequence: AtomicU64,
    held: AtomicU64,
    base: AtomicU64,
}

// === impl SlotClock ===

impl SlotClock {
    /// A slot has been taken at `at_us`. Only this clock's thread may say so.
    pub(super) fn take(&self, at_us: u64) {
        self.write(1, at_us.wrapping_neg());
    }

    /// A slot has been given back at `at_us`. Only this clock's thread may say so.
    pub(super) fn give_back(&self, at_us: u64) {
        self.write(1_u64.wrapping_neg(), at_us);
    }

    /// Slots that are held now.
    pub(super) fn held(&self) -> u64 {
        self.0.held.load(Relaxed)
    }

    /// Slots × microseconds until `now_us`; not below 0 when a slot was taken after it.
    pub(super) fn slot_us(&self, now_us: u64) -> u64 {
        let (held, base) = self.read();
        held.wrapping_mul(now_us).wrapping_add(base).cast_signed().max(0).cast_unsigned()
    }

    /// Arithmetic wraps: single words may be negative, the integral is not.
    fn write(&self, held: u64, base: u64) {
        if !COUNTS {
            return;
        }
        let words = &*self.0;
        let sequence = words.sequence.load(Relaxed);
        words.sequence.store(sequence.wrapping_add(1), Relaxed);
        // Nothing below may be seen before the odd number is.
        fence(Release);
        words.held.store(words.held.load(Relaxed).wrapping_add(held), Relaxed);
        words.base.store(words.base.load(Relaxed).wrapping_add(base), Relaxed);
        words.sequence.store(sequence.wrapping_add(2), Release);
    }

    fn read(&self) -> (u64, u64) {
        let words = &*self.0;
        loop {
            let before = words.sequence.load(Acquire);
            let pair = (words.held.load(Relaxed), words.base.load(Relaxed));
            // Nothing above may be read after the second look at the number.
            fence(Acquire);
            if before.is_multiple_of(2) && words.sequence.load(Relaxed) == before {
                return pair;
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn held_slots_count_as_time_goes_by() {
        let clock = SlotClock::default();
        clock.take(100);
        clock.take(150);
        assert_eq!(clock.slot_us(200), 100 + 50);
        clock.give_back(250);
        assert_eq!(clock.slot_us(250), 150 + 100);
        clock.give_back(400);
        assert_eq!([clock.slot_us(400), clock.slot_us(9_000)], [400, 400]);
    }

    #[test]
    fn a_slot_taken_after_the_look_counts_nothing() {
        let clock = SlotClock::default();
        clock.take(100);
        assert_eq!(clock.slot_us(90), 0);
    }

    #[test]
    fn a_reader_never_sees_half_of_a_change() {
        const ROUNDS: u64 = 200_000;
        const HELD_US: u64 = 1_000;
        let clock = SlotClock::default();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..ROUNDS {
                    clock.take(round * HELD_US);
                    clock.give_back((round + 1) * HELD_US);
                }
            });
            while !writer.is_finished() {
                // A slot is always taken when the last one was given back: what was complete and
                // when it was taken cancel out.
                let (held, base) = clock.read();
                assert!(held == 0 && base % HELD_US == 0 || held == 1 && base == 0);
            }
        });
        assert_eq!(clock.slot_us(u64::MAX), ROUNDS * HELD_US);
    }
}
