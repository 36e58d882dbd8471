//! The streams that a connection has open, driven by the connection's own task.
//!
//! A stream is no task: for each request the runtime would make one, queue it and end it, and it
//! would have to wake its connection. Here it has a bell, which whoever has news for it rings; the
//! connection looks at those that were rung, and at no other.
//!
//! ```text
//!   the task is woken ─> streams that were rung ─> the crate, if it was rung ─> what it wrote
//!                                 ^                        │
//!                                 └── rung by the crate ───┘
//! ```
//!
//! A stream that is rung while streams are looked at waits for the task's next turn, before which
//! the worker looks at its sockets: who rings himself keeps nobody waiting.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use slab::Slab;

use crate::{
    deadline::Wheel,
    drain::Drain,
    edge::{Load, rules::Rules},
};

use super::{
    bells::{Bells, Next},
    wire::Watch,
};

/// What all streams of a connection share.
pub(super) struct Common {
    pub(super) rules: Arc<Rules>,
    pub(super) wheel: Wheel,
    pub(super) drain: Drain,
    pub(super) watch: Arc<Watch>,
}

/// A stream until it is over, or goes on as a tunnel.
pub(super) type Serving = Pin<Box<dyn Future<Output = Option<Tunnelling>> + Send>>;

/// A tunnel until its end, which nobody but itself brings about.
pub(super) type Tunnelling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// The open streams of one connection. Dropping it ends them all.
pub(super) struct Streams {
    open: Slab<Place>,
    bells: Bells,
    load: Load,
}

/// One stream, counted among those that its worker has open.
struct Place {
    work: Work,
    load: Load,
}

enum Work {
    Serves(Serving),
    Tunnels(Tunnelling),
}

// === impl Streams ===

impl Streams {
    /// None is open, and the crate is to be looked at.
    pub(super) fn new(load: Load) -> Self {
        Self { open: Slab::new(), bells: Bells::default(), load }
    }

    /// Takes a stream in, which is looked at as soon as others are.
    pub(super) fn start(&mut self, serving: Serving) {
        self.load.add();
        let place = Place { work: Work::Serves(serving), load: self.load.clone() };
        let key = self.open.insert(place);
        self.bells.of(key).wake_by_ref();
    }

    /// Begins a turn of the task that `cx` wakes.
    pub(super) fn begin(&self, cx: &Context<'_>) {
        self.bells.begin(cx.waker());
    }

    /// Looks at the streams that were rung. Whether the crate was rung as well, and is to be looked
    /// at next; and then streams again.
    pub(super) fn look(&mut self) -> bool {
        loop {
            match self.bells.next() {
                Some(Next::Stream(key)) => self.look_at(key),
                Some(Next::Crate) => return true,
                None => return false,
            }
        }
    }

    fn look_at(&mut self, key: usize) {
        // One that has ended since may have been rung.
        let Some(place) = self.open.get_mut(key) else { return };
        let mut cx = Context::from_waker(self.bells.of(key));
        let ended = match &mut place.work {
            Work::Serves(serving) => match serving.as_mut().poll(&mut cx) {
                Poll::Pending => false,
                Poll::Ready(None) => true,
                Poll::Ready(Some(mut tunnelling)) => {
                    let polled = tunnelling.as_mut().poll(&mut cx);
                    place.work = Work::Tunnels(tunnelling);
                    polled.is_ready()
                }
            },
            Work::Tunnels(tunnelling) => tunnelling.as_mut().poll(&mut cx).is_ready(),
        };
        if ended {
            drop(self.open.try_remove(key));
            self.bells.forget(key);
        }
    }

    /// Wakes the connection's task, so that it looks at the crate.
    pub(super) fn bell_of_crate(&self) -> Waker {
        self.bells.of_crate()
    }

    /// Whether none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Looks at streams until there is none.
    pub(super) fn poll_none(&mut self, cx: &Context<'_>) -> Poll<()> {
        self.begin(cx);
        // The crate's connection has gone.
        while self.look() {}
        if self.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ends all that are no tunnels; whether there was any.
    pub(super) fn cut(&mut self) -> bool {
        let before = self.open.len();
        self.open.retain(|_, place| matches!(place.work, Work::Tunnels(_)));
        self.open.len() < before
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.load.remove();
    }
}
