//! Deadlines of one worker, kept in one coarse wheel instead of a timer each.
//!
//! Nearly every deadline of a proxy is cancelled before it comes. So setting one and dropping it
//! must be cheap, and being late by a tick must not matter: an entry is linked into the slot of its
//! tick and unlinked again in constant time, and one driver task sleeps until the next slot that
//! holds anything. A wheel without deadlines causes no wake-ups. One that is put off, as that of an
//! idle connection is by each request, stays linked where it was, and is linked anew when that tick
//! comes: so it is woken once in vain instead of being moved each time.
//!
//! Invariant: a deadline is never ready early, and at most one tick late on an idle worker.

mod alarm;
mod slots;

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use alarm::Alarm;
use slots::{Place, Slots};

/// How coarse the wheel is.
pub const TICK: Duration = Duration::from_micros(TICK_US);

const TICK_US: u64 = 8_000;

/// How far behind the driver is when the worker has stood still: 100 ms.
const STOOD_STILL_TICKS: u64 = 100_000 / TICK_US;

/// One worker's deadlines. Clones speak of the same wheel.
#[derive(Clone)]
pub struct Wheel(Arc<Driven>);

/// A future that is ready once its time has come. It registers itself when it is first polled.
pub struct Deadline {
    at: Instant,
    /// Where it is linked, if it is.
    link: Option<Link>,
    wheel: Arc<Shared>,
}

/// A deadline's place in the wheel.
struct Link {
    place: Place,
    /// What it was linked for: not after what is meant.
    at: Instant,
    /// Who is woken when its tick comes.
    waker: Waker,
}

/// The time was over before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

/// Stops the driver when the last handle of the wheel goes.
struct Driven {
    shared: Arc<Shared>,
    driver: AbortHandle,
}

struct Shared {
    origin: Instant,
    slots: Mutex<Slots>,
    /// The last tick that was dealt with, for those who want to know no more: written before
    /// anybody is woken.
    tick: AtomicU64,
    /// Told when a deadline was set before the one that the driver sleeps for.
    sooner: Notify,
}

// === impl Wheel ===

impl Wheel {
    /// A wheel whose driver runs on the current runtime, by the timers of that.
    pub fn start() -> Self {
        Self::driven_by(Alarm::Runtime)
    }

    /// A wheel whose driver runs on the current runtime, which need not have timers: it has one of
    /// the system.
    ///
    /// # Errors
    /// There is no descriptor for that, or it cannot be watched.
    pub fn with_timer() -> io::Result<Self> {
        Ok(Self::driven_by(Alarm::of_the_system()?))
    }

    fn driven_by(alarm: Alarm) -> Self {
        let shared = Arc::new(Shared {
            origin: Instant::now(),
            slots: Mutex::new(Slots::new()),
            tick: AtomicU64::new(0),
            sooner: Notify::new(),
        });
        let driver = tokio::spawn(drive(shared.clone(), alarm)).abort_handle();
        Self(Arc::new(Driven { shared, driver }))
    }

    /// A deadline at `at`.
    pub fn at(&self, at: Instant) -> Deadline {
        Deadline { at, link: None, wheel: self.0.shared.clone() }
    }

    /// A deadline that is to be set.
    pub fn spare(&self) -> Box<Deadline> {
        Box::new(self.at(self.0.shared.origin))
    }

    /// Waits for `work`, but not beyond `at`. Drops `work` when it is late.
    pub async fn within<T>(
        &self,
        at: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        self.at(at).before(pin!(work)).await
    }

    /// How many deadlines are set.
    pub fn len(&self) -> usize {
        self.0.shared.slots.lock().len()
    }

    /// Whether no deadline is set.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl std::fmt::Debug for Wheel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wheel").field("deadlines", &self.len()).finish()
    }
}

// === impl Deadline ===

impl Deadline {
    /// Moves the deadline to `at`; one that had come is set again.
    pub fn reset(&mut self, at: Instant) {
        self.at = at;
        if self.link.as_ref().is_some_and(|link| at < link.at) {
            self.clear();
        }
    }

    /// Waits for `work`, but not beyond the deadline.
    pub async fn before<T>(
        &mut self,
        mut work: Pin<&mut impl Future<Output = T>>,
    ) -> Result<T, Elapsed> {
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => Pin::new(&mut *self).poll(cx).map(|()| Err(Elapsed)),
        })
        .await
    }

    /// When it is.
    pub fn instant(&self) -> Instant {
        self.at
    }

    fn clear(&mut self) {
        if let Some(link) = self.link.take() {
            self.wheel.slots.lock().remove(link.place);
        }
    }

    /// Whether its tick has not come, and whoever asks is woken then.
    fn is_waited_for(&self, cx: &Context<'_>) -> bool {
        let dealt_with = self.wheel.tick.load(Ordering::Relaxed);
        let waits = |link: &Link| link.place.tick > dealt_with && link.waker.will_wake(cx.waker());
        self.link.as_ref().is_some_and(waits)
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_waited_for(cx) {
            return Poll::Pending;
        }
        let this = &mut *self;
        let tick = this.wheel.tick_at_or_after(this.at);
        let mut slots = this.wheel.slots.lock();
        if let Some(link) = &mut this.link {
            if slots.poll(link.place, cx).is_pending() {
                link.waker.clone_from(cx.waker());
                return Poll::Pending;
            }
            if link.place.tick == tick {
                return Poll::Ready(());
            }
            // It had been put off.
            slots.remove(link.place);
            this.link = None;
        }
        if slots.has_passed(tick) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        let place = slots.insert(tick, waker.clone());
        this.link = Some(Link { place, at: this.at, waker });
        if slots.is_sooner(tick) {
            drop(slots);
            this.wheel.sooner.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.clear();
    }
}

// === impl Driven ===

impl Drop for Driven {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

// === impl Shared ===

impl Shared {
    /// The first tick that is not before `at`: rounded up, so that nothing is early.
    fn tick_at_or_after(&self, at: Instant) -> u64 {
        self.micros(at).div_ceil(TICK_US)
    }

    fn tick_now(&self) -> u64 {
        self.micros(Instant::now()) / TICK_US
    }

    fn micros(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    fn instant_of(&self, tick: u64) -> Instant {
        self.origin + Duration::from_micros(tick.saturating_mul(TICK_US))
    }
}

/// Fires deadlines until the wheel goes.
async fn drive(shared: Arc<Shared>, alarm: Alarm) {
    let mut due = Vec::new();
    loop {
        let behind = shared.slots.lock().behind(shared.tick_now());
        if behind > STOOD_STILL_TICKS {
            // The runtime looks for what has come meanwhile before this goes on: what was there in
            // time is not late because nobody looked.
            tokio::task::yield_now().await;
        }
        let next = {
            let mut slots = shared.slots.lock();
            let next = slots.advance(shared.tick_now(), &mut due);
            shared.tick.store(slots.tick(), Ordering::Relaxed);
            next
        };
        due.drain(..).for_each(Waker::wake);
        // Both arms only wait; whichever is dropped has lost nothing.
        match next {
            None => shared.sooner.notified().await,
            Some(tick) => tokio::select! {
                () = alarm.ring_at(shared.instant_of(tick)) => {}
                () = shared.sooner.notified() => {}
            },
        }
    }
}

#[cfg(test)]
mod tests;
