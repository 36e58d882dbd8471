//! The word that it is time to stop, told to all who work.
//!
//! Each stage is a latch: it is reached once and stays reached. Whoever waits for a stage is
//! registered for that one alone, and keeps that registration until it has come; so looking at the
//! stage by an atomic load is enough to know that nothing has been missed.

use std::{
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll},
};

use tokio::sync::Notify;

/// How far stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Stage {
    /// Everything runs.
    Running,
    /// Not ready any more, but connections are still accepted.
    Grace,
    /// Nothing is accepted; each connection closes after the request it is at.
    Finishing,
    /// Requests that are left are cut.
    Cutting,
    /// Tunnels that are left are cut.
    Ending,
}

/// Tells the stage to all who hold a [`Drain`]. When it goes, everything is to end.
#[derive(Debug)]
pub struct Drainer(Arc<Shared>);

/// Sees how far stopping has come.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Shared>);

/// A future that is ready once a stage has been reached, and costs an atomic load to look at again.
/// Always polled by the same task.
pub struct Latch {
    drain: Drain,
    stage: Stage,
    told: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stage: AtomicU8,
    /// Told when the stage has come: one for each stage, none of them ever told before it.
    reached: [Notify; STAGES.len()],
}

const STAGES: [Stage; 5] =
    [Stage::Running, Stage::Grace, Stage::Finishing, Stage::Cutting, Stage::Ending];

/// A drain that has not begun, and the hand that begins it.
pub fn channel() -> (Drainer, Drain) {
    let shared = Arc::new(Shared::default());
    (Drainer(shared.clone()), Drain(shared))
}

// === impl Drainer ===

impl Drainer {
    /// Moves on to `stage`; going back is ignored.
    pub fn advance(&self, stage: Stage) {
        let before = self.0.stage.fetch_max(stage as u8, Ordering::AcqRel);
        // Whoever registers after this sees the stage; whoever did before is told.
        for reached in STAGES.iter().filter(|s| **s as u8 > before && **s <= stage) {
            self.0.reached[*reached as usize].notify_waiters();
        }
    }
}

impl Drop for Drainer {
    fn drop(&mut self) {
        self.advance(Stage::Ending);
    }
}

// === impl Drain ===

impl Drain {
    /// How far stopping has come: an atomic load.
    pub fn stage(&self) -> Stage {
        STAGES[usize::from(self.0.stage.load(Ordering::Acquire))]
    }

    /// Ready once `stage` has been reached; cheap to poll among other things.
    pub fn latch(&self, stage: Stage) -> Latch {
        Latch { drain: self.clone(), stage, told: None }
    }

    /// Ready once `stage` has been reached.
    ///
    /// As long as [`Drain::stage`] is below `stage`, a future that has been polled once need not be
    /// polled again: its task is woken.
    pub async fn reached(&self, stage: Stage) {
        let mut told = pin!(self.0.reached[stage as usize].notified());
        told.as_mut().enable();
        if self.stage() < stage {
            told.await;
        }
    }
}

// === impl Latch ===

impl Future for Latch {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        // Registered once; polling again would take a lock that all workers share.
        if this.told.is_some() && this.drain.stage() < this.stage {
            return Poll::Pending;
        }
        let (drain, stage) = (&this.drain, this.stage);
        let told = this.told.get_or_insert_with(|| {
            let drain = drain.clone();
            Box::pin(async move { drain.reached(stage).await })
        });
        told.as_mut().poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[tokio::test]
    async fn a_stage_that_has_been_reached_stays_reached_and_those_before_it_are_too() {
        let (drainer, drain) = channel();
        assert_eq!(drain.stage(), Stage::Running);
        drainer.advance(Stage::Finishing);
        drainer.advance(Stage::Grace);
        assert_eq!(drain.stage(), Stage::Finishing);
        drain.reached(Stage::Grace).await;
        drain.reached(Stage::Finishing).await;
        drop(drainer);
        drain.reached(Stage::Ending).await;
    }

    #[test]
    fn who_waits_for_a_later_stage_is_not_disturbed_by_an_earlier_one() {
        struct Bell(AtomicU8);
        impl std::task::Wake for Bell {
            fn wake(self: Arc<Self>) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let (drainer, drain) = channel();
        let bell = Arc::new(Bell(AtomicU8::new(0)));
        let waker = Waker::from(bell.clone());
        let mut finishing = pin!(drain.reached(Stage::Finishing));
        assert!(finishing.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drainer.advance(Stage::Grace);
        assert_eq!(bell.0.load(Ordering::Relaxed), 0);
        drainer.advance(Stage::Finishing);
        assert_eq!(bell.0.load(Ordering::Relaxed), 1);
        let polled = finishing.as_mut().poll(&mut Context::from_waker(&waker));
        assert_eq!(polled, Poll::Ready(()));
    }

    /// Stages that follow each other at once reach a task whenever it begins to wait.
    #[test]
    fn no_stage_is_missed_by_a_task_that_looks_instead_of_polling() {
        for _ in 0..500 {
            let (drainer, drain) = channel();
            let waiting = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build();
                runtime.expect("a runtime").block_on(async {
                    let mut reached = pin!(drain.reached(Stage::Finishing));
                    let mut first = true;
                    std::future::poll_fn(|cx| {
                        let came = drain.stage() >= Stage::Finishing;
                        if !std::mem::take(&mut first) && !came {
                            return Poll::Pending;
                        }
                        reached.as_mut().poll(cx)
                    })
                    .await;
                });
            });
            drainer.advance(Stage::Grace);
            drainer.advance(Stage::Finishing);
            waiting.join().expect("it ends");
        }
    }
}
