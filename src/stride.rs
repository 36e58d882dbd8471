//! Long work in short strides, between which whoever waits for the core gets it.
//!
//! A thread that wants little of a core may still keep one that wants it now from having it: a
//! system lets a thread that runs go on for a slice of some milliseconds, however nice it is, and a
//! request waits for the end of that. So long work asks at [`pause`], many times a millisecond,
//! whether its stride is over, and then offers the core to whoever is ready (`sched_yield(2)`).
//! Where nobody is, that costs a fraction of a microsecond.
//!
//! **Invariant:** no lock is held at a `pause`. Whoever wants it would wait for as long as others
//! want the core.

use std::{
    cell::Cell,
    thread,
    time::{Duration, Instant},
};

/// How long a stride is: much less than a request takes, and much more than offering a core costs.
const STRIDE: Duration = Duration::from_micros(100);

/// How many pauses pass before one looks at the clock.
const PAUSES: u32 = 4;

thread_local! {
    static WALK: Cell<Option<Walk>> = const { Cell::new(None) };
}

/// Work in strides that is under way.
#[derive(Clone, Copy)]
struct Walk {
    begun: Instant,
    pauses: u32,
}

/// Does `work` in strides. What it calls says where they may end.
pub fn walk<T>(work: impl FnOnce() -> T) -> T {
    /// Ends it also when `work` panics.
    struct Under(Option<Walk>);
    impl Drop for Under {
        fn drop(&mut self) {
            WALK.set(self.0);
        }
    }
    let _under = Under(WALK.replace(Some(Walk { begun: Instant::now(), pauses: 0 })));
    work()
}

/// A place at which a stride may end. It costs next to nothing where nobody walks.
#[inline]
pub fn pause() {
    if let Some(walk) = WALK.get() {
        pause_in(walk);
    }
}

fn pause_in(mut walk: Walk) {
    walk.pauses += 1;
    if walk.pauses == PAUSES {
        walk.pauses = 0;
        if walk.begun.elapsed() >= STRIDE {
            thread::yield_now();
            walk.begun = Instant::now();
        }
    }
    WALK.set(Some(walk));
}

/// Lets go of many things, in strides.
pub fn let_go<T>(things: impl IntoIterator<Item = T>) {
    for thing in things {
        drop(thing);
        pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pauses() -> Option<u32> {
        WALK.get().map(|walk| walk.pauses)
    }

    #[test]
    fn only_who_walks_pauses_and_only_for_as_long() {
        pause();
        assert_eq!(pauses(), None);
        let inner = walk(|| {
            pause();
            walk(pause);
            pauses()
        });
        assert_eq!(inner, Some(1), "a walk within another is one of its own");
        assert_eq!(pauses(), None);
        let panicked = std::panic::catch_unwind(|| walk(|| panic!("on purpose")));
        assert!(panicked.is_err() && pauses().is_none());
    }

    #[test]
    fn a_stride_ends_when_its_time_is_over_and_the_next_begins() {
        walk(|| {
            let begun = || WALK.get().expect("it walks").begun;
            let first = begun();
            while begun() == first {
                pause();
            }
            assert!(begun() - first >= STRIDE);
            assert_eq!(pauses(), Some(0));
        });
    }

    #[test]
    fn all_things_are_let_go_of() {
        let one = std::sync::Arc::new(());
        let things: Vec<_> = std::iter::repeat_with(|| one.clone()).take(40).collect();
        walk(|| let_go(things));
        assert_eq!(std::sync::Arc::strong_count(&one), 1);
    }
}
