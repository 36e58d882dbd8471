//! What this process has counted for every promise, and what others have that it speaks for.
//!
//! Each event stands in the ledger of exactly one process. What another process counted is kept
//! under that one's name and replaced when it is told again, never added to: nothing is counted
//! twice, however often it is told.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Promise,
    history::History,
    ring::Count,
    standing::{Standing, Sums},
};
use crate::{
    meters::{Cause, SloReading},
    name::Name,
};

/// The most promises that are remembered, those included that are no longer configured: one that
/// comes back within its window finds its history again.
const PROMISES_MAX: usize = 40_000;

/// Whose history: audience and label.
pub type Key = (Name, Arc<str>);

/// The histories of one process.
pub type Histories = BTreeMap<Key, History>;

/// What has been counted.
#[derive(Debug)]
pub struct Ledger {
    promises_max: usize,
    own: Histories,
    /// What processes have counted that have ended or are about to, by their names.
    others: BTreeMap<String, Told>,
    /// Processes whose counts are contained in what is known here. Whatever is told of them later
    /// would be counted twice.
    contained: BTreeSet<String>,
    /// Events that had no room.
    unkept: u64,
    /// What each meter had counted the last time.
    seen: HashMap<u64, (u64, Vec<(Cause, u64)>)>,
}

/// What a process has counted.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// By when, in seconds since 1970.
    pub written: u64,
    /// All of it, or what has changed.
    pub histories: Histories,
}

/// How much of what a process knows it has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Everything.
    Whole,
    /// What has changed since it told the last time.
    Changes,
}

// === impl Ledger ===

impl Ledger {
    /// Counts what the meters have counted since the last time, at `now` (seconds since 1970).
    pub fn take(&mut self, now: u64, readings: Vec<SloReading>) {
        let mut seen = HashMap::with_capacity(readings.len());
        for reading in readings {
            let before = self.seen.remove(&reading.id).unwrap_or_default();
            let since = |cause: Cause, count: u64| {
                let known = before.1.iter().find(|(known, _)| *known == cause);
                count.saturating_sub(known.map_or(0, |(_, count)| *count))
            };
            let causes =
                reading.bad.iter().map(|(cause, count)| (cause.name(), since(*cause, *count)));
            let causes: Vec<_> = causes.filter(|(_, count)| *count > 0).collect();
            let count = Count {
                good: reading.good.saturating_sub(before.0),
                bad: causes.iter().map(|(_, count)| count).sum(),
            };
            let (audience, label, _) = reading.key;
            self.count(now, (audience, label), count, causes);
            seen.insert(reading.id, (reading.good, reading.bad));
        }
        self.seen = seen;
    }

    /// One that remembers at most so many promises.
    fn with_room_for(promises_max: usize) -> Self {
        let (own, others) = (Histories::new(), BTreeMap::new());
        let (contained, seen) = (BTreeSet::new(), HashMap::new());
        Self { promises_max, own, others, contained, unkept: 0, seen }
    }

    fn count(&mut self, now: u64, key: Key, count: Count, causes: Vec<(&str, u64)>) {
        if count.events() == 0 {
            return;
        }
        if self.own.len() >= self.promises_max && !self.own.contains_key(&key) {
            self.own.retain(|_, history| !history.is_over(now));
        }
        if self.own.len() < self.promises_max || self.own.contains_key(&key) {
            self.own.entry(key).or_default().add(now, count, causes);
        } else {
            self.unkept = self.unkept.saturating_add(count.events());
        }
    }

    /// Events that were counted by the meters and had no room here.
    pub fn unkept(&self) -> u64 {
        self.unkept
    }

    /// What this process has counted.
    pub fn own(&self) -> &Histories {
        &self.own
    }

    /// The process `name` has counted what is `told`. What it told later than that is kept, however
    /// late this comes: it may be told by a file and by the process itself.
    pub fn told(&mut self, name: &str, told: Told, extent: Extent) {
        if self.contained.contains(name) {
            return;
        }
        let Some(known) = self.others.get_mut(name) else {
            self.others.insert(name.to_owned(), told);
            return;
        };
        match (told.written.cmp(&known.written), extent) {
            (Ordering::Less, _) => {}
            (Ordering::Greater, Extent::Whole) => *known = told,
            (Ordering::Greater, Extent::Changes) => {
                known.written = told.written;
                known.histories.extend(told.histories);
            }
            (Ordering::Equal, _) => known.add_later(told.histories),
        }
    }

    /// Forgets what the process `name` has counted: somebody else speaks for it.
    pub fn forget(&mut self, name: &str) {
        self.others.remove(name);
    }

    /// What the process `name` has counted is contained in what another one tells.
    pub fn contains(&mut self, name: &str) {
        self.others.remove(name);
        self.contained.insert(name.to_owned());
    }

    /// The processes whose counts are contained in what is known here.
    pub fn contained(&self) -> &BTreeSet<String> {
        &self.contained
    }

    /// The processes that have told what they counted, and what.
    pub fn others(&self) -> impl Iterator<Item = (&str, &Told)> {
        self.others.iter().map(|(name, told)| (name.as_str(), told))
    }

    /// Makes what the process `name` has counted part of what this one has, whatever it may still
    /// tell.
    pub fn absorb(&mut self, name: &str) {
        let Some(told) = self.others.remove(name) else { return };
        self.contained.insert(name.to_owned());
        for (key, history) in told.histories {
            self.own.entry(key).or_default().merge(&history);
        }
    }

    /// How `promise` stands at `now` (seconds since 1970).
    pub fn standing(&self, promise: &Promise, now: u64) -> Standing {
        let key = (promise.audience.clone(), promise.label.clone());
        let all =
            std::iter::once(&self.own).chain(self.others.values().map(|told| &told.histories));
        let mut sums = Sums::default();
        for history in all.filter_map(|histories| histories.get(&key)) {
            sums.add(history, now, promise.window.as_secs());
        }
        Standing::of(promise, sums)
    }
}

impl Default for Ledger {
    fn default() -> Self {
        Self::with_room_for(PROMISES_MAX)
    }
}

// === impl Told ===

impl Told {
    /// Takes in what was told within the same second.
    fn add_later(&mut self, histories: Histories) {
        for (key, history) in histories {
            let known = self.histories.entry(key).or_default();
            if history.progress() >= known.progress() {
                *known = history;
            }
        }
    }
}

#[cfg(test)]
mod tests;
