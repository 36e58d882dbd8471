//! Small files that are there whole or not at all: what is kept over a restart.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// The largest file that is read back. What is larger is not ours.
pub const BYTES_MAX: u64 = 256 << 20;

/// Puts `bytes` at `path`, in place of what was there. Whoever reads it, and a machine that loses
/// its power, has either the old file or the new one.
///
/// # Errors
///
/// It cannot be written; what was there is there still.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".usher-").tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_data()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}

/// What stands at `path`; nothing when there is no such file.
///
/// # Errors
///
/// It cannot be read, or is larger than [`BYTES_MAX`].
pub fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(about) if about.len() > BYTES_MAX => {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large to be ours"));
        }
        Ok(_) => {}
    }
    fs::read(path).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("state.json");
        assert_eq!(read(&path).expect("it is simply not there"), None);
        for text in ["one", "another and longer", ""] {
            write(&path, text.as_bytes()).expect("it can be written");
            assert_eq!(read(&path).expect("readable"), Some(text.into()));
        }
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 1);
        let nowhere = directory.path().join("nowhere/state.json");
        assert!(write(&nowhere, b"x").is_err());
    }
}
