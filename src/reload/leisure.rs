//! Work that has time: it gets what is left of the machine when everybody else has had enough.
//!
//! Reading and compiling a large configuration takes a core for tens of milliseconds. On a machine
//! with few cores that core is a worker's, and the system would give the two equal shares of it, in
//! turns of some milliseconds each: every request of that time would feel it. So the work runs on a
//! thread of its own that is as nice as can be, and in strides: a thread that is nice gets little,
//! but what it gets it gets in slices of milliseconds as well.
//!
//! **Invariant:** what is done at leisure holds no lock. A thread that waits for its turn with a
//! lock in hand would keep whoever wants that lock from running, at whatever priority.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::blocking;
use crate::stride::walk;

/// Work on fewer bytes than these is not worth a thread: it is done in less time than the system
/// lets a thread run before it looks at the next.
const BYTES_MIN: u64 = 32 << 10;

/// How long work may wait for a machine that has nothing left for it. After that it is done once
/// more, with the rights of everybody else: a reload is wanted most when there is much to do.
const PATIENCE: Duration = Duration::from_millis(500);

/// How much longer it may take for each byte, so that what is merely large is not done twice: three
/// times as long as reading one takes.
const PATIENCE_PER_BYTE: Duration = Duration::from_nanos(200);

/// How nice a thread is that has time: where others want all of a core, it gets a seventieth at
/// most, and less when it ends its strides early.
const NICEST: i32 = 19;

/// Does work at leisure.
#[derive(Debug, Default)]
pub(super) struct Leisure {
    /// One piece at a time that somebody waits for.
    work: Place,
    /// One at a time that nobody waits for.
    rest: Place,
}

/// Where one piece of work is done at a time.
#[derive(Debug, Default)]
struct Place {
    /// The last piece, which may still wait for its turn when nobody wants its result any more.
    last: Mutex<Option<JoinHandle<()>>>,
}

// === impl Leisure ===

impl Leisure {
    /// Does `work` on so many bytes; `None` when it panicked. It may be done twice at once, so that
    /// it must change nothing.
    #[expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]
    pub(super) async fn spend<T: Send + 'static>(
        &self,
        bytes: u64,
        work: impl Fn() -> T + Send + Sync + 'static,
    ) -> Option<T> {
        if bytes < BYTES_MIN {
            return blocking(move || walk(work)).await;
        }
        let work = Arc::new(work);
        let at_leisure = work.clone();
        if let Some(done) = self.work.begin(move || at_leisure()) {
            let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
            let patience = PATIENCE + PATIENCE_PER_BYTE * bytes;
            if let Ok(done) = tokio::time::timeout(patience, done).await {
                return done.ok();
            }
            tracing::info!("there is no time left to read the configuration in: it takes some");
        }
        blocking(move || walk(|| work())).await
    }

    /// Whether there is room for something that nobody waits for.
    pub(super) fn has_room(&self) -> bool {
        self.rest.last.lock().as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Does `work`, for which nobody waits; it is not done when there is no room for it.
    pub(super) fn leave(&self, work: impl FnOnce() + Send + 'static) {
        let _nobody_waits = self.rest.begin(work);
    }
}

// === impl Place ===

impl Place {
    /// Begins with `work`, unless the piece before has still not had its turn.
    fn begin<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<oneshot::Receiver<T>> {
        let mut last = self.last.lock();
        if last.as_ref().is_some_and(|last| !last.is_finished()) {
            return None;
        }
        let (tell, done) = oneshot::channel();
        let work = move || {
            step_back();
            // Nobody may want to know any more.
            let _ = tell.send(walk(work));
        };
        *last = Some(thread::Builder::new().name("leisure".to_owned()).spawn(work).ok()?);
        Some(done)
    }
}

/// Lets everybody else go first, for the rest of this thread's life: who has no special rights may
/// not take that back. Where a system does not allow it, the work costs what it costs.
fn step_back() {
    // On Linux it is the thread that is nice and not its process (setpriority(2), "C library/kernel
    // differences").
    if let Err(error) = rustix::process::setpriority_process(None, NICEST) {
        tracing::debug!(%error, "the system does not let a thread step back");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::sync_channel;

    use super::*;

    #[tokio::test]
    async fn what_was_done_is_told_and_of_what_panicked_nothing() {
        let leisure = Leisure::default();
        assert_eq!(leisure.spend(0, || 1).await, Some(1));
        assert_eq!(leisure.spend(BYTES_MIN, || 2).await, Some(2));
        assert_eq!(leisure.spend(BYTES_MIN, || -> u8 { panic!("on purpose") }).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_get_its_turn_is_done_beside_it() {
        let leisure = Leisure::default();
        let (turn, turns) = sync_channel::<()>(0);
        let turns = Arc::new(Mutex::new(turns));
        let spend = || {
            let turns = turns.clone();
            leisure.spend(BYTES_MIN, move || {
                // The one that waits is told by its name, and the other has no patience.
                if thread::current().name() == Some("leisure") {
                    let _ = turns.lock().recv();
                }
            })
        };
        assert_eq!(spend().await, Some(()));
        // The first piece waits still: there is no second thread that waits.
        assert_eq!(spend().await, Some(()));
        drop(turn);
        let last = leisure.work.last.lock().take().expect("it began");
        last.join().expect("it gets its turn in the end");
    }

    #[test]
    fn what_nobody_waits_for_is_done_as_well_and_one_at_a_time() {
        let leisure = Leisure::default();
        assert!(leisure.has_room());
        let (turn, turns) = sync_channel::<()>(0);
        leisure.leave(move || {
            let _ = turns.recv();
        });
        assert!(!leisure.has_room());
        drop(turn);
        let last = leisure.rest.last.lock().take().expect("it began");
        last.join().expect("it is done");
        assert!(leisure.has_room());
    }

    #[test]
    fn whoever_steps_back_is_as_nice_as_can_be_and_nobody_else_is() {
        let nice = || rustix::process::getpriority_process(None).expect("it can be asked");
        let before = nice();
        let stepped_back = thread::spawn(move || {
            step_back();
            nice()
        });
        assert_eq!(stepped_back.join().expect("it does not panic"), NICEST);
        assert_eq!(nice(), before);
    }
}
