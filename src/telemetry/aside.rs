//! The log while a live table has the terminal: its last lines are kept for the table to show.
//!
//! Otherwise, and where standard error is no terminal, it goes straight to standard error.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal, Write},
};

use parking_lot::Mutex;

/// How many lines are kept; older ones are dropped.
const LINES_MAX: usize = 100;

/// The lines that are kept, while they are.
static KEPT: Mutex<Option<VecDeque<String>>> = Mutex::new(None);

/// Keeps the log from the terminal while it lives; dropped, it writes there what it kept.
pub struct Aside(());

/// Where the log is written.
pub(super) struct Sink;

// === impl Aside ===

impl Aside {
    /// Keeps the log from the terminal from now on.
    pub fn begin() -> Self {
        if io::stderr().is_terminal() {
            *KEPT.lock() = Some(VecDeque::new());
        }
        Self(())
    }

    /// The last `most` lines that were kept.
    pub fn last(&self, most: usize) -> Vec<String> {
        let kept = KEPT.lock();
        let lines = kept.iter().flatten();
        lines.skip(kept.as_ref().map_or(0, VecDeque::len).saturating_sub(most)).cloned().collect()
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        let kept = KEPT.lock().take();
        for line in kept.into_iter().flatten() {
            // There is nowhere else to say it.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

// === impl Sink ===

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = KEPT.lock();
        let Some(lines) = kept.as_mut() else {
            drop(kept);
            return io::stderr().write(bytes);
        };
        // An event is written at once.
        for line in String::from_utf8_lossy(bytes).lines() {
            if lines.len() == LINES_MAX {
                lines.pop_front();
            }
            lines.push_back(uncoloured(line));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `line` without the sequences that colour it.
fn uncoloured(line: &str) -> String {
    let mut parts = line.split("\u{1b}[");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once('m').map_or(part, |(_, rest)| rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_do_not_reach_the_table() {
        assert_eq!(uncoloured("\u{1b}[2mnow\u{1b}[0m \u{1b}[33m WARN\u{1b}[0m: m"), "now  WARN: m");
        assert_eq!(uncoloured("plain"), "plain");
    }
}
