//! Whether files hold what they held before.
//!
//! Content is read and hashed, not only looked at from outside: Kubernetes swaps a symlink, editors
//! rename, and a copy over the file may keep its time and length. Files of a configuration are
//! small, and are looked at once a second.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

/// What a set of files and directories holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

// === impl Fingerprint ===

impl Fingerprint {
    /// Reads all of `paths`: of a file its content, of a directory the names in it. What cannot be
    /// read has a fingerprint too.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut hash = Sha256::new();
        for path in paths {
            hash.update(path.as_os_str().as_encoded_bytes());
            match content(path) {
                Ok(content) => {
                    hash.update([1]);
                    hash.update((content.len() as u64).to_le_bytes());
                    hash.update(&content);
                }
                Err(error) => {
                    hash.update([0]);
                    hash.update(error.kind().to_string());
                }
            }
        }
        Self(hash.finalize().into())
    }
}

fn content(path: &Path) -> io::Result<Vec<u8>> {
    if !path.is_dir() {
        return fs::read(path);
    }
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names.join(std::ffi::OsStr::new("/")).into_encoded_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_counts_and_not_the_time_or_the_name_behind_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let (link, first, second) =
            (directory.path().join("link"), directory.path().join("1"), directory.path().join("2"));
        fs::write(&first, "one").unwrap();
        fs::write(&second, "two").unwrap();
        std::os::unix::fs::symlink(&first, &link).unwrap();
        let paths = [link.clone()];
        let before = Fingerprint::of(&paths);
        fs::write(&first, "one").unwrap();
        assert_eq!(Fingerprint::of(&paths), before);
        fs::remove_file(&link).unwrap();
        assert_ne!(Fingerprint::of(&paths), before, "a file that has gone is a change");
        std::os::unix::fs::symlink(&second, &link).unwrap();
        assert_ne!(Fingerprint::of(&paths), before, "so is a link that was swapped");
    }

    #[test]
    fn a_file_that_comes_into_a_directory_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let paths = [directory.path().to_owned()];
        let before = Fingerprint::of(&paths);
        fs::write(directory.path().join("a.yaml"), "").unwrap();
        assert_ne!(Fingerprint::of(&paths), before);
    }
}
