//! What was counted for promises, from one process to the next.
//!
//! A process tells what it has counted, what others have told it, and whose counts are contained in
//! its own: each under a name that no other process has. The next one shows the sum, and makes all
//! of it its own when nobody can tell more: nothing is counted twice, however often it is told, and
//! whether it is told by the process itself or by its file in `state_dir`.
//!
//! Where both keep files in the same directory, it is there that counts change hands, since files
//! and locks decide who does it; what is heard only makes it known sooner.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use serde::de::Error as _;
use serde_json::{Error, Value, json};

use super::{Books, Shelf, now, shelf};
use crate::slo::{Extent, Histories, History, Kept, Key, Told};

/// What the processes before and after this one are told.
#[derive(Debug)]
pub(super) struct Handed {
    /// What this process is called.
    name: String,
    /// Where it keeps what it counts.
    directory: Option<PathBuf>,
    /// Up to when the next one has been told everything, in seconds since 1970, and how many counts
    /// were contained in this one's by then.
    told: Option<(u64, usize)>,
    /// The processes that are heard.
    heard: BTreeSet<String>,
    /// Whether they keep files where this one does.
    together: bool,
}

// === impl Handed ===

impl Handed {
    /// Of a process that keeps what it counts on `shelf`, if anywhere.
    pub(super) fn new(shelf: Option<&Shelf>) -> Self {
        let name = shelf.map_or_else(shelf::name, |shelf| shelf.name().to_owned());
        let directory = shelf.map(|shelf| shelf.directory().to_owned());
        Self { name, directory, told: None, heard: BTreeSet::new(), together: false }
    }
}

// === impl Books ===

impl Books {
    /// Everything that is known.
    pub(in crate::app) fn pack(&self) -> Value {
        self.handed.lock().told = None;
        self.pack_changes()
    }

    /// What has changed since it was told the last time.
    pub(in crate::app) fn pack_changes(&self) -> Value {
        self.read();
        let (ledger, mut handed, now) = (self.ledger.lock(), self.handed.lock(), now());
        let contained = ledger.contained().len();
        // What was taken in meanwhile may be about any time.
        let since = handed.told.filter(|(_, before)| *before == contained).map(|(until, _)| until);
        handed.told = Some((now, contained));
        let section = |histories: &Histories, written: u64| -> Value {
            let changed = |(_, history): &(&Key, &History)| {
                // The second in which it was told the last time was not over.
                since.is_none_or(|since| history.has_changed(since.saturating_sub(1)))
            };
            let histories = histories.iter().filter(changed);
            let bytes = Kept::to_bytes(histories, &BTreeSet::new(), written);
            // What was written a moment ago can be read.
            serde_json::from_slice(&bytes).unwrap_or_default()
        };
        let others = ledger.others();
        let others = others.map(|(name, it)| (name.to_owned(), section(&it.histories, it.written)));
        let own = (handed.name.clone(), section(ledger.own(), now));
        json!({
            "directory": handed.directory,
            "changes": since.is_some(),
            "contained": ledger.contained(),
            "processes": others.chain([own]).collect::<serde_json::Map<_, _>>(),
        })
    }

    /// Takes over what the process before this one tells.
    ///
    /// # Errors
    ///
    /// It is not what [`Books::pack`] makes.
    pub(in crate::app) fn unpack(&self, section: &Value) -> Result<(), Error> {
        let missing = |what| Error::custom(format!("`{what}` is missing"));
        let extent = match section["changes"].as_bool() {
            Some(true) => Extent::Changes,
            Some(false) => Extent::Whole,
            None => return Err(missing("changes")),
        };
        let processes = section["processes"].as_object().ok_or_else(|| missing("processes"))?;
        let contained = section["contained"].as_array().ok_or_else(|| missing("contained"))?;
        let mut told = Vec::new();
        for (name, kept) in processes {
            let kept = Kept::from_bytes(kept.to_string().as_bytes(), now());
            let Kept { written, histories, .. } = kept.map_err(Error::custom)?;
            told.push((name, Told { written, histories }));
        }
        let theirs = section["directory"].as_str().map(Path::new);
        let mut ledger = self.ledger.lock();
        let mut handed = self.handed.lock();
        handed.together = theirs.is_some() && handed.directory.as_deref() == theirs;
        handed.heard.clear();
        contained.iter().filter_map(Value::as_str).for_each(|name| ledger.contains(name));
        for (name, told) in told {
            handed.heard.insert(name.clone());
            ledger.told(name, told, extent);
        }
        Ok(())
    }

    /// The process before this one tells nothing more.
    pub(in crate::app) fn predecessor_has_gone(&self) {
        let (mut ledger, mut handed) = (self.ledger.lock(), self.handed.lock());
        let heard = std::mem::take(&mut handed.heard);
        if !handed.together {
            heard.iter().for_each(|name| ledger.absorb(name));
        }
    }

    /// The processes that tell by themselves what they count.
    pub(super) fn heard(&self) -> BTreeSet<String> {
        self.handed.lock().heard.clone()
    }
}
