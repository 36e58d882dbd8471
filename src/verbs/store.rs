//! The file in which verbs are kept over a restart.
//!
//! Whoever reads it finds the old one or the new one; what cannot be understood is moved aside
//! rather than written over.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Verb, kept};
use crate::durable;

/// The file's name in `state_dir`.
const FILE: &str = "verbs.json";

/// Keeps verbs in a directory.
#[derive(Clone, Debug)]
pub struct Store {
    directory: PathBuf,
}

/// Why verbs cannot be kept or had back.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory or the file cannot be used.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file holds something else; it has been moved to this one.
    #[error("{path}: {source}; it has been moved to {aside}")]
    Broken {
        /// Which.
        path: String,
        /// Why.
        source: kept::KeptError,
        /// Where it is now.
        aside: String,
    },
}

// === impl Store ===

impl Store {
    /// Keeps verbs in `directory`, which is made when it is first needed.
    pub fn new(directory: &Path) -> Self {
        Self { directory: directory.to_owned() }
    }

    /// The verbs that were kept, and a sentence about each entry that could not be read.
    ///
    /// # Errors
    ///
    /// The file is there and cannot be read; one that is broken has been moved aside.
    pub fn load(&self) -> Result<(Vec<Verb>, Vec<String>), StoreError> {
        let path = self.directory.join(FILE);
        let failed = |source| StoreError::Io { path: path.display().to_string(), source };
        let Some(bytes) = durable::read(&path).map_err(failed)? else {
            return Ok(Default::default());
        };
        kept::read(&String::from_utf8_lossy(&bytes)).map_err(|source| {
            let aside = self.directory.join(format!("{FILE}.broken"));
            // What cannot be moved is written over by the next verb; that has been said.
            let _ = fs::rename(&path, &aside);
            let (path, aside) = (path.display().to_string(), aside.display().to_string());
            StoreError::Broken { path, source, aside }
        })
    }

    /// Keeps `text` in the place of what was kept.
    ///
    /// # Errors
    ///
    /// It cannot be written; what was kept before is still there.
    pub fn save(&self, text: &str) -> Result<(), StoreError> {
        let path = self.directory.join(FILE);
        self.replace(&path, text)
            .map_err(|source| StoreError::Io { path: path.display().to_string(), source })
    }

    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        fs::create_dir_all(&self.directory)?;
        durable::write(path, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str = r#"{"version":1,"verbs":[]}"#;

    #[test]
    fn what_was_saved_is_there_after_a_restart_and_nothing_lies_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::new(&directory.path().join("made/when/needed"));
        assert!(store.load().expect("there is nothing yet").0.is_empty());
        store.save(NONE).expect("it can be written");
        store.save(NONE).expect("it can be written again");
        assert!(store.load().expect("it can be read").1.is_empty());
        assert_eq!(fs::read_dir(&store.directory).expect("it is there").count(), 1);
    }

    #[test]
    fn a_torn_file_is_moved_aside_and_stops_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::new(directory.path());
        fs::write(directory.path().join(FILE), &NONE[..9]).expect("it can be written");
        let error = store.load().expect_err("it is torn").to_string();
        assert!(error.contains("moved to") && error.contains("verbs.json.broken"), "{error}");
        assert!(store.load().expect("it is out of the way").0.is_empty());
        let aside = fs::read_to_string(directory.path().join("verbs.json.broken"));
        assert_eq!(aside.expect("it is kept"), NONE[..9]);
    }

    #[test]
    fn a_directory_that_cannot_be_is_said() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("file");
        fs::write(&file, "").expect("it can be written");
        let store = Store::new(&file);
        assert!(store.save(NONE).expect_err("it is a file").to_string().contains("verbs.json"));
    }
}
