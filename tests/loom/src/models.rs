//! The models. Each runs once for every order.

use std::time::{Duration, Instant};

use loom::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
};

use crate::{
    line::{Lane, Leaving, Terms, Ticket},
    room::{Room, Source},
    slots::Slots,
    sync::Mutex,
};

macro_rules! models {
    ($($name:ident,)+) => {
        /// Every model, and its name.
        pub const ALL: &[(&str, fn())] = &[$((stringify!($name), $name),)+];
    };
}

models! {
    a_slot_given_back_reaches_whoever_begins_to_wait,
    two_that_begin_to_wait_are_both_served_when_two_slots_are_given_back,
    a_newcomer_that_takes_the_slot_passes_it_on,
    whoever_leaves_was_served_or_is_gone_and_its_slot_goes_to_the_next,
    more_slots_reach_whoever_begins_to_wait,
    whoever_takes_a_slot_finds_the_connection_that_it_came_free_with,
    without_a_fence_a_wake_up_is_lost,
}

/// The one audience there is.
#[derive(Clone, Copy, Debug)]
struct Everyone;

impl Lane for Everyone {
    fn key(&self) -> u64 {
        0
    }

    fn priority(&self) -> u8 {
        0
    }

    fn owed(&self) -> i64 {
        0
    }
}

/// A waiter, as the one who serves it sees it: the number of slots it was given.
type Waiter = Arc<AtomicU32>;

/// An endpoint and the queue of its pool.
struct Pool {
    slots: Slots,
    room: Room<Everyone, Waiter>,
    now: Instant,
    /// Requests that hold a slot.
    working: AtomicU32,
}

struct Endpoint<'a>(&'a Slots);

impl Source<Waiter> for Endpoint<'_> {
    type Slot = ();

    fn suits(&self, _: &Waiter) -> bool {
        true
    }

    fn take(&self) -> Option<()> {
        self.0.take().then_some(())
    }
}

impl Pool {
    fn new(limit: u32) -> Arc<Self> {
        let working = AtomicU32::new(0);
        Arc::new(Self { slots: Slots::new(limit), room: Room::new(), now: Instant::now(), working })
    }

    /// As `upstream::Pool::lease`: whoever finds somebody waiting does not overtake.
    fn take(&self) -> bool {
        let taken = self.room.waiting() == 0 && self.slots.take();
        if taken {
            self.work();
        }
        taken
    }

    fn work(&self) {
        let before = self.working.fetch_add(1, Ordering::Relaxed);
        assert!(before < self.slots.limit(), "more than there are slots");
    }

    /// As `Lease::give_back`.
    fn give_back(&self) {
        self.working.fetch_sub(1, Ordering::Relaxed);
        self.slots.give_back();
        self.hand_over();
    }

    fn hand_over(&self) {
        if self.room.waiting() > 0 {
            let released = self.room.serve(&Endpoint(&self.slots), self.now);
            released.served.iter().for_each(|(waiter, ())| self.grant(waiter));
        }
    }

    fn grant(&self, waiter: &Waiter) {
        self.work();
        waiter.fetch_add(1, Ordering::Release);
    }

    /// As `Queue::enter`.
    fn enter(&self) -> (Ticket, Waiter) {
        let waiter = Arc::new(AtomicU32::new(0));
        let wait = Duration::from_secs(60);
        let terms = Terms { wait, own: wait, length: 10 };
        let sources = || [Endpoint(&self.slots)];
        let (entered, released) =
            self.room.enter((Everyone, waiter.clone()), terms, self.now, sources);
        released.served.iter().for_each(|(waiter, ())| self.grant(waiter));
        (entered.expect("there is room"), waiter)
    }

    /// All threads have ended: nobody waits while a slot is free.
    fn check(&self, waiters: &[&Waiter]) {
        let granted: u32 = waiters.iter().map(|waiter| waiter.load(Ordering::Acquire)).sum();
        assert!(waiters.iter().all(|waiter| waiter.load(Ordering::Acquire) <= 1), "granted twice");
        assert_eq!(self.room.waiting() as u32 + granted, waiters.len() as u32, "each is somewhere");
        let served = self.room.waiting() == 0 || !self.slots.has_room();
        assert!(served, "a slot is free, and one waits");
    }
}

fn a_slot_given_back_reaches_whoever_begins_to_wait() {
    loom::model(|| {
        let pool = Pool::new(1);
        assert!(pool.take());
        let giver = thread::spawn({
            let pool = pool.clone();
            move || pool.give_back()
        });
        let (_, waiter) = pool.enter();
        giver.join().unwrap();
        assert_eq!(waiter.load(Ordering::Acquire), 1);
        pool.check(&[&waiter]);
    });
}

fn two_that_begin_to_wait_are_both_served_when_two_slots_are_given_back() {
    loom::model(|| {
        let pool = Pool::new(2);
        assert!(pool.take() && pool.take());
        let giver = thread::spawn({
            let pool = pool.clone();
            move || {
                pool.give_back();
                pool.give_back();
            }
        });
        let other = thread::spawn({
            let pool = pool.clone();
            move || pool.enter().1
        });
        let (_, waiter) = pool.enter();
        let other = other.join().unwrap();
        giver.join().unwrap();
        assert_eq!(waiter.load(Ordering::Acquire) + other.load(Ordering::Acquire), 2);
        pool.check(&[&waiter, &other]);
    });
}

fn a_newcomer_that_takes_the_slot_passes_it_on() {
    loom::model(|| {
        let pool = Pool::new(1);
        assert!(pool.take());
        let giver = thread::spawn({
            let pool = pool.clone();
            move || pool.give_back()
        });
        let newcomer = thread::spawn({
            let pool = pool.clone();
            move || {
                if pool.take() {
                    pool.give_back();
                }
            }
        });
        let (_, waiter) = pool.enter();
        giver.join().unwrap();
        newcomer.join().unwrap();
        assert_eq!(waiter.load(Ordering::Acquire), 1);
        pool.check(&[&waiter]);
    });
}

fn whoever_leaves_was_served_or_is_gone_and_its_slot_goes_to_the_next() {
    loom::model(|| {
        let pool = Pool::new(1);
        assert!(pool.take());
        let (ticket, leaves) = pool.enter();
        let (_, stays) = pool.enter();
        let giver = thread::spawn({
            let pool = pool.clone();
            move || pool.give_back()
        });
        // As `Waiting::drop`: not in the line any more means that a slot is on its way.
        let served = !pool.room.leave(ticket, Leaving::Gone, pool.now);
        giver.join().unwrap();
        assert_eq!(leaves.load(Ordering::Acquire), u32::from(served));
        if served {
            pool.give_back();
        }
        assert_eq!(stays.load(Ordering::Acquire), 1);
    });
}

fn more_slots_reach_whoever_begins_to_wait() {
    loom::model(|| {
        let pool = Pool::new(1);
        assert!(pool.take());
        let grown = thread::spawn({
            let pool = pool.clone();
            move || {
                assert!(pool.slots.resize(2));
                pool.hand_over();
            }
        });
        let (_, waiter) = pool.enter();
        grown.join().unwrap();
        assert_eq!(waiter.load(Ordering::Acquire), 1);
    });
}

/// As `Lease::end`: a connection lies on the shelf before its slot is seen to be free, and goes
/// from there to whoever has waited. One who gets the slot otherwise looks for it there.
fn whoever_takes_a_slot_finds_the_connection_that_it_came_free_with() {
    loom::model(|| {
        let (pool, shelf) = (Pool::new(1), Arc::new(Mutex::new(0)));
        assert!(pool.take());
        let giver = thread::spawn({
            let (pool, shelf) = (pool.clone(), shelf.clone());
            move || {
                *shelf.lock() += 1;
                pool.working.fetch_sub(1, Ordering::Relaxed);
                pool.slots.give_back();
                let mut carried = 0;
                if pool.room.waiting() > 0 {
                    let released = pool.room.serve(&Endpoint(&pool.slots), pool.now);
                    if !released.served.is_empty() {
                        carried = std::mem::take(&mut *shelf.lock());
                    }
                    released.served.iter().for_each(|(waiter, ())| pool.grant(waiter));
                }
                carried
            }
        });
        let taken = pool.take();
        let found = if taken { std::mem::take(&mut *shelf.lock()) } else { 0 };
        let waiter = (!taken).then(|| pool.enter().1);
        let carried = giver.join().unwrap();
        let left = *shelf.lock();
        assert_eq!(found + carried + left, 1, "it is in one place");
        assert!(!taken || found == 1, "who finds the slot free finds the connection");
        assert!(waiter.is_none_or(|waiter| waiter.load(Ordering::Acquire) == 1));
    });
}

/// That loom finds what the fences are for: the same hand-over without them loses a wake-up.
fn without_a_fence_a_wake_up_is_lost() {
    std::panic::set_hook(Box::new(|_| {}));
    let lost = std::panic::catch_unwind(|| {
        loom::model(|| {
            let [free, waits] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
            let giver = thread::spawn({
                let (free, waits) = (free.clone(), waits.clone());
                move || {
                    free.store(true, Ordering::Release);
                    waits.load(Ordering::Acquire)
                }
            });
            waits.store(true, Ordering::Release);
            let seen = free.load(Ordering::Acquire);
            assert!(giver.join().unwrap() || seen);
        });
    });
    let _ = std::panic::take_hook();
    assert!(lost.is_err(), "loom tries too little");
}
