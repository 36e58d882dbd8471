//! The access log: one JSON object a line.
//!
//! ```text
//! worker 0 ─ line ─▶ lane 0 ┐
//! worker 1 ─ line ─▶ lane 1 ├─ every 50 ms ─▶ Writer ─▶ file or standard output
//! house    ─ line ─▶ lane 2 ┘
//! ```
//!
//! Each thread that logs has a lane of its own, so workers do not meet. A lane has two halves: the
//! writer holds at most one of them for as long as it takes to exchange two pointers, so a line
//! always finds the other. A lane without room drops its line and counts it; no request ever waits
//! for a disk.

mod lane;
mod line;
mod sink;
mod writer;

use std::{
    fs::File,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

pub use line::{FIELDS, Line};
pub use writer::Writer;

use lane::Lane;
use sink::Sink;

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Off,
    /// To standard output.
    Stdout,
    /// To the end of a file, which is made where there is none.
    File(PathBuf),
}

/// Takes lines. Cheap to clone.
#[derive(Clone)]
pub struct AccessLog(Arc<Shared>);

/// What those who log and the writer share.
struct Shared {
    /// None when the log is off.
    lanes: Box<[Lane]>,
    /// Whether the writer waits to be told of a line.
    sleeps: AtomicBool,
    wake: Notify,
    reopen: AtomicBool,
    dropped: AtomicU64,
}

// === impl Target ===

impl Target {
    /// Opens it for writing at its end.
    fn open(&self) -> io::Result<Option<File>> {
        match self {
            Target::Off => Ok(None),
            Target::Stdout => stdout().map(Some),
            Target::File(path) => File::options().append(true).create(true).open(path).map(Some),
        }
    }
}

// === impl AccessLog ===

impl AccessLog {
    /// Opens `target` for `workers` workers, which log at the indices `0..workers`, and the house
    /// thread, which logs at `workers`. The house runs the [`Writer`].
    ///
    /// # Errors
    ///
    /// The file cannot be opened for appending.
    pub fn start(target: Target, workers: usize) -> io::Result<(Self, Writer)> {
        let file = target.open()?;
        let lanes = if file.is_some() { workers + 1 } else { 0 };
        let shared = Arc::new(Shared {
            lanes: (0..lanes).map(|_| Lane::default()).collect(),
            sleeps: AtomicBool::new(false),
            wake: Notify::new(),
            reopen: AtomicBool::new(false),
            dropped: AtomicU64::new(0),
        });
        let sink = file.map(|file| Sink::new(target, Box::new(file)));
        Ok((Self(Arc::clone(&shared)), Writer::new(shared, sink)))
    }

    /// Whether lines go anywhere; if not, none need be made.
    pub fn is_on(&self) -> bool {
        !self.0.lanes.is_empty()
    }

    /// Writes `line` from the thread whose index is `worker`. Never waits.
    pub fn write(&self, worker: usize, line: &Line<'_>) {
        let Some(lane) = self.0.lanes.get(worker) else { return };
        if !lane.push(line) {
            self.0.dropped.fetch_add(1, Relaxed);
        }
        // The lane's lock orders this after whatever the writer did before it looked there.
        if self.0.sleeps.load(Relaxed) && self.0.sleeps.swap(false, Relaxed) {
            self.0.wake.notify_one();
        }
    }

    /// Has the file opened anew before the next line is written, after it was moved away.
    pub fn reopen(&self) {
        self.0.reopen.store(true, Relaxed);
        self.0.wake.notify_one();
    }

    /// How many lines were dropped since the start.
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Relaxed)
    }
}

impl std::fmt::Debug for AccessLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessLog").field("on", &self.is_on()).finish_non_exhaustive()
    }
}

// === free functions ===

/// Standard output without the library's own buffer and lock.
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    io::stdout().as_fd().try_clone_to_owned().map(File::from)
}
