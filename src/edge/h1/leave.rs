//! The word to stop, looked at by one connection at the price of an atomic load.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use crate::drain::{Drain, Stage};

type Reached = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sees how far stopping has come, and wakes the connection's task when it goes on.
///
/// The future behind it takes a lock that all workers share; so it is polled once for a stage and
/// then only when that stage has come.
pub(super) struct Leave {
    drain: Drain,
    stage: Stage,
    reached: Option<Reached>,
}

// === impl Leave ===

impl Leave {
    /// Looks at `drain` for one connection.
    pub(super) fn new(drain: Drain) -> Self {
        Self { drain, stage: Stage::Running, reached: None }
    }

    /// How far stopping has come. Always called by the same task, which is woken when it goes on.
    pub(super) fn poll_stage(&mut self, cx: &mut Context<'_>) -> Stage {
        loop {
            if self.stage >= Stage::Cutting {
                return self.stage;
            }
            let next =
                if self.stage < Stage::Finishing { Stage::Finishing } else { Stage::Cutting };
            // An atomic load instead of a poll, which would take a lock that all workers share.
            if self.reached.is_some() && self.drain.stage() < next {
                return self.stage;
            }
            let reached = self.reached.get_or_insert_with(|| {
                let drain = self.drain.clone();
                Box::pin(async move { drain.reached(next).await })
            });
            match reached.as_mut().poll(cx) {
                Poll::Pending => return self.stage,
                Poll::Ready(()) => {
                    self.reached = None;
                    self.stage = next;
                }
            }
        }
    }

    /// Whether connections are to end after the request they are at.
    pub(super) fn is_finishing(&self) -> bool {
        self.drain.stage() >= Stage::Finishing
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, task::Waker, thread};

    use super::*;
    use crate::drain;

    #[test]
    fn a_stage_that_comes_while_one_before_it_is_looked_at_is_not_missed() {
        for _ in 0..2_000 {
            let (drainer, drain) = drain::channel();
            let mut leave = Leave::new(drain);
            let mut look = || leave.poll_stage(&mut Context::from_waker(Waker::noop()));
            assert_eq!(look(), Stage::Running);
            let start = Barrier::new(2);
            thread::scope(|scope| {
                let advancing = scope.spawn(|| {
                    start.wait();
                    drainer.advance(Stage::Grace);
                    drainer.advance(Stage::Finishing);
                });
                start.wait();
                while !advancing.is_finished() {
                    look();
                }
            });
            assert_eq!(look(), Stage::Finishing);
        }
    }
}
