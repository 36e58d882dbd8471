//! The word to stop, looked at by one connection at the price of an atomic load.

use std::{pin::Pin, task::Context};

use crate::drain::{Drain, Stage};

type Reached = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sees how far stopping has come, and wakes the connection's task when it goes on.
///
/// The future behind it takes a lock that all workers share; so it is polled only once before
/// stopping begins. From then on it is polled at each look: it can have been woken for a stage that
/// was seen already, and sleeps again only when it is asked.
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
        while self.stage < Stage::Cutting {
            if self.reached.is_some() && !self.drain.has_moved() {
                break;
            }
            let next =
                if self.stage < Stage::Finishing { Stage::Finishing } else { Stage::Cutting };
            let reached = self.reached.get_or_insert_with(|| {
                let mut drain = self.drain.clone();
                // Without a budget: pending must mean that it will be told.
                Box::pin(tokio::task::unconstrained(async move { drain.reached(next).await }))
            });
            if reached.as_mut().poll(cx).is_pending() {
                break;
            }
            self.stage = next;
            self.reached = None;
        }
        self.stage
    }

    /// Whether connections are to end after the request they are at.
    pub(super) fn is_finishing(&self) -> bool {
        let stage = if self.drain.has_moved() { self.drain.stage() } else { self.stage };
        stage >= Stage::Finishing
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
