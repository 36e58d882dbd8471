//! The streams that a connection has open, each a task of its own on the worker's thread.
//!
//! A task is owned: it stands here until it has ended, the connection ends it when all is to be
//! cut, and does not end before the last of them has.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;
use slab::Slab;
use tokio::task::AbortHandle;

use crate::{
    deadline::Wheel,
    drain::Drain,
    edge::{Load, rules::Rules},
};

use super::wire::Watch;

/// What all streams of a connection share.
pub(super) struct Common {
    pub(super) rules: Arc<Rules>,
    pub(super) wheel: Wheel,
    pub(super) drain: Drain,
    pub(super) watch: Arc<Watch>,
    pub(super) load: Load,
}

/// The open streams of one connection.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Mutex<Open>>);

/// A stream's place among them. Dropping it gives it up.
pub(super) struct Ticket {
    streams: Streams,
    common: Arc<Common>,
    key: usize,
}

#[derive(Default)]
struct Open {
    /// How each is ended; none for those that have become tunnels, which end by themselves.
    tasks: Slab<Option<AbortHandle>>,
    /// Told when the last one has ended.
    connection: Option<Waker>,
}

// === impl Streams ===

impl Streams {
    /// Starts the task that `work` makes for its ticket.
    pub(super) fn start<F>(&self, common: &Arc<Common>, work: impl FnOnce(Ticket) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let key = self.0.lock().tasks.insert(None);
        common.load.add();
        let ticket = Ticket { streams: self.clone(), common: common.clone(), key };
        // It does not run before this thread has come back to its runtime. Boxed, since a runtime
        // moves what it spawns, and what has ended, several times.
        let task = tokio::spawn(Box::pin(work(ticket)));
        if let Some(place) = self.0.lock().tasks.get_mut(key) {
            *place = Some(task.abort_handle());
        }
    }

    /// Whether none is open; the connection's task is woken when that becomes so.
    pub(super) fn poll_none(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut open = self.0.lock();
        if open.tasks.is_empty() {
            return Poll::Ready(());
        }
        if !open.connection.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            open.connection = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Ends all that are no tunnels.
    pub(super) fn cut(&self) {
        // Ended outside the lock: what a task held may be dropped at once, its ticket included.
        let cut: Vec<_> =
            self.0.lock().tasks.iter_mut().filter_map(|(_, task)| task.take()).collect();
        for task in cut {
            task.abort();
        }
    }
}

// === impl Ticket ===

impl Ticket {
    /// From here on the stream is a tunnel, which has an owner and an end of its own.
    pub(super) fn becomes_tunnel(&self) {
        if let Some(task) = self.streams.0.lock().tasks.get_mut(self.key) {
            *task = None;
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.common.load.remove();
        let mut open = self.streams.0.lock();
        open.tasks.try_remove(self.key);
        if open.tasks.is_empty()
            && let Some(connection) = open.connection.take()
        {
            drop(open);
            connection.wake();
        }
    }
}
