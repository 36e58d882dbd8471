//! Where usher listens, and who may connect where that is a file.

use std::path::{Path, PathBuf, absolute};

use nix::unistd;

use crate::{
    bind::{Access, Bind},
    config::{
        document::{self, At, Group, GroupLeaf, ModeLeaf, Reader},
        source::Span,
    },
};

/// The longest path that the system takes for a socket: `sun_path` less its last NUL (unix(7)).
const PATH_BYTES_MAX: usize = 107;

/// What `at` means: a relative path starts at the file that it stands in.
pub(crate) fn bind(at: &At<document::Bind>, reader: &Reader) -> Bind {
    match &at.value.0 {
        Bind::Unix(path) => Bind::Unix(socket(path, at.span, reader).into()),
        bind @ (Bind::Tcp(_) | Bind::AnyPort(..)) => bind.clone(),
    }
}

/// Where a Unix socket is that is written so at `span`: a relative path starts at the file that it
/// stands in. Absolute, so that two that are written otherwise are one.
pub(super) fn socket(path: &Path, span: Span, reader: &Reader) -> PathBuf {
    let path = reader.path(span, &path.to_string_lossy());
    absolute(&path).unwrap_or(path)
}

/// Who may connect to `bind`: what was written, else `unless`.
pub(super) fn access(
    at: &At<document::Bind>,
    (mode, group): (Option<&At<ModeLeaf>>, Option<&At<GroupLeaf>>),
    unless: Access,
    reader: &mut Reader,
) -> Access {
    let bind = bind(at, reader);
    let Some(path) = bind.path() else {
        let written = mode.map(|at| ("mode", at.key)).or(group.map(|at| ("group", at.key)));
        if let Some((key, span)) = written {
            let message = format!("`{key}` is about a file, and {bind} is none");
            let hint = "remove it, or write `bind: unix:/run/usher/usher.sock`";
            reader.error_with(span, message, hint);
        }
        return unless;
    };
    fits(path, at.span, reader);
    if let Some(parent) = path.parent() {
        reader.directory_is_there(at.span, parent);
    }
    let group = group.and_then(|at| number(at, reader));
    Access { mode: mode.map_or(unless.mode, |at| at.value.0), group }
}

/// Complains of a path that no socket can have.
pub(super) fn fits(path: &Path, span: Span, reader: &mut Reader) {
    let length = path.as_os_str().len();
    if length > PATH_BYTES_MAX {
        let message = format!(
            "the path of a Unix socket has at most {PATH_BYTES_MAX} bytes, and {} has {length}",
            path.display()
        );
        reader.error_with(span, message, "put it nearer to the root: /run/usher/usher.sock");
    }
}

/// The group's number. One that this machine does not know is no error where files need not be
/// there either.
fn number(at: &At<GroupLeaf>, reader: &mut Reader) -> Option<u32> {
    let name = match &at.value.0 {
        Group::Number(number) => return Some(*number),
        Group::Name(name) => name,
    };
    let known = unistd::Group::from_name(name);
    if let Ok(Some(group)) = known {
        return Some(group.gid.as_raw());
    }
    if reader.files_checked {
        let message = format!("this machine has no group `{name}`");
        reader.error_with(at.span, message, "`getent group` names them all");
    }
    None
}
