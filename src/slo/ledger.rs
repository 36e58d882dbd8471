//! What this process has counted for every promise, and what others have that it speaks for.
//!
//! Each event stands in the ledger of exactly one process. What another process counted is kept
//! under that one's name and replaced when it is told again, never added to: nothing is counted
//! twice, however often it is told.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use super::{
    Promise,
    history::{Causes, History},
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
#[derive(Debug, Default)]
pub struct Ledger {
    own: Histories,
    /// What processes have counted that have ended or are about to, by their names.
    others: BTreeMap<String, Histories>,
    /// What each meter had counted the last time.
    seen: HashMap<u64, (u64, Vec<(Cause, u64)>)>,
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

    fn count(&mut self, now: u64, key: Key, count: Count, causes: Vec<(&str, u64)>) {
        if count.events() == 0 {
            return;
        }
        if self.own.len() >= PROMISES_MAX && !self.own.contains_key(&key) {
            self.own.retain(|_, history| !history.is_over(now));
        }
        if self.own.len() < PROMISES_MAX || self.own.contains_key(&key) {
            self.own.entry(key).or_default().add(now, count, causes);
        }
    }

    /// What this process has counted.
    pub fn own(&self) -> &Histories {
        &self.own
    }

    /// The process `name` has counted `histories`, in place of what it had counted before.
    pub fn told(&mut self, name: &str, histories: Histories) {
        self.others.insert(name.to_owned(), histories);
    }

    /// Forgets what the process `name` has counted: somebody else speaks for it.
    pub fn forget(&mut self, name: &str) {
        self.others.remove(name);
    }

    /// The processes that have told what they counted.
    pub fn others(&self) -> impl Iterator<Item = &str> {
        self.others.keys().map(String::as_str)
    }

    /// Makes what the process `name` has counted part of what this one has.
    pub fn absorb(&mut self, name: &str) {
        for (key, history) in self.others.remove(name).unwrap_or_default() {
            self.own.entry(key).or_default().merge(&history);
        }
    }

    /// How `promise` stands at `now` (seconds since 1970).
    pub fn standing(&self, promise: &Promise, now: u64) -> Standing {
        let key = (promise.audience.clone(), promise.label.clone());
        let all = std::iter::once(&self.own).chain(self.others.values());
        let mut sums = Sums::default();
        for history in all.filter_map(|histories| histories.get(&key)) {
            sums.add(history, now, promise.window.as_secs());
        }
        Standing::of(promise, sums)
    }
}

// === impl History ===

impl History {
    /// Takes in all that `other` holds.
    fn merge(&mut self, other: &History) {
        for (ring, other) in self.rings.iter_mut().zip(&other.rings) {
            ring.merge(other);
        }
        self.since = [self.since, other.since].into_iter().flatten().min();
        for (hour, causes) in &other.spent {
            let own: &mut Causes = self.spent.entry(*hour).or_default();
            for (cause, count) in causes {
                *own.entry(cause.clone()).or_default() += count;
            }
        }
    }
}

#[cfg(test)]
mod tests;
