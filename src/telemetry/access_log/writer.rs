//! Gathers lines and writes many at once, away from whoever runs it.

use std::{
    future::Future,
    mem,
    pin::pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use tokio::task::spawn_blocking;

use super::{
    Shared,
    sink::{Lost, Sink},
};

/// How long lines gather before they are written.
const GATHER: Duration = Duration::from_millis(50);

/// How long the last lines may take once usher stops.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// How often it is said that lines were dropped.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);

/// Writes the access log. The house runs it.
pub struct Writer {
    shared: Arc<Shared>,
    /// None when the log is off.
    sink: Option<Sink>,
    /// Empty buffers, to be used again.
    spare: Vec<Vec<u8>>,
    complaints: Complaints,
}

/// Says that lines were dropped, once in a while.
#[derive(Default)]
struct Complaints {
    said_at: Option<Instant>,
    said: u64,
    error: Option<String>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(shared: Arc<Shared>, sink: Option<Sink>) -> Self {
        Self { shared, sink, spare: Vec::new(), complaints: Complaints::default() }
    }

    /// Writes lines until `stop` is ready, and then those that are left.
    ///
    /// A target that blocks (a pipe that nobody reads) blocks one thread of the runtime's blocking
    /// pool; give that runtime a time limit when it ends.
    #[expect(
        clippy::disallowed_methods,
        reason = "one timer for the whole log, on the house thread"
    )]
    pub async fn run(mut self, stop: impl Future<Output = ()>) {
        let mut stop = pin!(stop);
        let mut stopped = false;
        loop {
            // Both arms may be dropped: nothing is taken from a lane before `flush`.
            tokio::select! {
                () = &mut stop, if !stopped => stopped = true,
                () = gather(&self.shared), if !stopped => {}
                else => {}
            }
            let is_last = stopped;
            // A flush that is dropped takes the sink with it, and then we are at the end.
            let gives_up = async {
                if !stopped {
                    (&mut stop).await;
                    // What has come since this flush began is for another one, the last.
                    stopped = true;
                }
                tokio::time::sleep(LAST_WRITE).await;
            };
            tokio::select! {
                () = self.flush() => {}
                () = gives_up => return,
            }
            if is_last {
                return;
            }
        }
    }

    /// Writes what there is on a thread that may block.
    #[expect(
        clippy::disallowed_methods,
        reason = "one task at a time: a disk must not hold the house up"
    )]
    async fn flush(&mut self) {
        let batches = self.take_lines();
        let reopen = self.shared.reopen.swap(false, Relaxed);
        let Some(mut sink) = self.sink.take() else { return };
        let written = spawn_blocking(move || {
            let reopened = if reopen { sink.reopen() } else { Ok(()) };
            let lost: Vec<Lost> =
                batches.iter().filter_map(|lines| sink.write(lines).err()).collect();
            (sink, batches, reopened, lost)
        });
        // A panic in there would be a defect of usher, and has been reported as one.
        let Ok((sink, batches, reopened, lost)) = written.await else { return };
        self.sink = Some(sink);
        self.spare = batches;
        self.spare.iter_mut().for_each(Vec::clear);
        if let Err(error) = reopened {
            tracing::error!(%error, "the access log cannot be opened anew; the old file stays");
        }
        for Lost { lines, error } in lost {
            self.shared.dropped.fetch_add(lines, Relaxed);
            self.complaints.error = Some(error.to_string());
        }
        self.complaints.say(self.shared.dropped.load(Relaxed), Instant::now());
    }

    fn take_lines(&mut self) -> Vec<Vec<u8>> {
        let mut batches = Vec::new();
        for lane in &self.shared.lanes {
            for half in 0..2 {
                let lines = lane.take(half, self.spare.pop().unwrap_or_default());
                if lines.is_empty() { self.spare.push(lines) } else { batches.push(lines) }
            }
        }
        batches
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

// === impl Complaints ===

impl Complaints {
    fn say(&mut self, dropped: u64, now: Instant) {
        let lately = |at| now.saturating_duration_since(at) < COMPLAIN_EVERY;
        if dropped == self.said || self.said_at.is_some_and(lately) {
            return;
        }
        let lines = dropped - mem::replace(&mut self.said, dropped);
        self.said_at = Some(now);
        match self.error.take() {
            Some(error) => tracing::error!(lines, error, "the access log fails; lines dropped"),
            None => tracing::warn!(lines, "the access log cannot keep up; lines dropped"),
        }
    }
}

// === free functions ===

/// Waits for a line and some time more, or for a reason to reopen.
#[expect(clippy::disallowed_methods, reason = "one timer for the whole log, on the house thread")]
async fn gather(shared: &Shared) {
    shared.sleeps.store(true, Relaxed);
    // Looked at after having said that we sleep: who logs from here on wakes us.
    let has_lines = shared.lanes.iter().any(|lane| lane.has_lines());
    if !has_lines && !shared.reopen.load(Relaxed) {
        shared.wake.notified().await;
    }
    shared.sleeps.store(false, Relaxed);
    tokio::time::sleep(GATHER).await;
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::fd::AsRawFd as _};

    use super::*;
    use crate::telemetry::access_log::{AccessLog, Line, Target};

    fn file_in(directory: &tempfile::TempDir) -> (std::path::PathBuf, Target) {
        let path = directory.path().join("access.log");
        (path.clone(), Target::File(path))
    }

    fn lines_of(path: &std::path::Path) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(path).expect("there is a log");
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    fn line(attempts: u32) -> Line<'static> {
        Line { attempts, ..Line::default() }
    }

    #[tokio::test]
    async fn lines_of_all_threads_are_written_whole_before_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, target) = file_in(&directory);
        let (log, writer) = AccessLog::start(target, 3).expect("a log");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(writer.run(async { drop(stopped.await) }));
        let threads: Vec<_> = (0..4)
            .map(|worker| {
                let log = log.clone();
                std::thread::spawn(move || (0..500).for_each(|n| log.write(worker, &line(n))))
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
        drop(stop);
        running.await.expect("no panic");
        assert_eq!((lines_of(&path).len(), log.dropped()), (2_000, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_wakes_a_writer_that_sleeps() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, target) = file_in(&directory);
        let (log, writer) = AccessLog::start(target, 1).expect("a log");
        let running = tokio::spawn(writer.run(std::future::pending()));
        for n in 1..=3 {
            log.write(0, &line(n));
            while lines_of(&path).len() < n as usize {
                tokio::time::advance(GATHER).await;
            }
        }
        running.abort();
    }

    #[tokio::test]
    async fn a_file_that_was_moved_away_is_opened_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, target) = file_in(&directory);
        let (log, mut writer) = AccessLog::start(target, 1).expect("a log");
        log.write(0, &line(1));
        writer.flush().await;
        let moved = directory.path().join("access.log.1");
        std::fs::rename(&path, &moved).expect("it can be moved");
        log.write(0, &line(2));
        writer.flush().await;
        assert_eq!(lines_of(&moved).len(), 2, "until it is told, it writes on");
        log.reopen();
        log.write(0, &line(3));
        writer.flush().await;
        assert_eq!((lines_of(&moved).len(), lines_of(&path).len()), (2, 1));
    }

    #[tokio::test]
    async fn a_disk_without_room_drops_and_counts_and_is_used_again_once_it_has_some() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, target) = file_in(&directory);
        std::os::unix::fs::symlink("/dev/full", &path).expect("a link");
        let (log, mut writer) = AccessLog::start(target, 1).expect("a log");
        (0..7).for_each(|n| log.write(0, &line(n)));
        writer.flush().await;
        assert_eq!(log.dropped(), 7);
        std::fs::remove_file(&path).expect("the link goes");
        log.reopen();
        log.write(0, &line(8));
        writer.flush().await;
        assert_eq!((lines_of(&path).len(), log.dropped()), (1, 7));
    }

    #[tokio::test]
    #[expect(
        clippy::disallowed_methods,
        reason = "the reader of a pipe waits on a thread, and ends"
    )]
    async fn lines_that_come_while_others_are_written_are_not_lost_by_a_stop_meanwhile() {
        let (mut reader, pipe) = std::io::pipe().expect("a pipe");
        let path = format!("/proc/self/fd/{}", pipe.as_raw_fd());
        let (log, writer) = AccessLog::start(Target::File(path.into()), 1).expect("a log");
        drop(pipe);
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(writer.run(async { drop(stopped.await) }));
        // More than a pipe holds: they are being written for as long as nobody reads.
        let long = "x".repeat(100_000);
        (0..3).for_each(|_| log.write(0, &Line { path: Some(&long), ..Line::default() }));
        let mut first = [0];
        let begun = spawn_blocking(move || reader.read_exact(&mut first).map(|()| reader));
        let mut reader = begun.await.expect("no panic").expect("they have begun to come");
        log.write(0, &line(7));
        drop(stop);
        // It has heard of the stop before the write is over.
        tokio::task::yield_now().await;
        let read = spawn_blocking(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).map(|_| text)
        });
        running.await.expect("no panic");
        let text = read.await.expect("no panic").expect("text");
        assert_eq!(text.lines().count(), 4, "the last one as well");
    }

    #[tokio::test]
    async fn a_log_that_is_off_takes_no_lines_and_drops_none() {
        let (log, writer) = AccessLog::start(Target::Off, 1).expect("nothing to open");
        assert!(!log.is_on());
        log.write(0, &line(1));
        writer.run(std::future::ready(())).await;
        assert_eq!(log.dropped(), 0);
    }

    #[tokio::test]
    async fn without_room_lines_are_dropped_and_counted_until_there_is_some() {
        let directory = tempfile::tempdir().expect("a directory");
        let (path, target) = file_in(&directory);
        let (log, mut writer) = AccessLog::start(target, 1).expect("a log");
        let long = "x".repeat(100_000);
        (0..20).for_each(|_| log.write(0, &Line { path: Some(&long), ..Line::default() }));
        let dropped = log.dropped();
        assert!((1..20).contains(&dropped));
        writer.flush().await;
        log.write(0, &line(1));
        writer.flush().await;
        assert_eq!((lines_of(&path).len() as u64, log.dropped()), (21 - dropped, dropped));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_the_start() {
        let nowhere = Target::File("/nonexistent/access.log".into());
        assert!(AccessLog::start(nowhere, 1).is_err());
    }

    #[test]
    fn dropped_lines_are_spoken_of_once_a_second() {
        let mut complaints = Complaints::default();
        let start = Instant::now();
        complaints.say(5, start);
        complaints.say(9, start + COMPLAIN_EVERY / 2);
        assert_eq!(complaints.said, 5);
        complaints.say(9, start + COMPLAIN_EVERY);
        assert_eq!(complaints.said, 9);
    }
}
