//! What collects findings while a configuration is read.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::variables::Environment;
use crate::{
    classify::{Table, VersionSource},
    config::{
        problem::Severity,
        source::{Sources, Span},
    },
    name::Name,
};

/// Something to say about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) span: Span,
    pub(crate) severity: Severity,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Collects what is found on the way.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) sources: Sources,
    pub(crate) findings: Vec<Finding>,
    /// Where something was said already.
    said: HashSet<(Span, String)>,
    /// Whether files are looked for.
    pub(crate) files_checked: bool,
    /// Where variables are looked for that are named and not replaced; `None`: they are not.
    pub(crate) variables: Option<Environment>,
    /// Every file that was read and every directory that was searched, whether or not it is there.
    pub(crate) looked_at: Vec<PathBuf>,
    /// Tables of users that rules may speak of.
    pub(crate) tables: Vec<(Name, Arc<Table>)>,
    /// Where a version stands, as far as that is said for all audiences.
    pub(crate) versions: Option<Arc<[VersionSource]>>,
    /// Whether anything can prove who asks.
    pub(crate) identifies: bool,
    /// What files hold that are named by the configuration and are part of its meaning.
    pub(crate) read: Vec<Vec<u8>>,
}

// === impl Reader ===

impl Reader {
    pub(crate) fn new(files_checked: bool) -> Self {
        Self { files_checked, ..Self::default() }
    }

    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) {
        self.add(Severity::Error, span, message.into(), None);
    }

    pub(crate) fn error_with(
        &mut self,
        span: Span,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) {
        self.add(Severity::Error, span, message.into(), Some(hint.into()));
    }

    pub(crate) fn warn(&mut self, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.add(Severity::Warning, span, message.into(), Some(hint.into()));
    }

    /// What a relative path of the file at `span` means.
    pub(crate) fn path(&self, span: Span, path: &str) -> PathBuf {
        self.sources.of(span).directory.join(path)
    }

    /// How a message at `from` speaks of `span`: `in line 5`, or `in other.yaml:5`.
    pub(crate) fn place(&self, span: Span, from: Span) -> String {
        if span.file == from.file {
            format!("in line {}", span.line)
        } else {
            format!("in {}:{}", self.sources.of(span).name, span.line)
        }
    }

    /// The file that a relative path of the file at `span` means, when it is there.
    pub(crate) fn file_is_there(&mut self, span: Span, path: &str) -> Option<PathBuf> {
        let path = self.path(span, path);
        if path.is_file() {
            return Some(path);
        }
        if self.files_checked {
            self.error(span, format!("there is no file {}", path.display()));
        }
        None
    }

    /// What the variable `name` holds, or that it is not set; `None` when nobody wants to know.
    pub(crate) fn variable(&self, name: &str) -> Option<Option<String>> {
        self.variables.as_ref().map(|environment| environment.value(name))
    }

    /// Warns when there is no directory at `path`.
    pub(crate) fn directory_is_there(&mut self, span: Span, path: &Path) {
        if self.files_checked && !path.is_dir() {
            let message = format!("there is no directory {}", path.display());
            self.warn(span, message, "make it, or usher will fail where it needs it");
        }
    }

    /// Whether there is an error.
    pub(crate) fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// What comes from `defaults:` is read for each pool and complained about once.
    fn add(&mut self, severity: Severity, span: Span, message: String, hint: Option<String>) {
        if self.said.insert((span, message.clone())) {
            self.findings.push(Finding { span, severity, message, hint });
        }
    }
}
