//! Which versions came, as one process tells the next: JSON, also in a file of `state_dir`.
//!
//! ```json
//! { "since": 1764126247, "hash": 7, "tables": [{ "number": 81672, "requests": 900, "versions": {
//!   "5.2": { "requests": 800, "clients": "AAEC…" } }, "none": { … }, "other": { … } }] }
//! ```
//!
//! Fields are added, never renamed. A sketch of clients is its registers, one byte each, in base64.
//! What another usher hashes otherwise is not taken over: its clients would be counted twice.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    sketch::Sketch,
    tally::{Carried, Counted, Entry, Reading, Table, Tally, VERSIONS_MAX, probe},
};
use crate::classify::Version;

/// More requests than this are no number that anybody has counted.
const REQUESTS_MAX: u64 = 1 << 52;

/// What a tally has counted, its predecessors' counts included.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeptTally {
    /// Since when, in seconds since 1970.
    since: u64,
    /// By which hash clients are told apart.
    hash: u64,
    tables: Vec<KeptTable>,
}

/// One part of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct KeptTable {
    number: u64,
    /// All of them, also those of versions that are not kept.
    requests: u64,
    versions: BTreeMap<String, KeptCounted>,
    none: KeptCounted,
    other: KeptCounted,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct KeptCounted {
    requests: u64,
    clients: String,
}

// === impl Tally ===

impl Tally {
    /// What another process is told.
    pub fn keep(&self, now: Instant) -> KeptTally {
        let tables = self.range(now).filter_map(|number| {
            let mut reading = Reading::default();
            self.each_of(number, |table| reading.add(table));
            let requests = reading.all().requests;
            (requests > 0).then(|| KeptTable::of(number, requests, &reading))
        });
        KeptTally { since: self.since().as_secs(), hash: probe(), tables: tables.collect() }
    }

    /// Takes over what another process has counted, in the place of what it said before. What is
    /// forgotten already or cannot be is left out. `false` where clients are told apart otherwise
    /// there: then nothing changes.
    #[must_use]
    pub fn take_over(&self, kept: &KeptTally, now: Instant) -> bool {
        if kept.hash != probe() {
            return false;
        }
        let range = self.range(now);
        let tables = kept.tables.iter().filter(|table| range.contains(&table.number));
        // Each part of time stands there once.
        let tables = tables.take(range.clone().count()).filter_map(KeptTable::read).collect();
        self.carry(Carried { since: Duration::from_secs(kept.since), tables });
        true
    }
}

// === impl KeptTable ===

impl KeptTable {
    fn of(number: u64, requests: u64, reading: &Reading) -> Self {
        let mut most: Vec<_> = reading.versions.iter().collect();
        most.sort_by_key(|(_, counted)| std::cmp::Reverse(counted.requests));
        let most = most.into_iter().take(VERSIONS_MAX);
        Self {
            number,
            requests,
            versions: most.map(|(it, counted)| (it.to_string(), counted.into())).collect(),
            none: (&reading.none).into(),
            other: (&reading.other).into(),
        }
    }

    fn read(&self) -> Option<Table> {
        let versions = self.versions.iter().take(VERSIONS_MAX).filter_map(|(text, counted)| {
            let entry = Entry { counted: counted.read(), error: 0 };
            Some((Version::parse_exact(text)?, entry))
        });
        let table = Table {
            number: self.number,
            requests: self.requests,
            versions: versions.collect(),
            none: self.none.read(),
            other: self.other.read(),
        };
        let parts = table.versions.values().map(|entry| entry.counted.requests);
        let mut parts = parts.chain([table.none.requests, table.other.requests]);
        let known = parts.try_fold(0_u64, |sum, part| sum.checked_add(part))?;
        (known <= table.requests && table.requests <= REQUESTS_MAX).then_some(table)
    }
}

// === impl KeptCounted ===

impl KeptCounted {
    fn read(&self) -> Counted {
        Counted { requests: self.requests, clients: Sketch::from_text(&self.clients) }
    }
}

impl From<&Counted> for KeptCounted {
    fn from(counted: &Counted) -> Self {
        Self { requests: counted.requests, clients: counted.clients.to_text() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{classify::AppVersion, policy::sticky::Place};

    const HOUR: Duration = Duration::from_secs(3_600);
    const BEGINNING: Duration = Duration::from_secs(80_000 * 6 * 3_600);

    fn known(text: &str) -> AppVersion {
        AppVersion::Known(Version::parse_exact(text).expect("a version"))
    }

    fn client(number: u32) -> u64 {
        Place::of("client", &number.to_be_bytes()).bits()
    }

    /// By way of text, as a process tells it.
    fn told(tally: &Tally, now: Instant) -> KeptTally {
        let text = serde_json::to_string(&tally.keep(now)).expect("JSON");
        serde_json::from_str(&text).expect("what was written")
    }

    #[test]
    fn what_one_process_counted_another_goes_on_with_and_counts_nothing_twice() {
        let start = Instant::now();
        let old = Tally::new(2, start, BEGINNING);
        for who in 0..20 {
            old.note(0, known("5.1"), client(who), start);
            old.note(1, known("5.2"), client(who), start + 7 * HOUR);
        }
        old.note(1, AppVersion::None, client(1), start);
        old.note(1, AppVersion::Other, client(1), start);
        // The new one begins eight hours later, at another moment of its own clock.
        let now = start + 8 * HOUR;
        let new = Tally::new(1, now, BEGINNING + 8 * HOUR);
        new.note(0, known("5.2"), client(100), now);
        for _ in 0..3 {
            assert!(new.take_over(&told(&old, now), now));
        }
        let reading = new.read(now);
        let shown: Vec<_> =
            reading.versions.iter().map(|(it, of)| (it.to_string(), of.requests)).collect();
        assert_eq!(shown, [("5.1".to_owned(), 20), ("5.2".into(), 21)]);
        assert_eq!((reading.none.requests, reading.other.requests), (1, 1));
        let all = reading.all();
        assert_eq!((all.requests, all.clients()), (43, 21), "20 came to both");
        assert_eq!(reading.over, 8 * HOUR);
        // The old one has finished another; and a third process is told by the new one.
        old.note(0, known("5.2"), client(0), now);
        assert!(new.take_over(&told(&old, now), now));
        let third = Tally::new(4, now, BEGINNING + 8 * HOUR);
        assert!(third.take_over(&told(&new, now), now));
        assert_eq!(third.read(now), new.read(now));
        assert_eq!(third.read(now).all().requests, 44);
        // What is too long ago is forgotten, whoever counted it.
        assert_eq!(third.read(start + 25 * HOUR).all().requests, 22);
        assert_eq!(third.read(start + 99 * HOUR).all().requests, 0);
    }

    #[test]
    fn versions_that_were_too_many_to_keep_are_still_counted() {
        let start = Instant::now();
        let old = Tally::new(8, start, BEGINNING);
        for made_up in 0..4_000_u32 {
            old.note(made_up as usize % 8, known(&format!("9.{made_up}")), 1, start);
            old.note(made_up as usize % 8, known("5.2"), client(made_up), start);
        }
        let new = Tally::new(1, start, BEGINNING);
        assert!(new.take_over(&told(&old, start), start));
        let reading = new.read(start);
        assert_eq!(reading.versions.len(), VERSIONS_MAX);
        let real = &reading.versions[&Version::parse_exact("5.2").expect("a version")];
        assert!(real.requests >= 3_000, "{}", real.requests);
        assert_eq!(reading.all().requests, 8_000);
    }

    #[test]
    fn what_cannot_be_is_left_out() {
        let start = Instant::now();
        let tally = Tally::new(1, start, BEGINNING);
        let number = *tally.range(start).end();
        let counted = |requests| KeptCounted { requests, clients: "?".into() };
        let fine = KeptTable { number, requests: 3, none: counted(1), ..KeptTable::default() };
        let whole = |tables: Vec<KeptTable>| KeptTally { since: 1, hash: probe(), tables };
        let requests = |kept: KeptTally| {
            assert_eq!(tally.take_over(&kept, start), kept.hash == probe());
            tally.read(start).all().requests
        };
        assert_eq!(requests(whole(vec![fine.clone()])), 3);
        for wrong in [
            KeptTable { requests: 0, ..fine.clone() },
            KeptTable { requests: u64::MAX, ..fine.clone() },
            KeptTable { other: counted(u64::MAX), ..fine.clone() },
            KeptTable { number: number + 1, ..fine.clone() },
            KeptTable { number: 0, ..fine.clone() },
        ] {
            assert_eq!(requests(whole(vec![wrong.clone()])), 0, "{wrong:?}");
        }
        assert_eq!(requests(whole(vec![fine.clone()])), 3);
        let other = KeptTally { hash: !probe(), ..whole(vec![]) };
        assert_eq!(requests(other), 3, "it is not taken over, and changes nothing");
        let odd = BTreeMap::from([("latest".to_owned(), counted(1)), ("5".into(), counted(1))]);
        let odd = KeptTable { versions: odd, ..fine };
        assert_eq!(requests(whole(vec![odd])), 3);
        assert_eq!(tally.read(start).versions.len(), 1);
        assert!(serde_json::from_str::<KeptTally>("{}").is_ok(), "all of it may be missing");
    }
}
