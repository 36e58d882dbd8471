//! Files that can never be seen to change, because they are mount points themselves.
//!
//! Kubernetes mounts a `subPath` and Docker a single file by its inode. A ConfigMap that changes,
//! an editor that renames and a deploy that moves a file into place make a new inode, which the
//! mount does not show. The directory mounted instead shows all of these.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where the kernel says what is mounted in this process's view (proc(5)).
const MOUNTS: &str = "/proc/self/mountinfo";

/// What is to be said of those of `paths` that are mount points. Nothing where the system does not
/// say what is mounted.
pub(super) fn warnings(paths: &[PathBuf]) -> Vec<String> {
    let Ok(mounts) = fs::read(MOUNTS) else { return Vec::new() };
    let mounted = points(&mounts);
    let stuck = paths.iter().filter(|path| is_mounted(path, &mounted));
    stuck.map(|path| warning(path)).collect()
}

fn warning(path: &Path) -> String {
    format!(
        "{}: warning: this file is mounted by itself (a `subPath` or a single file), and one that \
         is put in its place outside is never seen; mount its directory",
        path.display()
    )
}

/// Whether `path` is a file that is a mount point. One behind a link is what the link shows.
fn is_mounted(path: &Path, mounted: &[PathBuf]) -> bool {
    let real = fs::canonicalize(path).ok().filter(|real| real.is_file());
    real.is_some_and(|real| mounted.contains(&real))
}

/// The fifth field of each line, in which space, tab, line feed and back-slash are octal.
fn points(mounts: &[u8]) -> Vec<PathBuf> {
    let text = String::from_utf8_lossy(mounts);
    let fields = text.lines().filter_map(|line| line.split(' ').nth(4));
    fields.map(|field| PathBuf::from(unescape(field))).collect()
}

fn unescape(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |field, (escaped, plain)| field.replace(escaped, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTINFO: &[u8] = b"\
22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n\
40 22 254:1 /volumes/subpath/0 /etc/usher/usher.yaml ro,relatime - ext4 /dev/vda1 rw\n\
41 22 0:35 / /srv/my\\040files rw - tmpfs tmpfs rw\n";

    #[test]
    fn mount_points_are_read_with_what_is_escaped_in_them() {
        let wanted = ["/", "/etc/usher/usher.yaml", "/srv/my files"].map(PathBuf::from);
        assert_eq!(points(MOUNTINFO), wanted);
    }

    #[test]
    fn only_a_file_that_is_a_mount_point_is_warned_of() {
        let directory = tempfile::tempdir().unwrap();
        let directory_path = fs::canonicalize(directory.path()).unwrap();
        let file = directory_path.join("usher.yaml");
        fs::write(&file, "").unwrap();
        let link = directory_path.join("link.yaml");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(is_mounted(&file, std::slice::from_ref(&file)));
        assert!(is_mounted(&link, std::slice::from_ref(&file)));
        assert!(!is_mounted(&file, std::slice::from_ref(&directory_path)), "its directory is one");
        assert!(!is_mounted(&directory_path, std::slice::from_ref(&directory_path)));
        assert!(warnings(&[file]).is_empty(), "nothing is mounted there");
    }
}
