//! The files that were read, and places in them.

use std::{path::PathBuf, sync::Arc};

/// A place in one of the [`Sources`]. Ordered as a reader would come across it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    /// Which file, in the order in which they were read.
    pub(crate) file: u32,
    /// From 1; 0 speaks of the file as a whole.
    pub(crate) line: u32,
    /// From 1, in characters.
    pub(crate) column: u32,
    /// In characters.
    pub(crate) length: u32,
}

/// One file, or one text without a file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    /// As it is called in messages.
    pub(crate) name: String,
    /// What it holds.
    pub(crate) text: Arc<str>,
    /// Where its relative paths start.
    pub(crate) directory: PathBuf,
}

/// All that was read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sources(Vec<Source>);

// === impl Sources ===

impl Sources {
    /// Takes `source` in and says which file it is.
    pub(crate) fn add(&mut self, source: Source) -> u32 {
        let file = u32::try_from(self.0.len()).expect("files are bounded");
        self.0.push(source);
        file
    }

    /// The file that `span` lies in.
    pub(crate) fn of(&self, span: Span) -> &Source {
        &self.0[span.file as usize]
    }

    /// The lines of each file.
    pub(crate) fn lines(&self) -> Vec<Vec<&str>> {
        self.0.iter().map(|source| source.text.lines().collect()).collect()
    }
}
