//! Deadlines of one worker, kept in one coarse wheel instead of a timer each.
//!
//! Nearly every deadline of a proxy is cancelled before it comes. So setting one and dropping it
//! must be cheap, and being late by a tick must not matter: an entry is linked into the slot of its
//! tick and unlinked again in constant time, and one driver task sleeps until the next slot that
//! holds anything. A wheel without deadlines causes no wake-ups.
//!
//! Invariant: a deadline is never ready early, and at most one tick late on an idle worker.

mod slots;

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, task::AbortHandle, time::Instant};

use slots::Slots;

/// How coarse the wheel is.
pub const TICK: Duration = Duration::from_millis(8);

/// One worker's deadlines. Clones speak of the same wheel.
#[derive(Clone)]
pub struct Wheel(Arc<Driven>);

/// A future that is ready once its time has come. It registers itself when it is first polled.
pub struct Deadline {
    at: Instant,
    key: Option<usize>,
    wheel: Arc<Shared>,
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
    /// Told when a deadline was set before the one that the driver sleeps for.
    sooner: Notify,
}

// === impl Wheel ===

impl Wheel {
    /// A wheel whose driver runs on the current runtime.
    pub fn start() -> Self {
        let shared = Arc::new(Shared {
            origin: Instant::now(),
            slots: Mutex::new(Slots::new()),
            sooner: Notify::new(),
        });
        let driver = tokio::spawn(drive(shared.clone())).abort_handle();
        Self(Arc::new(Driven { shared, driver }))
    }

    /// A deadline at `at`.
    pub fn at(&self, at: Instant) -> Deadline {
        Deadline { at, key: None, wheel: self.0.shared.clone() }
    }

    /// Waits for `work`, but not beyond `at`. Drops `work` when it is late.
    pub async fn within<T>(
        &self,
        at: Instant,
        work: impl Future<Output = T>,
    ) -> Result<T, Elapsed> {
        let deadline = self.at(at);
        tokio::select! {
            biased;
            done = work => Ok(done),
            () = deadline => Err(Elapsed),
        }
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
        self.clear();
        self.at = at;
    }

    /// When it is.
    pub fn instant(&self) -> Instant {
        self.at
    }

    fn clear(&mut self) {
        if let Some(key) = self.key.take() {
            self.wheel.slots.lock().remove(key);
        }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut slots = this.wheel.slots.lock();
        if let Some(key) = this.key {
            return slots.poll(key, cx);
        }
        let tick = this.wheel.tick_at_or_after(this.at);
        if slots.has_passed(tick) {
            return Poll::Ready(());
        }
        this.key = Some(slots.insert(tick, cx.waker().clone()));
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
        let since = at.saturating_duration_since(self.origin);
        u64::try_from(since.as_micros().div_ceil(TICK.as_micros())).unwrap_or(u64::MAX)
    }

    fn tick_now(&self) -> u64 {
        let since = Instant::now().saturating_duration_since(self.origin);
        u64::try_from(since.as_micros() / TICK.as_micros()).unwrap_or(u64::MAX)
    }

    fn instant_of(&self, tick: u64) -> Instant {
        self.origin + Duration::from_micros(tick.saturating_mul(TICK.as_micros() as u64))
    }
}

/// Fires deadlines until the wheel goes.
async fn drive(shared: Arc<Shared>) {
    let mut due = Vec::new();
    loop {
        let next = {
            let mut slots = shared.slots.lock();
            slots.advance(shared.tick_now(), &mut due)
        };
        due.drain(..).for_each(Waker::wake);
        // Both arms only wait; whichever is dropped has lost nothing.
        match next {
            None => shared.sooner.notified().await,
            Some(tick) => tokio::select! {
                () = tokio::time::sleep_until(shared.instant_of(tick)) => {}
                () = shared.sooner.notified() => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_deadline_comes_at_its_time_and_at_most_a_tick_late() {
        let wheel = Wheel::start();
        for wait_ms in [0, 1, 7, 8, 9, 100, 33_000, 100_000] {
            let start = Instant::now();
            let wait = Duration::from_millis(wait_ms);
            wheel.at(start + wait).await;
            let took = start.elapsed();
            // tokio's own timer rounds up to a millisecond.
            let late_max = TICK + Duration::from_millis(1);
            assert!(took >= wait && took <= wait + late_max, "{wait_ms} ms took {took:?}");
        }
        assert!(wheel.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sooner_deadline_overtakes_the_one_that_the_driver_sleeps_for() {
        let wheel = Wheel::start();
        let start = Instant::now();
        let late = wheel.at(start + Duration::from_secs(60));
        let soon = wheel.at(start + Duration::from_millis(50));
        tokio::select! {
            () = late => panic!("the later one came first"),
            () = soon => {}
        }
        assert!(start.elapsed() < Duration::from_secs(1));
        assert!(wheel.is_empty(), "a dropped deadline leaves nothing behind");
    }

    #[tokio::test(start_paused = true)]
    async fn work_that_is_late_is_dropped_and_work_in_time_is_kept() {
        let wheel = Wheel::start();
        let at = Instant::now() + Duration::from_millis(20);
        assert_eq!(wheel.within(at, std::future::pending::<()>()).await, Err(Elapsed));
        let at = Instant::now() + Duration::from_millis(20);
        assert_eq!(wheel.within(at, async { 7 }).await, Ok(7));
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_can_be_moved_and_set_again() {
        let wheel = Wheel::start();
        let start = Instant::now();
        let mut deadline = wheel.at(start + Duration::from_millis(10));
        (&mut deadline).await;
        deadline.reset(start + Duration::from_millis(500));
        (&mut deadline).await;
        assert!(start.elapsed() >= Duration::from_millis(500));
    }

    #[tokio::test(start_paused = true)]
    async fn many_deadlines_in_any_order_come_in_order() {
        let wheel = Wheel::start();
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        let mut random = fastrand::Rng::with_seed(7);
        for _ in 0..2_000 {
            let wait = Duration::from_millis(random.u64(0..90_000));
            let wheel = wheel.clone();
            tasks.spawn(async move {
                wheel.at(start + wait).await;
                (wait, start.elapsed())
            });
        }
        while let Some(done) = tasks.join_next().await {
            let (wait, took) = done.expect("no task panics");
            let late_max = TICK + Duration::from_millis(1);
            assert!(took >= wait && took <= wait + late_max, "{wait:?} took {took:?}");
        }
        assert!(wheel.is_empty());
    }
}
