//! Where requests wait for a slot of a pool, and how a slot finds the one whose turn it is.
//!
//! A line under a lock, and beside it how many are in it, which can be read without the lock: as
//! long as nobody waits, nobody locks.
//!
//! Whoever begins to wait enters the line, which says so, and then tries for a slot once more.
//! Whoever gives a slot back does that first, and then looks whether anybody waits. A fence between
//! the two halves on either side makes sure that one of them sees the other, so that no slot stays
//! free while somebody sleeps. `tests/loom` tries all orders.
//!
//! Slots are taken and given to their waiter as a pair under the lock, and handed out outside of
//! it.

use std::time::{Duration, Instant};

use super::{
    line::{Full, Lane, Leaving, Line, Terms, Ticket},
    sync::{AtomicUsize, Mutex, Ordering, fence},
};

/// A line that several threads meet at.
#[derive(Debug)]
pub struct Room<L, W> {
    waiting: AtomicUsize,
    line: Mutex<Line<L, W>>,
}

/// Where slots come from: an endpoint.
pub trait Source<W> {
    /// A slot, taken.
    type Slot;
    /// Whether a slot of it is of use to `who`.
    fn suits(&self, who: &W) -> bool;
    /// Takes a slot, if one is free.
    fn take(&self) -> Option<Self::Slot>;
}

/// Those whose waiting has ended by what somebody else did. They are told outside of the lock.
#[derive(Debug)]
pub struct Released<W, S> {
    /// Those who get a slot.
    pub served: Vec<(W, S)>,
    /// Those who waited for longer than patience lasts.
    pub late: Vec<W>,
    /// Those who had to make room for others.
    pub crowded: Vec<W>,
}

// === impl Room ===

impl<L: Lane, W> Room<L, W> {
    /// A room in which nobody waits.
    pub fn new() -> Self {
        Self { waiting: AtomicUsize::new(0), line: Mutex::new(Line::new()) }
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Since when the one waits who has waited longest.
    pub fn oldest(&self) -> Option<Instant> {
        self.line.lock().oldest()
    }

    /// How long one may wait, as things stand, who may wait for `own` while all is well.
    pub fn patience(&self, own: Duration, now: Instant) -> Duration {
        self.line.lock().patience(own, now)
    }

    /// Lets `who` wait, and then tries `sources` once more: perhaps a slot came free just before it
    /// was known that somebody waits.
    pub fn enter<S: Source<W>, I: IntoIterator<Item = S>>(
        &self,
        (lane, who): (L, W),
        terms: Terms,
        now: Instant,
        sources: impl FnOnce() -> I,
    ) -> (Result<Ticket, Full<W>>, Released<W, S::Slot>) {
        let mut released = Released::nobody();
        let mut line = self.line.lock();
        line.expire(now, &mut released.late);
        let entered = line.enter(lane, who, terms, now, &mut released.crowded);
        self.waiting.store(line.len(), Ordering::Relaxed);
        fence(Ordering::SeqCst);
        for source in sources() {
            hand_out(&mut line, &source, now, &mut released.served);
        }
        self.waiting.store(line.len(), Ordering::Relaxed);
        (entered, released)
    }

    /// Gives slots of `source` to those whose turn it is, until there are no more of either. Called
    /// after slots have come free.
    pub fn serve<S: Source<W>>(&self, source: &S, now: Instant) -> Released<W, S::Slot> {
        let mut released = Released::nobody();
        let mut line = self.line.lock();
        line.expire(now, &mut released.late);
        hand_out(&mut line, source, now, &mut released.served);
        self.waiting.store(line.len(), Ordering::Relaxed);
        released
    }

    /// Somebody leaves; `false` when it waits no more: then it was served or released.
    pub fn leave(&self, ticket: Ticket, leaving: Leaving, now: Instant) -> bool {
        let mut line = self.line.lock();
        let left = line.leave(ticket, leaving, now);
        self.waiting.store(line.len(), Ordering::Relaxed);
        left
    }
}

// === impl Released ===

impl<W, S> Released<W, S> {
    /// Nobody.
    pub fn nobody() -> Self {
        Self { served: Vec::new(), late: Vec::new(), crowded: Vec::new() }
    }
}

/// A slot is taken only when it is known who gets it, so that none has to be given back.
fn hand_out<L: Lane, W, S: Source<W>>(
    line: &mut Line<L, W>,
    source: &S,
    now: Instant,
    served: &mut Vec<(W, S::Slot)>,
) {
    while line.any(|who| source.suits(who)) {
        let Some(slot) = source.take() else { return };
        served.extend(line.next(now, |who| source.suits(who)).map(|who| (who, slot)));
    }
}
