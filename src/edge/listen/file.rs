//! The file that leads to a Unix socket: made with the rights that it is to have, replaced when
//! nobody is behind it, and taken away when nobody will be.
//!
//! Nobody can connect before the socket listens, and it does not before its file is as it should
//! be. Two processes that take sockets in one directory do so one after the other.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{FlockOperation, flock};
use socket2::{Domain, SockAddr, Socket, Type};

use super::{BACKLOG, Listening};
use crate::bind::Access;

/// A file that leads to a socket of ours. It is taken away with the last that holds it, if it is
/// usher's and still the same: whoever has put another in its place keeps that.
#[derive(Debug)]
pub struct SocketFile {
    path: Arc<Path>,
    /// Device and inode. The socket holds its inode, so that no other file has the same while it
    /// is open.
    identity: (u64, u64),
    /// Whether this process is to take it away.
    ours: AtomicBool,
}

/// Takes the path.
pub(super) fn bind(path: &Arc<Path>, access: Access) -> io::Result<Listening> {
    let address = SockAddr::unix(path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = File::open(directory.unwrap_or(Path::new(".")))?;
    // Held until it is closed: else two that start at once would each take the other's away.
    flock(&directory, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => taken("another process takes a socket beside it just now"),
        other => other.into(),
    })?;
    make_room(path, &address)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address)?;
    let file = SocketFile::at(path, identity(path)?);
    file.ours.store(true, Ordering::Relaxed);
    file.dress(access)?;
    socket.listen(BACKLOG)?;
    Ok(Listening { socket, file: Some(Arc::new(file)) })
}

/// Takes away the socket of a process that has died. Everything else stays, and is an error.
fn make_room(path: &Path, address: &SockAddr) -> io::Result<()> {
    let known = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        known => known?,
    };
    if !known.file_type().is_socket() {
        let message = "there is a file that is no socket; move it away";
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, message));
    }
    let visitor = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One whose queue is full would be waited for.
    visitor.set_nonblocking(true)?;
    match visitor.connect(address) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Ok(()) | Err(_) => Err(taken("somebody listens there")),
    }
}

fn taken(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::AddrInUse, message)
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let known = fs::symlink_metadata(path)?;
    Ok((known.dev(), known.ino()))
}

// === impl SocketFile ===

impl SocketFile {
    /// A file that another process has made, and takes away unless this one
    /// [adopts](Self::adopt) it.
    pub fn at(path: &Arc<Path>, identity: (u64, u64)) -> Self {
        Self { path: path.clone(), identity, ours: AtomicBool::new(false) }
    }

    /// Its device and inode.
    pub fn identity(&self) -> (u64, u64) {
        self.identity
    }

    /// From now on this process takes it away.
    pub fn adopt(&self) {
        self.ours.store(true, Ordering::Relaxed);
    }

    /// Another process takes it away.
    pub fn leave(&self) {
        self.ours.store(false, Ordering::Relaxed);
    }

    /// Takes it away: nobody new comes from now on.
    pub fn remove(&self) {
        if !self.ours.swap(false, Ordering::Relaxed) || !self.is_in_place() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.path) {
            let path = self.path.display();
            tracing::warn!(%path, %error, "the file of a Unix socket cannot be taken away");
        }
    }

    /// Gives it the rights of `access`, unless another has come into its place.
    ///
    /// # Errors
    /// It may not be given to that group.
    pub fn dress(&self, access: Access) -> io::Result<()> {
        if !self.is_in_place() {
            return Ok(());
        }
        if access.group.is_some() {
            std::os::unix::fs::chown(&self.path, None, access.group)?;
        }
        fs::set_permissions(&self.path, fs::Permissions::from_mode(access.mode))
    }

    fn is_in_place(&self) -> bool {
        identity(&self.path).is_ok_and(|identity| identity == self.identity)
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        self.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn room() -> (tempfile::TempDir, Arc<Path>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("usher.sock").into();
        (directory, path)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").mode() & 0o7777
    }

    #[test]
    fn a_file_has_the_rights_it_is_to_have_and_goes_with_its_socket() {
        let (_directory, path) = room();
        for mode in [0o600, 0o660, 0o777] {
            let listening = bind(&path, Access { mode, group: None }).expect("it is free");
            assert_eq!(super::tests::mode(&path), mode);
            UnixStream::connect(&path).expect("it listens");
            drop(listening);
            assert!(!path.exists());
        }
    }

    #[test]
    fn what_a_dead_process_has_left_is_replaced_and_what_lives_is_not() {
        let (_directory, path) = room();
        let other = UnixListener::bind(&path).expect("it is free");
        let refused = bind(&path, Access::GROUP).expect_err("somebody listens");
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        UnixStream::connect(&path).expect("it is as it was");
        drop(other);
        assert!(path.exists(), "it is left behind");
        let _listening = bind(&path, Access::GROUP).expect("nobody listens");
        UnixStream::connect(&path).expect("usher listens");
    }

    #[test]
    fn no_file_is_overwritten() {
        let (_directory, path) = room();
        fs::write(&path, "dear").expect("it can be written");
        let refused = bind(&path, Access::GROUP).expect_err("it is no socket");
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&path).expect("it is there"), "dear");
    }

    #[test]
    fn what_has_come_into_its_place_stays_and_so_does_what_was_left_to_another() {
        let (_directory, path) = room();
        let first = bind(&path, Access::GROUP).expect("it is free");
        fs::remove_file(&path).expect("it is there");
        let _other = UnixListener::bind(&path).expect("it is free");
        drop(first);
        assert!(path.exists(), "it is another's");
        fs::remove_file(&path).expect("it is there");
        let second = bind(&path, Access::GROUP).expect("it is free");
        let file = second.file.as_ref().expect("a file");
        file.leave();
        let heir = SocketFile::at(&path, file.identity());
        drop(second);
        assert!(path.exists(), "it has been left");
        heir.adopt();
        drop(heir);
        assert!(!path.exists(), "it has been adopted");
    }

    #[test]
    fn a_directory_in_which_another_takes_a_socket_is_not_touched() {
        let (directory, path) = room();
        let other = File::open(directory.path()).expect("it is there");
        flock(&other, FlockOperation::NonBlockingLockExclusive).expect("nobody holds it");
        assert_eq!(
            bind(&path, Access::GROUP).expect_err("it is held").kind(),
            io::ErrorKind::AddrInUse
        );
        drop(other);
        bind(&path, Access::GROUP).expect("it is free");
    }
}
