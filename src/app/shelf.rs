//! Where what was counted for promises is kept over a restart: `state_dir/slo`.
//!
//! ```text
//!   ID.json    what the process ID has counted, and whose files are contained in it
//!   ID.lock    locked as long as that process lives; the system lets go of it, however it ends
//! ```
//!
//! A process writes its own file only. What it finds of processes that have ended it absorbs: it
//! writes its file with their counts and their names in it, in one step, and removes theirs after
//! that. A file whose name stands in another one is not read, so that an end at any moment in
//! between counts nothing twice. What processes have that still live (one that drains after a
//! hand-over) is shown and left to them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rustix::fs::{FlockOperation, flock};

use crate::{
    durable,
    slo::{Extent, Kept, Ledger, Told},
};

const FILE: &str = "json";
const LOCK: &str = "lock";
/// What cannot be read is kept under this name for people to look at, one file of a name at most.
const UNREADABLE: &str = "unreadable";

/// How old what a killed process has left must be to be removed.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// The most files that are looked at.
const FILES_MAX: usize = 1_000;

/// This process's place on the shelf.
#[derive(Debug)]
pub(super) struct Shelf {
    directory: PathBuf,
    name: String,
    /// Let go of by the system when this process ends.
    _lock: File,
    /// Whose counts are in ours while their files may still be there.
    absorbed: BTreeSet<String>,
}

/// What was found of others.
#[derive(Default)]
pub(super) struct Found {
    /// What each has counted.
    told: BTreeMap<String, Told>,
    /// Those that have ended, and the locks that nobody else may take before they are absorbed.
    ended: BTreeMap<String, File>,
    /// Those whose counts are contained elsewhere.
    contained: BTreeSet<String>,
}

// === impl Shelf ===

impl Shelf {
    /// Takes a place in `state_dir`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// Files cannot be made there.
    pub(super) fn open(state_dir: &Path) -> io::Result<Self> {
        let directory = state_dir.join("slo");
        fs::create_dir_all(&directory)?;
        let name = name();
        let lock = File::create(directory.join(&name).with_extension(LOCK))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        tidy(&directory);
        let directory = directory.canonicalize()?;
        Ok(Self { directory, name, _lock: lock, absorbed: BTreeSet::new() })
    }

    /// Looks at what others have left or are writing, at `now` (seconds since 1970).
    pub(super) fn look(&self, now: u64) -> Found {
        let mut found = Found { contained: self.absorbed.clone(), ..Found::default() };
        for name in self.names() {
            let lock = self.try_lock(&name);
            let path = self.path(&name, FILE);
            let kept = match durable::read(&path) {
                Ok(Some(bytes)) => Kept::from_bytes(&bytes, now),
                // It was absorbed just now; looking at its lock has made that anew.
                Ok(None) => {
                    if lock.is_some() {
                        let _ = fs::remove_file(self.path(&name, LOCK));
                    }
                    continue;
                }
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot be read");
                    continue;
                }
            };
            match kept {
                Ok(kept) => {
                    found.contained.extend(kept.absorbed);
                    let Kept { written, histories, .. } = kept;
                    found.told.insert(name.clone(), Told { written, histories });
                    found.ended.extend(lock.map(|lock| (name, lock)));
                }
                Err(error) => {
                    tracing::warn!(
                        path = %path.display(), %error,
                        "what was counted for promises is not used, and left aside"
                    );
                    let _ =
                        fs::rename(&path, self.directory.join(&name).with_extension(UNREADABLE));
                }
            }
        }
        found
    }

    /// Makes what was found part of `ledger`. Those of `heard` tell by themselves what they count,
    /// whether or not there is a file of theirs.
    pub(super) fn take_in(
        &mut self,
        found: &mut Found,
        heard: &BTreeSet<String>,
        ledger: &mut Ledger,
    ) {
        let known: Vec<String> = ledger.others().map(|(name, _)| name.to_owned()).collect();
        let speaks = |name: &String| found.told.contains_key(name) || heard.contains(name);
        for name in known.iter().filter(|name| !speaks(name)) {
            ledger.forget(name);
        }
        for (name, told) in std::mem::take(&mut found.told) {
            if found.contained.contains(&name) {
                ledger.forget(&name);
                continue;
            }
            ledger.told(&name, told, Extent::Whole);
            if found.ended.contains_key(&name) {
                ledger.absorb(&name);
                self.absorbed.insert(name);
            }
        }
    }

    /// What this process is called.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where it keeps what it counts.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The file of this process.
    pub(super) fn bytes(&self, ledger: &Ledger, now: u64) -> Vec<u8> {
        Kept::to_bytes(ledger.own(), &self.absorbed, now)
    }

    /// Writes it, and removes those that are contained in it.
    ///
    /// # Errors
    ///
    /// It cannot be written; then all files stay as they were.
    pub(super) fn put(&mut self, bytes: &[u8], found: Found) -> io::Result<()> {
        durable::write(&self.path(&self.name, FILE), bytes)?;
        for (name, lock) in found.ended {
            let removed = fs::remove_file(self.path(&name, FILE));
            // The lock goes last: as long as it is there, so is somebody who speaks for the file.
            let _ = fs::remove_file(self.path(&name, LOCK));
            drop(lock);
            if removed.is_ok() {
                // The file is gone, so nobody has to be told any more to pass it over.
                self.absorbed.remove(&name);
            }
        }
        Ok(())
    }

    fn path(&self, name: &str, extension: &str) -> PathBuf {
        self.directory.join(name).with_extension(extension)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let path = entry.path();
            let ours = path.extension().is_some_and(|extension| extension == FILE);
            let name = path.file_stem()?.to_str()?.to_owned();
            (ours && name != self.name && !name.starts_with('.')).then_some(name)
        });
        names.take(FILES_MAX).collect()
    }

    /// The lock of a process that has ended.
    fn try_lock(&self, name: &str) -> Option<File> {
        take_lock(&self.path(name, LOCK))
    }
}

/// Removes what processes have left that were killed between two steps: locks whose files are gone,
/// and files that never got their names. What is young may be somebody's next step.
fn tidy(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let age = entry.metadata().and_then(|about| about.modified()).ok();
        let old = age.and_then(|at| at.elapsed().ok()).is_some_and(|age| age > LEFT_BEHIND);
        let unnamed = entry.file_name().as_encoded_bytes().starts_with(b".");
        let lock = path.extension().is_some_and(|extension| extension == LOCK);
        let alone = lock && !path.with_extension(FILE).exists();
        if old && (unnamed || alone && take_lock(&path).is_some()) {
            let _ = fs::remove_file(path);
        }
    }
}

fn take_lock(path: &Path) -> Option<File> {
    let file = File::options().write(true).create(true).truncate(false).open(path).ok()?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).ok()?;
    Some(file)
}

/// What a process is called where it is told what others have counted; no two are called alike.
pub(super) fn name() -> String {
    format!("{:016x}", fastrand::u64(..))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::Name,
        slo::{Count, Histories, History},
    };

    const NOW: u64 = 1_700_000_000;

    fn histories(good: u64) -> Histories {
        let mut history = History::default();
        history.add(NOW, Count { good, bad: 0 }, []);
        [((Name::parse("all").expect("a name"), "availability".into()), history)].into()
    }

    /// A process: its shelf and its ledger.
    struct Process(Shelf, Ledger);

    impl Process {
        fn start(directory: &Path) -> Self {
            let mut process = Self(Shelf::open(directory).expect("it opens"), Ledger::default());
            process.round();
            process
        }

        /// Counts `good` events as if a meter had.
        fn count(&mut self, good: u64) {
            let told = Told { written: NOW, histories: histories(good) };
            let meter = name();
            self.1.told(&meter, told, Extent::Whole);
            self.1.absorb(&meter);
        }

        fn round(&mut self) {
            let found = self.take_in();
            let bytes = self.0.bytes(&self.1, NOW);
            self.0.put(&bytes, found).expect("it can be written");
        }

        fn take_in(&mut self) -> Found {
            let mut found = self.0.look(NOW);
            self.0.take_in(&mut found, &BTreeSet::new(), &mut self.1);
            found
        }

        fn good(&self) -> u64 {
            let shown = |ledger: &Ledger| -> u64 {
                let promise = crate::slo::Promise {
                    audience: Name::parse("all").expect("a name"),
                    objective: 0,
                    label: "availability".into(),
                    aim: crate::slo::Aim::Availability { patience: crate::slo::PATIENCE },
                    target: crate::units::Percent::parse("99%").expect("a share"),
                    window: crate::slo::WINDOW,
                    sla: None,
                    bad: crate::slo::StatusSet::default(),
                };
                ledger.standing(&promise, NOW).sums.whole.good
            };
            shown(&self.1)
        }
    }

    fn files(directory: &Path) -> usize {
        fs::read_dir(directory.join("slo")).expect("a directory").count()
    }

    #[test]
    fn what_a_process_wrote_goes_on_in_the_next_one_and_its_files_go() {
        let directory = tempfile::tempdir().expect("a directory");
        for total in 1..=5 {
            let mut process = Process::start(directory.path());
            process.count(1);
            process.round();
            assert_eq!(process.good(), total);
            assert_eq!(files(directory.path()), 2, "its file and its lock");
        }
    }

    #[test]
    fn an_end_between_two_steps_counts_nothing_twice() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut first = Process::start(directory.path());
        first.count(5);
        first.round();
        drop(first);
        // The second writes its file, and ends before it removes the first one's.
        let mut second = Process(Shelf::open(directory.path()).expect("opens"), Ledger::default());
        second.take_in();
        second.count(2);
        let bytes = second.0.bytes(&second.1, NOW);
        second.0.put(&bytes, Found::default()).expect("writable");
        drop(second);
        let mut third = Process::start(directory.path());
        assert_eq!(third.good(), 7);
        third.round();
        let fourth = Process::start(directory.path());
        assert_eq!(fourth.good(), 7);
    }

    #[test]
    fn what_a_living_process_counts_is_shown_and_left_to_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut old = Process::start(directory.path());
        old.count(5);
        old.round();
        let mut new = Process::start(directory.path());
        new.count(1);
        new.round();
        assert_eq!(new.good(), 6);
        // The old one finishes what it had begun.
        old.count(2);
        old.round();
        new.round();
        assert_eq!((new.good(), old.good()), (8, 8));
        drop(old);
        for _ in 0..3 {
            new.round();
            assert_eq!(new.good(), 8);
        }
        assert_eq!(files(directory.path()), 2);
        drop(new);
        assert_eq!(Process::start(directory.path()).good(), 8);
    }

    #[test]
    fn what_killed_processes_left_between_two_steps_is_removed_once_it_is_old() {
        let directory = tempfile::tempdir().expect("a directory");
        let living = Process::start(directory.path());
        let left = [".usher-x1", "0123.lock", ".usher-new", "4567.lock"];
        for (index, name) in left.iter().enumerate() {
            let file = File::create(directory.path().join("slo").join(name)).expect("a file");
            if index < 2 {
                let old = std::time::SystemTime::now() - LEFT_BEHIND * 2;
                file.set_modified(old).expect("it is ours");
            }
        }
        let _next = Process::start(directory.path());
        let there = left.map(|name| directory.path().join("slo").join(name).exists());
        assert_eq!(there, [false, false, true, true]);
        assert_eq!(files(directory.path()), 6, "and two of each that lives");
        drop(living);
    }

    #[test]
    fn a_torn_file_is_left_aside_and_harms_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut first = Process::start(directory.path());
        first.count(5);
        first.round();
        fs::write(directory.path().join("slo/0123.json"), "{\"version\":1,\"wri")
            .expect("writable");
        drop(first);
        let second = Process::start(directory.path());
        assert_eq!(second.good(), 5);
        assert!(directory.path().join("slo/0123.unreadable").exists());
    }
}
