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

use crate::{config::Examination, stride::pause};

/// How long a file must have lain untouched before its stamp is trusted. Times of files are
/// coarse: two changes within one tick of the clock have the same one.
const SETTLED: Duration = Duration::from_secs(2);

/// How often a configuration is read anew because it names other files than a moment ago.
const READS_MAX: u32 = 3;

/// What a set of files and directories holds. The default is none that a look returns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fingerprint([u8; 32]);

/// Takes fingerprints, and remembers what files held that have not been touched since.
#[derive(Clone, Debug, Default)]
pub(super) struct Watch {
    settled: FxHashMap<PathBuf, (Stamp, [u8; 32])>,
    bytes: u64,
}

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
        self.settled.retain(|path, _| paths.contains(path));
        self.bytes = 0;
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

    /// Has the configuration read that hung on `paths` when it was read last, and says what its
    /// files held before: what is written to them meanwhile is found at the next look, and not
    /// taken for what has been read.
    pub(super) fn look_and_read(
        &mut self,
        mut paths: Vec<PathBuf>,
        read: impl Fn() -> Examination,
    ) -> (Examination, Fingerprint) {
        let mut reads = 0;
        loop {
            let seen = self.look(&paths);
            let examined = read();
            reads += 1;
            if examined.looked_at == paths {
                return (examined, seen);
            }
            // It hangs on files that had not been looked at.
            if reads == READS_MAX {
                return (examined, Fingerprint::default());
            }
            paths.clone_from(&examined.looked_at);
        }
    }

    /// How long all files together were when they were looked at last.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The hash of what is at `path`.
    fn content(&mut self, path: &Path) -> io::Result<[u8; 32]> {
        let about = fs::metadata(path)?;
        if about.is_dir() {
            return names(path);
        }
        self.bytes += about.len();
        let stamp = Stamp::of(&about);
        if let Some((_, hash)) = self.settled.get(path).filter(|(known, _)| *known == stamp) {
            return Ok(*hash);
        }
        let mut hash = Sha256::new();
        io::copy(&mut fs::File::open(path)?, &mut Hashing(&mut hash))?;
        let hash: [u8; 32] = hash.finalize().into();
        if stamp.is_settled() && Stamp::of(&fs::metadata(path)?) == stamp {
            self.settled.insert(path.to_owned(), (stamp, hash));
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
        pause();
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

    /// `usher.yaml` is a link to `..data/usher.yaml`, and `..data` one to a directory of its own
    /// for each version: that link is replaced by a rename, and nothing else is touched.
    #[test]
    fn kubernetes_swap_of_a_directory_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for version in ["..1", "..2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("usher.yaml"), version).unwrap();
        }
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, at(name)).unwrap();
        link("..1", "..data");
        link("..data/usher.yaml", "usher.yaml");
        let paths = [at("usher.yaml")];
        let mut watch = Watch::default();
        let before = watch.look(&paths);
        link("..2", "..data_tmp");
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert_ne!(watch.look(&paths), before);
    }

    #[test]
    fn a_copy_over_the_file_that_keeps_its_time_and_length_is_a_change() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "one").unwrap();
        let time = fs::metadata(file.path()).unwrap().modified().unwrap();
        let paths = [file.path().to_owned()];
        let mut watch = Watch::default();
        let before = watch.look(&paths);
        fs::write(file.path(), "two").unwrap();
        file.as_file().set_modified(time).unwrap();
        assert_ne!(watch.look(&paths), before);
        assert_eq!(watch.bytes(), 3);
    }

    #[test]
    fn what_is_written_while_a_configuration_is_read_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("1"), directory.path().join("2"));
        fs::write(&one, "old").unwrap();
        fs::write(&two, "old").unwrap();
        let reads = std::cell::Cell::new(0);
        let read = |looked_at: &[PathBuf]| {
            reads.set(reads.get() + 1);
            fs::write(&one, format!("new {}", reads.get())).unwrap();
            let result = Err(crate::config::Problems::new(Vec::new()));
            Examination { result, looked_at: looked_at.to_vec() }
        };
        let mut watch = Watch::default();
        let (examined, seen) =
            watch.look_and_read(vec![one.clone()], || read(std::slice::from_ref(&one)));
        assert_eq!(reads.take(), 1);
        assert_ne!(watch.look(&examined.looked_at), seen);
        // Where it hangs on other files than before, these have to be looked at first.
        let both = [one.clone(), two];
        let (examined, seen) = watch.look_and_read(vec![one.clone()], || read(&both));
        assert_eq!((reads.take(), &examined.looked_at[..]), (2, &both[..]));
        assert_ne!(watch.look(&both), seen);
        let growing = || read(&vec![one.clone(); reads.get() + 2]);
        let (_, seen) = watch.look_and_read(vec![one.clone()], growing);
        assert_eq!((reads.get(), seen), (3, Fingerprint::default()));
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
        assert!(watch.settled.is_empty(), "it was touched just now");
        let stamp = Stamp::of(&fs::metadata(file.path()).unwrap());
        watch.settled.insert(paths[0].clone(), (stamp, [7; 32]));
        assert_ne!(watch.look(&paths), before, "what is remembered counts");
        fs::write(file.path(), "two").unwrap();
        let stale = Stamp { changed: (stamp.changed.0 - 1, 0), ..stamp };
        watch.settled.insert(paths[0].clone(), (stale, [7; 32]));
        let after = watch.look(&paths);
        assert_eq!(after, Watch::default().look(&paths), "and not for what was touched since");
        assert_ne!(after, before);
        assert!(Stamp { changed: (stamp.changed.0 - 10, 0), ..stamp }.is_settled());
        watch.look(&[]);
        assert!(watch.settled.is_empty(), "nothing is remembered of what is not looked at");
    }
}
