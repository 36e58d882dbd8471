//! A configuration that has been read and is not in use yet, with all that can be made of it
//! without touching what is in use.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::watch::{Fingerprint, Watch};
use crate::{
    classify::Classifier,
    config::{self, Changes, Config, Examination, Fixed, LoadOptions, Problem, Problems},
    snapshot::Snapshot,
};

/// What was read of the files, and what they held.
pub(super) struct Draft {
    /// `None`: it means what is in use already.
    pub(super) result: Result<Option<Fair>, Problems>,
    pub(super) looked_at: Vec<PathBuf>,
    pub(super) watch: Watch,
    pub(super) seen: Fingerprint,
}

/// A configuration in which nothing is wrong.
pub(super) struct Fair {
    pub(super) config: Arc<Config>,
    pub(super) warnings: Vec<String>,
    pub(super) classifier: Classifier,
    /// What it changes in the one that is in use, and what it cannot.
    pub(super) changes: Changes,
}

// === impl Draft ===

impl Draft {
    /// Reads the configuration at `path`, to take the place of `old`, which hung on `looked_at`, in
    /// a process for which `fixed` holds.
    pub(super) fn of(
        path: &Path,
        old: &Config,
        fixed: &Fixed,
        looked_at: Vec<PathBuf>,
        mut watch: Watch,
    ) -> Self {
        let read = || config::inspect(path, &LoadOptions::default());
        let (Examination { result, looked_at }, seen) = watch.look_and_read(looked_at, read);
        let result = result.map(|(config, warnings)| {
            (config.hash != old.hash).then(|| Fair {
                warnings: warnings.iter().map(Problem::headline).collect(),
                classifier: Snapshot::classifier(&config),
                changes: config::changes(old, &config, fixed),
                config: Arc::new(config),
            })
        });
        Self { result, looked_at, watch, seen }
    }
}
