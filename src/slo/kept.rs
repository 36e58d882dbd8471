//! The file in which a process keeps what it has counted.
//!
//! One JSON object. A ring is its newest slot and its slots from there on backwards: a pair
//! `good, bad` each, and runs of empty ones as one negative number. Old and torn files are read as
//! far as they can be understood, which is whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    history::{Causes, History},
    ledger::{Histories, Key},
    ring::{Count, Ring},
};
use crate::name::Name;

/// What this program writes. A file of another version is not read: what its numbers mean is not
/// known.
const VERSION: u32 = 1;

/// How far ahead of the clock a file may be. Beyond that one of the two clocks was wrong, and all
/// that is counted now would drown in the future.
const AHEAD_MAX: u64 = 3_600;

/// What one process has counted, and for whom it speaks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kept {
    /// When it was written, in seconds since 1970.
    pub written: u64,
    /// What it has counted, what it has absorbed included.
    pub histories: Histories,
    /// Processes whose files are contained in this one.
    pub absorbed: BTreeSet<String>,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// It is torn, or never was one.
    #[error("it cannot be understood: {0}")]
    Json(#[from] serde_json::Error),
    /// Another version of usher wrote it.
    #[error("it is of version {0}, and this usher knows version {VERSION}")]
    Version(u32),
    /// It was written by a clock that was ahead of this one.
    #[error("it was written {0} s in the future: one of the clocks is wrong")]
    Ahead(u64),
    /// A ring is not as this program makes them.
    #[error("its rings are of another kind")]
    Rings,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    written: u64,
    #[serde(default)]
    absorbed: BTreeSet<String>,
    promises: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    audience: String,
    slo: String,
    since: Option<u64>,
    rings: Vec<Slots>,
    #[serde(default)]
    spent: BTreeMap<u64, Causes>,
}

#[derive(Serialize, Deserialize)]
struct Slots {
    step: u64,
    newest: u64,
    counts: Vec<i64>,
}

// === impl Kept ===

impl Kept {
    /// What has been counted, as a file written at `now`.
    pub fn to_bytes<'a>(
        histories: impl IntoIterator<Item = (&'a Key, &'a History)>,
        absorbed: &BTreeSet<String>,
        now: u64,
    ) -> Vec<u8> {
        let entry = |((audience, slo), history): (&Key, &History)| Entry {
            audience: audience.to_string(),
            slo: slo.to_string(),
            since: history.since,
            rings: history.rings.iter().map(Slots::of).collect(),
            spent: history.spent.clone(),
        };
        let live = histories.into_iter().filter(|(_, history)| !history.is_over(now));
        let file = File {
            version: VERSION,
            written: now,
            absorbed: absorbed.clone(),
            promises: live.map(entry).collect(),
        };
        // Text and numbers: there is nothing in it that JSON cannot say.
        serde_json::to_vec(&file).unwrap_or_default()
    }

    /// Reads a file, at `now`.
    ///
    /// # Errors
    ///
    /// It is not one that this program could have written.
    pub fn from_bytes(bytes: &[u8], now: u64) -> Result<Self, KeptError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(KeptError::Version(version));
        }
        let file: File = serde_json::from_slice(bytes)?;
        if file.written > now + AHEAD_MAX {
            return Err(KeptError::Ahead(file.written - now));
        }
        let mut histories = Histories::new();
        for entry in file.promises {
            // A name that is none could not be configured, so nobody misses it.
            let Ok(audience) = Name::parse(&entry.audience) else { continue };
            let mut history =
                History { since: entry.since, spent: entry.spent, ..History::default() };
            if entry.rings.len() != history.rings.len() {
                return Err(KeptError::Rings);
            }
            for (ring, slots) in history.rings.iter_mut().zip(&entry.rings) {
                slots.fill(ring, now + AHEAD_MAX)?;
            }
            histories.insert((audience, entry.slo.into()), history);
        }
        Ok(Self { written: file.written, histories, absorbed: file.absorbed })
    }
}

// === impl Slots ===

impl Slots {
    fn of(ring: &Ring) -> Self {
        let (newest, mut counts, mut empty) = (ring.newest(), Vec::new(), 0_i64);
        for count in ring.backwards() {
            if count.events() == 0 {
                empty += 1;
                continue;
            }
            if empty > 0 {
                counts.push(-empty);
                empty = 0;
            }
            counts.push(i64::try_from(count.good).unwrap_or(i64::MAX));
            counts.push(i64::try_from(count.bad).unwrap_or(i64::MAX));
        }
        Self { step: ring.step(), newest, counts }
    }

    fn fill(&self, ring: &mut Ring, latest: u64) -> Result<(), KeptError> {
        let newest = self.newest.checked_mul(self.step).filter(|newest| *newest <= latest);
        if self.step != ring.step() || newest.is_none() {
            return Err(KeptError::Rings);
        }
        ring.begin_at(self.newest);
        let mut back = 0_u64;
        let mut counts = self.counts.iter().copied();
        while let Some(first) = counts.next() {
            if first < 0 {
                back = back.saturating_add(first.unsigned_abs());
                continue;
            }
            let bad = counts.next().and_then(|bad| u64::try_from(bad).ok());
            let bad = bad.ok_or(KeptError::Rings)?;
            ring.set(back, Count { good: first.unsigned_abs(), bad });
            back = back.saturating_add(1);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn kept() -> Kept {
        let mut history = History::default();
        for step in 0..500_u64 {
            let bad = step % 7;
            let at = NOW - 20 * 86_400 + step * 3_456;
            history.add(at, Count { good: step, bad }, [("late", bad)]);
        }
        let key = (Name::parse("driver").expect("a name"), "latency-300ms".into());
        let absorbed = ["a1".to_owned()].into();
        Kept { written: NOW, histories: [(key, history)].into(), absorbed }
    }

    fn written(now: u64) -> Vec<u8> {
        Kept::to_bytes(&kept().histories, &kept().absorbed, now)
    }

    #[test]
    fn what_is_written_reads_back_as_the_same() {
        let bytes = written(NOW);
        assert_eq!(Kept::from_bytes(&bytes, NOW).expect("it is ours"), kept());
        assert!(bytes.len() < 40_000, "{} bytes", bytes.len());
        let later = NOW + 60 * 86_400;
        assert!(Kept::from_bytes(&written(later), later).expect("ours").histories.is_empty());
    }

    #[test]
    fn a_file_that_is_torn_old_or_of_the_future_is_refused_with_a_reason() {
        let bytes = written(NOW);
        for end in (0..bytes.len()).step_by(97) {
            assert!(matches!(Kept::from_bytes(&bytes[..end], NOW), Err(KeptError::Json(_))));
        }
        let text = String::from_utf8(bytes.clone()).expect("text");
        let other = text.replacen("\"version\":1", "\"version\":2", 1);
        assert!(matches!(Kept::from_bytes(other.as_bytes(), NOW), Err(KeptError::Version(2))));
        assert!(matches!(Kept::from_bytes(&bytes, NOW - 7_200), Err(KeptError::Ahead(7_200))));
        let other = text.replacen("\"step\":5", "\"step\":7", 1);
        assert!(matches!(Kept::from_bytes(other.as_bytes(), NOW), Err(KeptError::Rings)));
        let other = text.replacen("\"newest\":", "\"newest\":9", 1);
        assert!(matches!(Kept::from_bytes(other.as_bytes(), NOW), Err(KeptError::Rings)));
    }

    proptest! {
        #[test]
        fn whatever_stands_in_a_file_is_no_danger(
            counts in prop::collection::vec(any::<i64>(), 0..40),
            newest: u64,
        ) {
            let slots = Slots { step: 5, newest, counts };
            let _ = slots.fill(&mut Ring::new(5, 300), NOW);
        }
    }
}
