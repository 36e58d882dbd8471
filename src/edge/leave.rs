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
    use std::{
        sync::Arc,
        task::{Wake, Waker},
    };

    use parking_lot::Mutex;

    use super::*;
    use crate::drain;

    /// A connection that looks as soon as it is woken, while others have still to be.
    struct Looker(Mutex<Leave>);

    impl Looker {
        fn look(self: &Arc<Self>) -> Stage {
            let waker = Waker::from(self.clone());
            self.0.lock().poll_stage(&mut Context::from_waker(&waker))
        }
    }

    impl Wake for Looker {
        fn wake(self: Arc<Self>) {
            self.look();
        }
    }

    #[test]
    fn no_connection_misses_a_stage_when_it_looks_while_the_one_before_is_still_being_told() {
        let (drainer, drain) = drain::channel();
        let looker = |_| Arc::new(Looker(Mutex::new(Leave::new(drain.clone()))));
        let lookers: Vec<_> = (0..64).map(looker).collect();
        assert!(lookers.iter().all(|looker| looker.look() == Stage::Running));
        for (told, seen) in [
            (Stage::Grace, Stage::Running),
            (Stage::Finishing, Stage::Finishing),
            (Stage::Ending, Stage::Cutting),
        ] {
            drainer.advance(told);
            let late = lookers.iter().filter(|looker| looker.0.lock().stage != seen).count();
            assert_eq!(late, 0, "who have missed {told:?}");
        }
    }
}
