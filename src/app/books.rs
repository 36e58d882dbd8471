//! The books of what was promised: read from the meters once a second, kept every few.

use std::{
    path::Path,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use parking_lot::Mutex;

use super::shelf::Shelf;
use crate::{
    meters::{Meters, PromiseGauges},
    slo::{Ledger, Promise, Standing, WINDOWS},
    units::format_duration,
};

/// What has been counted, and where it is kept.
pub(super) struct Books {
    meters: Arc<Meters>,
    ledger: Mutex<Ledger>,
    /// None without `state_dir`. Locked for longer than the ledger, and never by who shows it.
    shelf: Option<Mutex<Shelf>>,
    trouble: Mutex<Option<String>>,
}

// === impl Books ===

impl Books {
    /// Opens them, kept in `state_dir` where there is one.
    ///
    /// # Errors
    ///
    /// Files cannot be made there.
    pub(super) fn open(meters: Arc<Meters>, state_dir: Option<&Path>) -> std::io::Result<Self> {
        let shelf = state_dir.map(Shelf::open).transpose()?.map(Mutex::new);
        let books = Self { meters, ledger: Mutex::default(), shelf, trouble: Mutex::default() };
        books.keep();
        Ok(books)
    }

    /// Counts what the meters have counted since the last time.
    pub(super) fn read(&self) {
        let readings = self.meters.promises();
        self.ledger.lock().take(now(), readings);
    }

    /// Writes down what has been counted, and takes in what others have. Waits for the disk.
    pub(super) fn keep(&self) {
        let Some(shelf) = &self.shelf else { return };
        let mut shelf = shelf.lock();
        let mut found = shelf.look(now());
        let bytes = {
            let mut ledger = self.ledger.lock();
            shelf.take_in(&mut found, &mut ledger);
            shelf.bytes(&ledger, now())
        };
        let written = shelf.put(&bytes, found).err();
        let trouble = written.map(|error| {
            format!("what is counted for promises cannot be written to `state_dir`: {error}")
        });
        let mut known = self.trouble.lock();
        if trouble != *known
            && let Some(trouble) = &trouble
        {
            tracing::error!("{trouble}");
        }
        *known = trouble;
    }

    /// What is wrong with it.
    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().clone()
    }

    /// Whether anything is kept over a restart.
    pub(super) fn are_kept(&self) -> bool {
        self.shelf.is_some()
    }

    /// How `promises` stand, in their order.
    pub(super) fn standings(&self, promises: &[Promise]) -> Vec<Standing> {
        let (ledger, now) = (self.ledger.lock(), now());
        promises.iter().map(|promise| ledger.standing(promise, now)).collect()
    }

    /// What Prometheus is shown of `promises`.
    pub(super) fn gauges(&self, promises: &[Promise]) -> Vec<PromiseGauges> {
        let standings = self.standings(promises);
        let gauges = promises.iter().zip(standings).map(|(promise, standing)| {
            let windows = standing.burn.iter().zip(WINDOWS);
            let mut burn: Vec<(String, f64)> =
                windows.filter_map(|(burn, (_, name))| Some((name.to_owned(), (*burn)?))).collect();
            burn.extend(standing.left.map(|left| (format_duration(promise.window), 1.0 - left)));
            PromiseGauges {
                audience: promise.audience.clone(),
                slo: promise.label.to_string(),
                target: promise.target.ratio(),
                burn,
                left: standing.left,
                exhausted_in: standing.exhausted_in.map(|time| time.as_secs_f64()),
            }
        });
        gauges.collect()
    }
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
