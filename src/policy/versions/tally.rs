//! Which versions an audience's requests came from lately, and from about how many clients.
//!
//! ```text
//!   worker 0: [ 0-6 h ][ 6-12 h ][ 12-18 h ][ 18-24 h ago ]  ┐
//!   worker 1: [       ][        ][         ][             ]  ┴─ read together, when somebody asks
//! ```
//!
//! A worker writes to a table of its own. A table holds the versions that come most (Space-Saving:
//! Metwally, Agrawal and El Abbadi, 2005): a version that makes up more than one in
//! [`VERSIONS_MAX`] requests is always in it, whatever others a client makes up.
//!
//! Tables begin at the same moments in all processes, so that what another one has counted is a row
//! like those of workers (`kept`).

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hasher},
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::sketch::Sketch;
use crate::classify::{AppVersion, Version};

/// The most versions of a table.
pub const VERSIONS_MAX: usize = 64;

/// Tables of one worker, and for how long each counts.
const TABLES: u64 = 4;
const TABLE: Duration = Duration::from_secs(6 * 3_600);

/// How far back it can be seen: to the beginning of a table.
pub const HOURS_MIN: u64 = (TABLES - 1) * 6;
/// How far back it can be seen at most.
pub const HOURS_MAX: u64 = TABLES * 6;

/// What makes a number of whatever tells a client from others. A version of usher may have another
/// one, so that what it counted cannot be counted on with; `probe` shows that.
pub type ClientHasher = DefaultHasher;

/// What an audience's requests came from. Outlives snapshots, so that a reload forgets nothing.
#[derive(Debug)]
pub struct Tally {
    origin: Instant,
    /// The origin, counted from 1970.
    origin_at: Duration,
    rows: Box<[CachePadded<Mutex<[Table; TABLES as usize]>>]>,
    carried: Mutex<Carried>,
}

/// What another process has counted.
#[derive(Debug)]
pub(super) struct Carried {
    /// Since when, counted from 1970; the origin where there was no other.
    pub(super) since: Duration,
    pub(super) tables: Vec<Table>,
}

/// What was counted of one version. Cheap to add up, over workers and time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counted {
    /// Requests, of which as many more may have come as were counted for others before.
    pub requests: u64,
    pub(super) clients: Sketch,
}

/// What was counted, over all workers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Over how long, until now.
    pub over: Duration,
    /// The versions that came most, the oldest first.
    pub versions: BTreeMap<Version, Counted>,
    /// Requests without a version.
    pub none: Counted,
    /// Requests with something that is none.
    pub other: Counted,
    /// Requests whose versions were too many to keep.
    pub rest: u64,
}

/// What one worker has counted in one part of time.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Which part, counted from 1970.
    pub(super) number: u64,
    pub(super) requests: u64,
    pub(super) versions: FxHashMap<Version, Entry>,
    pub(super) none: Counted,
    pub(super) other: Counted,
}

#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) counted: Counted,
    /// What of its requests may have been another version's.
    pub(super) error: u64,
}

// === impl Tally ===

impl Tally {
    /// Nobody has asked yet; `rows` threads count. It is `now`, and `at` counted from 1970.
    pub fn new(rows: usize, now: Instant, at: Duration) -> Self {
        let rows = (0..rows).map(|_| CachePadded::default()).collect();
        let carried = Mutex::new(Carried { since: at, tables: Vec::new() });
        Self { origin: now, origin_at: at, rows, carried }
    }

    /// `worker` has had a request of `version` at `now`, from a client whose hash is `client`.
    pub fn note(&self, worker: usize, version: AppVersion, client: u64, now: Instant) {
        let number = self.number(now);
        let Some(row) = self.rows.get(worker) else { return };
        let mut tables = row.lock();
        let table = &mut tables[(number % TABLES) as usize];
        if table.number < number {
            *table = Table { number, ..Table::default() };
        }
        table.note(version, client);
    }

    /// What has been counted until `now`.
    pub fn read(&self, now: Instant) -> Reading {
        let range = self.range(now);
        let begun = TABLE * u32::try_from(*range.start()).unwrap_or(u32::MAX);
        let over = self.at(now).saturating_sub(begun.max(self.since()));
        let mut reading = Reading { over, ..Reading::default() };
        for number in range {
            self.each_of(number, |table| reading.add(table));
        }
        reading
    }

    /// How many requests have been counted here and are not forgotten yet, whoever reads.
    pub fn requests(&self) -> u64 {
        let row = |row: &Mutex<[Table; TABLES as usize]>| -> u64 {
            row.lock().iter().map(|table| table.requests).sum()
        };
        self.rows.iter().map(|each| row(each)).sum()
    }

    /// Since when it is counted, here or in processes before this one; counted from 1970.
    pub(super) fn since(&self) -> Duration {
        self.carried.lock().since
    }

    /// Another process has counted this, and nothing else. May come again.
    pub(super) fn carry(&self, carried: Carried) {
        let since = carried.since.min(self.origin_at);
        *self.carried.lock() = Carried { since, ..carried };
    }

    /// The parts of time that are not forgotten yet.
    pub(super) fn range(&self, now: Instant) -> RangeInclusive<u64> {
        let last = self.number(now);
        last.saturating_sub(TABLES - 1)..=last
    }

    /// All that was counted in one part of time.
    pub(super) fn each_of(&self, number: u64, mut look: impl FnMut(&Table)) {
        for row in &self.rows {
            // One table at a time: who counts is not to wait for all of them.
            let table = &row.lock()[(number % TABLES) as usize];
            if table.number == number {
                look(table);
            }
        }
        let carried = self.carried.lock();
        carried.tables.iter().filter(|table| table.number == number).for_each(look);
    }

    fn number(&self, now: Instant) -> u64 {
        self.at(now).as_secs() / TABLE.as_secs()
    }

    /// Counted from 1970, by the clock that was read once.
    fn at(&self, now: Instant) -> Duration {
        self.origin_at + now.saturating_duration_since(self.origin)
    }
}

// === impl Counted ===

impl Counted {
    /// About how many clients they came from.
    pub fn clients(&self) -> u64 {
        self.clients.count()
    }

    fn note(&mut self, client: u64) {
        self.requests += 1;
        self.clients.add(client);
    }

    pub(super) fn join(&mut self, other: &Counted) {
        self.requests += other.requests;
        self.clients.join(&other.clients);
    }
}

// === impl Reading ===

impl Reading {
    /// All of them.
    pub fn all(&self) -> Counted {
        let mut all = self.sum(self.versions.values().chain([&self.none, &self.other]));
        all.requests += self.rest;
        all
    }

    /// Those below `min`; also those without one or with none that can be read where `unknown`.
    pub fn below(&self, min: Version, unknown: bool) -> Counted {
        let old = self.versions.range(..min).map(|(_, counted)| counted);
        let others = [&self.none, &self.other].into_iter().filter(|_| unknown);
        self.sum(old.chain(others))
    }

    fn sum<'a>(&self, all: impl Iterator<Item = &'a Counted>) -> Counted {
        all.fold(Counted::default(), |mut sum, counted| {
            sum.join(counted);
            sum
        })
    }

    pub(super) fn add(&mut self, table: &Table) {
        let mut known = table.none.requests + table.other.requests;
        self.none.join(&table.none);
        self.other.join(&table.other);
        for (version, Entry { counted, error }) in &table.versions {
            let requests = counted.requests - error;
            known += requests;
            let sum = self.versions.entry(*version).or_default();
            sum.requests += requests;
            sum.clients.join(&counted.clients);
        }
        self.rest += table.requests - known;
    }
}

// === impl Table ===

impl Table {
    fn note(&mut self, version: AppVersion, client: u64) {
        self.requests += 1;
        match version {
            AppVersion::None => self.none.note(client),
            AppVersion::Other => self.other.note(client),
            AppVersion::Known(version) => self.entry(version).counted.note(client),
        }
    }

    fn entry(&mut self, version: Version) -> &mut Entry {
        let full = self.versions.len() >= VERSIONS_MAX && !self.versions.contains_key(&version);
        let error = if full { self.make_room() } else { 0 };
        self.versions.entry(version).or_insert_with(|| {
            let counted = Counted { requests: error, ..Counted::default() };
            Entry { counted, error }
        })
    }

    /// Forgets the version that came least, and says how often it may have come: no newcomer can
    /// have come more often than that.
    #[cold]
    fn make_room(&mut self) -> u64 {
        let least = self.versions.iter().min_by_key(|(_, entry)| entry.counted.requests);
        let least = least.map(|(version, entry)| (*version, entry.counted.requests));
        let Some((version, requests)) = least else { return 0 };
        self.versions.remove(&version);
        requests
    }
}

/// What [`ClientHasher`] makes of something that is always the same.
pub(super) fn probe() -> u64 {
    let mut hasher = ClientHasher::new();
    hasher.write(b"usher");
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At the beginning of a table.
    const BEGINNING: Duration = Duration::from_secs(80_000 * 6 * 3_600);

    fn version(text: &str) -> Version {
        Version::parse_exact(text).expect("a version")
    }

    fn known(text: &str) -> AppVersion {
        AppVersion::Known(version(text))
    }

    /// A hash for a small number.
    fn client(number: u64) -> u64 {
        super::super::super::sticky::Place::of("client", &number.to_be_bytes()).bits()
    }

    #[test]
    fn requests_and_clients_of_all_workers_are_read_together() {
        let start = Instant::now();
        let tally = Tally::new(2, start, BEGINNING);
        for who in 0..20 {
            tally.note(0, known("5.1"), client(who), start);
            tally.note(1, known("5.1"), client(who), start);
            tally.note(1, known("5.2"), client(100 + who % 2), start);
        }
        tally.note(0, AppVersion::None, client(7), start);
        tally.note(1, AppVersion::Other, client(8), start);
        let reading = tally.read(start);
        let old = &reading.versions[&version("5.1")];
        assert_eq!((old.requests, old.clients()), (40, 20));
        let new = &reading.versions[&version("5.2")];
        assert_eq!((new.requests, new.clients()), (20, 2));
        assert_eq!((reading.none.requests, reading.other.requests, reading.rest), (1, 1, 0));
        let all = reading.all();
        assert_eq!((all.requests, all.clients()), (62, 22), "7 and 8 had come before");
        let below = reading.below(version("5.2"), false);
        assert_eq!((below.requests, below.clients()), (40, 20));
        assert_eq!(reading.below(version("5.2"), true).requests, 42);
        assert_eq!(reading.below(version("5.1"), false).requests, 0, "it is not below itself");
    }

    #[test]
    fn what_is_old_is_forgotten_and_the_last_hours_are_not() {
        let start = Instant::now();
        let tally = Tally::new(1, start, BEGINNING);
        let seen = |hours: u64| {
            let reading = tally.read(start + Duration::from_secs(hours * 3_600));
            (reading.versions.keys().map(ToString::to_string).collect(), reading.over.as_secs())
        };
        let hours = |hours: u64| start + Duration::from_secs(hours * 3_600);
        tally.note(0, known("1"), 1, hours(0));
        tally.note(0, known("2"), 1, hours(7));
        assert_eq!(seen(7), (vec!["1.0".to_owned(), "2.0".into()], 7 * 3_600));
        assert_eq!(seen(23), (vec!["1.0".to_owned(), "2.0".into()], 23 * 3_600));
        assert_eq!(seen(24), (vec!["2.0".to_owned()], 18 * 3_600));
        tally.note(0, known("3"), 1, hours(25));
        assert_eq!(seen(25), (vec!["2.0".to_owned(), "3.0".into()], 19 * 3_600));
        assert_eq!(seen(1_000).0, Vec::<String>::new());
    }

    #[test]
    fn made_up_versions_drive_out_no_real_one() {
        let start = Instant::now();
        let tally = Tally::new(1, start, BEGINNING);
        // First the flood, so that the real one has to make its way in.
        for made_up in 0..10_000_u32 {
            tally.note(0, known(&format!("9.{made_up}")), 1, start);
            if made_up % 10 == 0 {
                tally.note(0, known("5.2"), client(made_up.into()), start);
            }
        }
        let reading = tally.read(start);
        assert_eq!(reading.versions.len(), VERSIONS_MAX);
        let real = &reading.versions[&version("5.2")];
        assert!((800..=1_000).contains(&real.requests), "{}", real.requests);
        assert_eq!(reading.all().requests, 11_000, "every request is somewhere");
        assert!(reading.rest > 9_000, "and what is not known is said");
    }
}
