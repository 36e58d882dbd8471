//! Which versions of apps came, kept over a restart: `state_dir/versions.json`.
//!
//! A process that has handed over writes nothing more: its successor knows what it has counted.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use parking_lot::Mutex;

use crate::{
    durable,
    name::Name,
    policy::versions::{KeptTally, Tally},
    snapshot::Snapshot,
};

/// The file's name in `state_dir`.
const FILE: &str = "versions.json";

/// What audiences have counted, by their names.
pub(super) type Kept = BTreeMap<String, KeptTally>;

/// Where it is kept.
pub(super) struct Tallies {
    /// None without `state_dir`.
    path: Option<PathBuf>,
    written: Mutex<Written>,
}

/// What was written last.
#[derive(Default)]
struct Written {
    /// After so many requests.
    requests: u64,
    /// Whether it could not be.
    failed: bool,
}

// === impl Tallies ===

impl Tallies {
    /// Takes over what is kept in `state_dir`. What cannot be read is told, and begins anew.
    pub(super) fn open(state_dir: Option<&Path>, snapshot: &Snapshot) -> Self {
        let path = state_dir.map(|directory| directory.join(FILE));
        if let Some(path) = &path {
            match durable::read(path) {
                Ok(None) => {}
                Ok(Some(bytes)) => match serde_json::from_slice::<Kept>(&bytes) {
                    Ok(kept) => take_over(snapshot, &kept),
                    Err(error) => move_aside(path, &error),
                },
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "cannot be read");
                }
            }
        }
        Self { path, written: Mutex::default() }
    }

    /// Writes down what has been counted, where there is more than before. Waits for the disk.
    pub(super) fn keep(&self, snapshot: &Snapshot) {
        let Some(path) = &self.path else { return };
        let mut written = self.written.lock();
        let requests = requests(snapshot);
        if requests == written.requests && !written.failed {
            return;
        }
        // Nothing in it has no JSON.
        let bytes = serde_json::to_vec(&kept(snapshot)).unwrap_or_default();
        let failed = write(path, &bytes).err();
        if let Some(error) = failed.as_ref().filter(|_| !written.failed) {
            tracing::error!(
                path = %path.display(), %error, "versions of apps that came cannot be written down"
            );
        }
        *written = Written { requests, failed: failed.is_some() };
    }
}

// === free functions ===

/// What all audiences have counted.
pub(super) fn kept(snapshot: &Snapshot) -> Kept {
    let now = Instant::now();
    all(snapshot).map(|(name, tally)| (name.to_string(), tally.keep(now))).collect()
}

/// Goes on with what another process has counted.
pub(super) fn take_over(snapshot: &Snapshot, kept: &Kept) {
    let now = Instant::now();
    for (name, tally) in all(snapshot) {
        let Some(kept) = kept.get(name.as_str()) else { continue };
        if !tally.take_over(kept, now) {
            tracing::warn!(
                audience = name.as_str(),
                "versions of apps are counted anew: the other usher tells clients apart otherwise"
            );
        }
    }
}

/// How many requests have been counted in this process: it grows with each, but for what is
/// forgotten.
pub(super) fn requests(snapshot: &Snapshot) -> u64 {
    all(snapshot).map(|(_, tally)| tally.requests()).sum()
}

fn all(snapshot: &Snapshot) -> impl Iterator<Item = (&Name, &Tally)> {
    let audiences = snapshot.audiences().iter();
    audiences.filter_map(|it| Some((&it.name, &*it.versions.as_ref()?.tally)))
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    durable::write(path, bytes)
}

fn move_aside(path: &Path, error: &serde_json::Error) {
    let aside = path.with_extension("json.broken");
    // What cannot be moved is written over later; that has been said.
    let _ = fs::rename(path, &aside);
    tracing::error!(
        path = %path.display(), %error, aside = %aside.display(),
        "versions of apps are counted anew: this is not what usher writes"
    );
}
