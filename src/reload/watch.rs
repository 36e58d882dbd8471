//! Whether files hold what they held before.
//!
//! Content is read and hashed, not only looked at from outside: Kubernetes swaps a symlink, editors
//! rename, and a copy over the file may keep its time and length. What has lain untouched for a
//! while is not read again as long as the system says that it is the same file and that nobody has
//! changed it: nobody can set the time of that (`ctime`), and a table of users may be large.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustc_hash::FxHashMap;
use sha2::{Digest, Sha256};

/// How long a file must have lain untouched before its stamp is trusted. Times of files are
/// coarse: two changes within one tick of the clock have the same one.
const SETTLED: Duration = Duration::from_secs(2);

/// What a set of files and directories holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// Takes fingerprints, and remembers what files held that have not been touched since.
#[derive(Debug, Default)]
pub(super) struct Watch(FxHashMap<PathBuf, (Stamp, [u8; 32])>);

/// Which file it is, and when it was last touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

// === impl Watch ===

impl Watch {
    /// Looks at all of `paths`: of a file its content counts, of a directory the names in it. What
    /// cannot be read has a fingerprint too.
    pub(super) fn look(&mut self, paths: &[PathBuf]) -> Fingerprint {
        self.0.retain(|path, _| paths.contains(path));
        let mut hash = Sha256::new();
        for path in paths {
            hash.update(path.as_os_str().as_encoded_bytes());
            match self.content(path) {
                Ok(content) => {
                    hash.update([1]);
                    hash.update(content);
                }
                Err(error) => {
                    hash.update([0]);
                    hash.update(error.kind().to_string());
                }
            }
        }
        Fingerprint(hash.finalize().into())
    }

    /// The hash of what is at `path`.
    fn content(&mut self, path: &Path) -> io::Result<[u8; 32]> {
        let about = fs::metadata(path)?;
        if about.is_dir() {
            return names(path);
        }
        let stamp = Stamp::of(&about);
        if let Some((_, hash)) = self.0.get(path).filter(|(known, _)| *known == stamp) {
            return Ok(*hash);
        }
        let mut hash = Sha256::new();
        io::copy(&mut fs::File::open(path)?, &mut Hashing(&mut hash))?;
        let hash: [u8; 32] = hash.finalize().into();
        if stamp.is_settled() && Stamp::of(&fs::metadata(path)?) == stamp {
            self.0.insert(path.to_owned(), (stamp, hash));
        }
        Ok(hash)
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(about: &fs::Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            length: about.len(),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }

    fn is_settled(&self) -> bool {
        let changed = u64::try_from(self.changed.0).unwrap_or(0);
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(changed + 1);
        SystemTime::now().duration_since(changed).is_ok_and(|since| since > SETTLED)
    }
}

/// Feeds a hash with what is copied to it.
struct Hashing<'a>(&'a mut Sha256);

impl io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The hash of the names in a directory.
fn names(path: &Path) -> io::Result<[u8; 32]> {
    let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(Sha256::digest(names.join(std::ffi::OsStr::new("/")).as_encoded_bytes()).into())
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
        let mut watch = Watch::default();
        let before = watch.look(&paths);
        fs::write(&first, "one").unwrap();
        assert_eq!(watch.look(&paths), before);
        fs::remove_file(&link).unwrap();
        assert_ne!(watch.look(&paths), before, "a file that has gone is a change");
        std::os::unix::fs::symlink(&second, &link).unwrap();
        assert_ne!(watch.look(&paths), before, "so is a link that was swapped");
    }

    #[test]
    fn a_file_that_comes_into_a_directory_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let paths = [directory.path().to_owned()];
        let mut watch = Watch::default();
        let before = watch.look(&paths);
        fs::write(directory.path().join("a.yaml"), "").unwrap();
        assert_ne!(watch.look(&paths), before);
    }

    #[test]
    fn what_has_settled_is_not_read_again_until_it_is_touched() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one").unwrap();
        let paths = [file.path().to_owned()];
        let mut watch = Watch::default();
        let before = watch.look(&paths);
        assert!(watch.0.is_empty(), "it was touched just now");
        let stamp = Stamp::of(&fs::metadata(file.path()).unwrap());
        watch.0.insert(paths[0].clone(), (stamp, [7; 32]));
        assert_ne!(watch.look(&paths), before, "what is remembered counts");
        fs::write(file.path(), "two").unwrap();
        let stale = Stamp { changed: (stamp.changed.0 - 1, 0), ..stamp };
        watch.0.insert(paths[0].clone(), (stale, [7; 32]));
        let after = watch.look(&paths);
        assert_eq!(after, Watch::default().look(&paths), "and not for what was touched since");
        assert_ne!(after, before);
        assert!(Stamp { changed: (stamp.changed.0 - 10, 0), ..stamp }.is_settled());
        watch.look(&[]);
        assert!(watch.0.is_empty(), "nothing is remembered of what is not looked at");
    }
}
