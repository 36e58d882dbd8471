//! Several files as one, and what every pool and audience starts from.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use super::{
    document::{
        AudienceDefaults, Entry, Included, Kind, Node, PoolDefaults, Reader, Scalar, mapping,
    },
    source::Span,
};

/// The most files that a configuration includes.
const FILES_MAX: usize = 1_000;

/// The files that `include:` of `root` names, in the order written, each once; those of one glob
/// sorted by name.
pub(crate) fn files(root: &Node, reader: &mut Reader) -> Vec<(PathBuf, Span)> {
    let Some(include) = root.value("include") else { return Vec::new() };
    let patterns = match &include.kind {
        Kind::List(nodes) => nodes.as_slice(),
        Kind::Scalar(_) => std::slice::from_ref(include),
        // Complained about when the document is read.
        Kind::Nothing | Kind::Mapping(_) => &[],
    };
    let mut files: Vec<(PathBuf, Span)> = Vec::new();
    for pattern in patterns {
        let Kind::Scalar(scalar) = &pattern.kind else { continue };
        if !scalar.known || scalar.text.is_empty() {
            continue;
        }
        for file in expand(scalar, pattern.span, reader) {
            if !files.iter().any(|(known, _)| *known == file) {
                files.push((file, pattern.span));
            }
        }
        if files.len() > FILES_MAX {
            reader.error(pattern.span, format!("more than {FILES_MAX} files are included"));
            files.truncate(FILES_MAX);
            break;
        }
    }
    files
}

/// `root` with the audiences of `included` before and their pools after its own, and with
/// `defaults:` and the limits worked in.
pub(crate) fn merge(mut root: Node, included: Vec<Node>, reader: &mut Reader) -> Node {
    let mut audiences = Vec::new();
    let mut pools = Vec::new();
    for file in included {
        mapping(&file, Included::KNOWN, reader);
        let Kind::Mapping(entries) = file.kind else { continue };
        for entry in entries {
            match (entry.key.as_str(), entry.value.kind) {
                ("audiences", Kind::List(nodes)) => audiences.extend(nodes),
                ("pools", Kind::Mapping(entries)) => pools.extend(entries),
                ("audiences", _) => reader.error(entry.value.span, "a list is expected here"),
                ("pools", _) => reader.error(entry.value.span, "a mapping is expected here"),
                _ => {}
            }
        }
    }
    let span = root.span;
    add(&mut root, "audiences", Node { span, kind: Kind::List(audiences) });
    add(&mut root, "pools", Node { span, kind: Kind::Mapping(pools) });
    inherit(&mut root, "audiences", "audience", AudienceDefaults::KNOWN);
    inherit(&mut root, "pools", "pool", PoolDefaults::KNOWN);
    listener_limits(&mut root);
    root
}

/// Puts `more` before a list and after a mapping. What is of the wrong kind stays, to be complained
/// about.
fn add(root: &mut Node, key: &str, more: Node) {
    let Kind::Mapping(entries) = &mut root.kind else { return };
    let nothing = match &more.kind {
        Kind::List(nodes) => nodes.is_empty(),
        Kind::Mapping(entries) => entries.is_empty(),
        Kind::Nothing | Kind::Scalar(_) => true,
    };
    if nothing {
        return;
    }
    let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) else {
        entries.push(Entry { key: key.to_owned(), key_span: more.span, value: more });
        return;
    };
    match (&mut entry.value.kind, more.kind) {
        (Kind::List(own), Kind::List(before)) => {
            own.splice(0..0, before);
        }
        (Kind::Mapping(own), Kind::Mapping(after)) => own.extend(after),
        (Kind::Nothing | Kind::Scalar(_) | Kind::List(_) | Kind::Mapping(_), _) => {}
    }
}

/// Lays what stands under `key` over what stands in `defaults:` under `from`. Keys that may not
/// stand there are left to be complained about.
fn inherit(root: &mut Node, key: &str, from: &str, known: &[&str]) {
    let defaults = root.value("defaults").and_then(|defaults| defaults.value(from));
    let Some(mut defaults) = defaults.cloned() else { return };
    if let Kind::Mapping(entries) = &mut defaults.kind {
        entries.retain(|entry| known.contains(&entry.key.as_str()));
    }
    let Kind::Mapping(entries) = &mut root.kind else { return };
    let Some(entry) = entries.iter_mut().find(|entry| entry.key == key) else { return };
    match &mut entry.value.kind {
        Kind::List(nodes) => nodes.iter_mut().for_each(|node| *node = node.over(&defaults)),
        Kind::Mapping(entries) => {
            entries.iter_mut().for_each(|entry| entry.value = entry.value.over(&defaults));
        }
        Kind::Nothing | Kind::Scalar(_) => {}
    }
}

/// A listener's limits lie over the configuration's.
fn listener_limits(root: &mut Node) {
    let Some(limits) = root.value("limits").cloned() else { return };
    let Kind::Mapping(entries) = &mut root.kind else { return };
    let Some(entry) = entries.iter_mut().find(|entry| entry.key == "listeners") else { return };
    let Kind::List(listeners) = &mut entry.value.kind else { return };
    for listener in listeners {
        let Kind::Mapping(entries) = &mut listener.kind else { continue };
        match entries.iter_mut().find(|entry| entry.key == "limits") {
            Some(own) => own.value = own.value.over(&limits),
            None => entries.push(Entry {
                key: "limits".to_owned(),
                key_span: limits.span,
                value: limits.clone(),
            }),
        }
    }
}

// === globs ===

fn expand(scalar: &Scalar, span: Span, reader: &mut Reader) -> Vec<PathBuf> {
    if !scalar.text.contains(['*', '?']) {
        return reader.file_is_there(span, &scalar.text).into_iter().collect();
    }
    let shown = scalar.shown();
    match glob(&reader.path(span, &scalar.text), &mut reader.looked_at) {
        Ok(files) => {
            if files.is_empty() && reader.files_checked {
                let hint = "nothing is included; check the directory and the ending";
                reader.warn(span, format!("no file matches `{shown}`"), hint);
            }
            files
        }
        Err(error) => {
            reader.error(span, format!("`{shown}` cannot be looked up: {error}"));
            Vec::new()
        }
    }
}

/// The files that `pattern` stands for, sorted. `*` and `?` stand for anything but a slash, and do
/// not stand for a dot at the beginning of a name. `looked_at` gets the directories searched.
fn glob(pattern: &Path, looked_at: &mut Vec<PathBuf>) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let name = component.as_os_str().to_string_lossy();
        let literal = !matches!(component, Component::Normal(_)) || !name.contains(['*', '?']);
        if literal {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        }
        let mut matching = Vec::new();
        looked_at.extend(found.iter().cloned());
        for directory in found.iter().filter(|path| path.is_dir()) {
            for entry in fs::read_dir(directory)? {
                let entry = entry?.file_name();
                if wildcard(name.as_bytes(), entry.to_string_lossy().as_bytes()) {
                    matching.push(directory.join(entry));
                }
            }
        }
        found = matching;
    }
    found.retain(|path| path.is_file());
    found.sort();
    Ok(found)
}

fn wildcard(pattern: &[u8], name: &[u8]) -> bool {
    if name.first() == Some(&b'.') && pattern.first() != Some(&b'.') {
        return false;
    }
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b) if *b == b'?' || *b == name[n] => {
                p += 1;
                n += 1;
            }
            Some(_) | None => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                n = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_part_of_a_visible_name() {
        let matches = |pattern: &str, name: &str| wildcard(pattern.as_bytes(), name.as_bytes());
        assert!(matches("*.yaml", "a.yaml"));
        assert!(matches("*-*.yaml", "10-a-b.yaml"));
        assert!(matches("a?c*", "abc"));
        assert!(!matches("*.yaml", "a.yml"));
        assert!(!matches("*.yaml", ".a.yaml"));
        assert!(!matches("?", ""));
    }
}
