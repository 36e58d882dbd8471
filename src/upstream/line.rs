//! Who waits for a slot of a pool, and whose turn is next. Pure: time is an argument.
//!
//! ```text
//!   in order ── not empty for `wait`, and some go without ──> overloaded
//!   (oldest first, patience `wait`)                           (newest first, patience shortened)
//!            <───────────────── empty ───────────────────────
//! ```
//!
//! While things are well the oldest goes first, and everybody may wait as long as the pool allows.
//! A queue that never runs empty because more come than can be served does no good to anybody: each
//! one waits as long as the queue is long, and the slots do no more work for it. Such a pool is
//! overloaded ([`Pressure`] knows); from then on patience is short, as CoDel's is (Nichols and
//! Jacobson, "Controlling Queue Delay", 2012), and the newest goes first, since its client is the
//! likeliest to be still there (Maurer, "Fail at Scale", 2015).
//!
//! Audiences that share a pool have a lane each. One that holds fewer slots than it was guaranteed
//! goes before one that does not; then the higher priority; then the order above.
//!
//! Invariants: everyone who has entered leaves exactly once; nobody waits beyond patience after
//! [`Line::expire`]; there are never more waiters than the length that was allowed last.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::pressure::Pressure;

/// What a line has to know of the audience that somebody waits for.
pub trait Lane {
    /// The same for the same audience.
    fn key(&self) -> u64;
    /// Who goes first; the higher.
    fn priority(&self) -> u8;
    /// Slots that it was guaranteed and does not hold; negative when it holds more.
    fn owed(&self) -> i64;
}

/// How long and how many may wait.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Terms {
    /// How long one waits while the pool is not overloaded, and for how long at least the queue is
    /// not empty until it is.
    pub wait: Duration,
    /// How long this one waits while the pool is not overloaded: `wait`, unless it was said
    /// otherwise for its like.
    pub own: Duration,
    /// How many wait at most.
    pub length: usize,
}

/// Who waits in a line; never the same twice in one line.
pub type Ticket = u64;

/// How somebody comes to leave of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// Its client has gone.
    Gone,
    /// It has waited for as long as it may.
    Late,
}

/// Why somebody was not let in.
#[derive(Debug)]
pub struct Full<W>(pub W);

/// Those who wait for a slot of one pool.
#[derive(Debug)]
pub struct Line<L, W> {
    lanes: Vec<Waiting<L, W>>,
    length: usize,
    next: Ticket,
    terms: Terms,
    /// Of those who came since it was empty, while it is not.
    pressure: Option<Pressure>,
}

#[derive(Debug)]
struct Waiting<L, W> {
    lane: L,
    waiters: BTreeMap<Ticket, Waiter<W>>,
    /// Whether all of them wait equally long, so that the first is late first.
    alike: bool,
}

#[derive(Debug)]
struct Waiter<W> {
    since: Instant,
    wait: Duration,
    who: W,
}

// === impl Line ===

impl<L: Lane, W> Line<L, W> {
    /// An empty line.
    pub fn new() -> Self {
        let terms = Terms { wait: Duration::ZERO, own: Duration::ZERO, length: 0 };
        Self { lanes: Vec::new(), length: 0, next: 0, terms, pressure: None }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether more want slots than there are, and have for a while.
    pub fn is_overloaded(&self, now: Instant) -> bool {
        self.pressure.is_some_and(|pressure| pressure.is_overloaded(self.terms.wait, now))
    }

    /// How long one may wait, as things stand, who may wait for `own` while all is well.
    pub fn patience(&self, own: Duration, now: Instant) -> Duration {
        let shortened = |pressure: Pressure| pressure.patience(own, self.terms.wait, now);
        self.pressure.map_or(own, shortened)
    }

    /// Lets `who` wait in the lane of `lane`, under `terms`. Where there is no room, somebody who
    /// is less entitled to it has to go, and is put into `gone`; or `who` is not let in.
    pub fn enter(
        &mut self,
        lane: L,
        who: W,
        terms: Terms,
        now: Instant,
        gone: &mut Vec<W>,
    ) -> Result<Ticket, Full<W>> {
        self.terms = terms;
        let index = self.lane(lane);
        while self.length >= terms.length {
            let overloaded = self.is_overloaded(now);
            let victim = self.least_entitled(index);
            let own = victim == index;
            if terms.length == 0 || (own && !overloaded) || self.lanes[victim].waiters.is_empty() {
                self.refused(1, now);
                return Err(Full(who));
            }
            // In order, the last who came has waited least; in the other order, the first will
            // never have its turn.
            gone.extend(self.take_from(victim, !overloaded));
            self.press(|pressure, wait| pressure.refused(1, wait, now));
        }
        let ticket = self.next;
        self.next += 1;
        let Waiting { waiters, alike, .. } = &mut self.lanes[index];
        *alike &= waiters.values().next_back().is_none_or(|last| last.wait == terms.own);
        waiters.insert(ticket, Waiter { since: now, wait: terms.own, who });
        self.length += 1;
        self.pressure.get_or_insert(Pressure::new(now));
        self.forget_empty();
        Ok(ticket)
    }

    /// Whether anybody waits who `fits`.
    pub fn any(&self, fits: impl Fn(&W) -> bool) -> bool {
        self.lanes.iter().any(|lane| lane.waiters.values().any(|waiter| fits(&waiter.who)))
    }

    /// Whose turn it is among those who `fit`; it waits no more.
    pub fn next(&mut self, now: Instant, fits: impl Fn(&W) -> bool) -> Option<W> {
        let newest = self.is_overloaded(now);
        let fitting = |waiting: &Waiting<L, W>| {
            let mut tickets = waiting.waiters.iter().filter(|(_, waiter)| fits(&waiter.who));
            let first = if newest { tickets.next_back() } else { tickets.next() };
            first.map(|(ticket, _)| *ticket)
        };
        let candidates = self.lanes.iter().enumerate();
        let candidates = candidates.filter_map(|(index, lane)| Some((index, fitting(lane)?)));
        let (index, ticket) = candidates.max_by_key(|(index, ticket)| {
            let lane = &self.lanes[*index].lane;
            let order = if newest { *ticket } else { Ticket::MAX - *ticket };
            (lane.owed() > 0, lane.priority(), order)
        })?;
        let waiter = self.lanes[index].waiters.remove(&ticket);
        self.length -= 1;
        self.press(|pressure, wait| pressure.served(wait, now));
        self.forget_empty();
        waiter.map(|waiter| waiter.who)
    }

    /// Since when the one waits who has waited longest.
    pub fn oldest(&self) -> Option<Instant> {
        let first = |lane: &Waiting<L, W>| lane.waiters.values().next().map(|waiter| waiter.since);
        self.lanes.iter().filter_map(first).min()
    }

    /// Somebody leaves; `false` when it waits no more.
    pub fn leave(&mut self, ticket: Ticket, leaving: Leaving, now: Instant) -> bool {
        let left = self.lanes.iter_mut().any(|lane| lane.waiters.remove(&ticket).is_some());
        if left {
            self.length -= 1;
            self.press(|pressure, wait| match leaving {
                Leaving::Gone => pressure.missed(1, wait, now),
                Leaving::Late => pressure.refused(1, wait, now),
            });
            self.forget_empty();
        }
        left
    }

    /// Puts into `gone` whoever has waited for longer than patience lasts.
    pub fn expire(&mut self, now: Instant, gone: &mut Vec<W>) {
        let before = gone.len();
        let mut lanes = std::mem::take(&mut self.lanes);
        let late = |it: &Waiter<W>| now.duration_since(it.since) >= self.patience(it.wait, now);
        for Waiting { waiters, alike, .. } in &mut lanes {
            if !*alike {
                let tickets = waiters.iter().filter(|(_, waiter)| late(waiter));
                let tickets: Vec<Ticket> = tickets.map(|(ticket, _)| *ticket).collect();
                let removed = tickets.iter().filter_map(|ticket| waiters.remove(ticket));
                gone.extend(removed.map(|waiter| waiter.who));
                continue;
            }
            while let Some(first) = waiters.first_entry()
                && late(first.get())
            {
                gone.push(first.remove().who);
            }
        }
        self.lanes = lanes;
        let late = gone.len() - before;
        self.length -= late;
        self.refused(late, now);
    }

    /// Panics when something is not as it must be.
    #[cfg(test)]
    pub fn check_invariants(&self) {
        let waiting: usize = self.lanes.iter().map(|lane| lane.waiters.len()).sum();
        assert_eq!(waiting, self.length, "everyone who entered is in a lane or has left");
        assert_eq!(self.length > 0, self.pressure.is_some(), "it counts while anybody waits");
        assert!(self.lanes.iter().all(|lane| !lane.waiters.is_empty()), "no lane is empty");
        let tickets = self.lanes.iter().flat_map(|lane| lane.waiters.keys());
        assert!(tickets.clone().all(|ticket| *ticket < self.next), "tickets are given in order");
        for lane in &self.lanes {
            let since = lane.waiters.values().map(|waiter| waiter.since);
            assert!(since.is_sorted(), "tickets are in the order of arrival");
        }
    }

    /// The place of a lane, which is made where it is not there.
    fn lane(&mut self, lane: L) -> usize {
        match self.lanes.iter().position(|known| known.lane.key() == lane.key()) {
            Some(index) => {
                self.lanes[index].lane = lane;
                index
            }
            None => {
                self.lanes.push(Waiting { lane, waiters: BTreeMap::new(), alike: true });
                self.lanes.len() - 1
            }
        }
    }

    /// The lane that has to make room when one more comes to `newcomer`: the lowest priority, and
    /// of those the one that has the most beyond what it was guaranteed.
    fn least_entitled(&self, newcomer: usize) -> usize {
        let lanes = 0..self.lanes.len();
        let least = lanes.max_by_key(|&index| {
            let Waiting { lane, waiters, .. } = &self.lanes[index];
            let own = index == newcomer;
            let waits = waiters.len() as i64 + i64::from(own);
            // Among equals the newcomer is the one who goes.
            (u8::MAX - lane.priority(), waits - lane.owed(), own)
        });
        least.unwrap_or(newcomer)
    }

    fn take_from(&mut self, index: usize, last: bool) -> Option<W> {
        let waiters = &mut self.lanes[index].waiters;
        let taken = if last { waiters.pop_last() } else { waiters.pop_first() };
        // The newcomer's lane may be empty for a moment; its place must not move.
        self.length -= usize::from(taken.is_some());
        taken.map(|(_, waiter)| waiter.who)
    }

    fn refused(&mut self, count: usize, now: Instant) {
        self.press(|pressure, wait| pressure.refused(count, wait, now));
        self.forget_empty();
    }

    fn press(&mut self, count: impl FnOnce(&mut Pressure, Duration)) {
        if let Some(pressure) = &mut self.pressure {
            count(pressure, self.terms.wait);
        }
    }

    fn forget_empty(&mut self) {
        self.lanes.retain(|lane| !lane.waiters.is_empty());
        if self.length == 0 {
            self.pressure = None;
        }
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
