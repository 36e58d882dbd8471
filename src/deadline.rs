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
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
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

/// One worker's deadlines. Clones speak of the same wheel.
#[derive(Clone)]
pub struct Wheel(Arc<Driven>);

/// A future that is ready once its time has come. It registers itself when it is first polled.
pub struct Deadline {
    at: Instant,
    /// Its place, whose tick is not after the one that is meant.
    place: Option<Place>,
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
            sooner: Notify::new(),
        });
        let driver = tokio::spawn(drive(shared.clone(), alarm)).abort_handle();
        Self(Arc::new(Driven { shared, driver }))
    }

    /// A deadline at `at`.
    pub fn at(&self, at: Instant) -> Deadline {
        Deadline { at, place: None, wheel: self.0.shared.clone() }
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
        self.at = at;
        if self.place.is_some_and(|place| self.wheel.tick_at_or_after(at) < place.tick) {
            self.clear();
        }
    }

    /// When it is.
    pub fn instant(&self) -> Instant {
        self.at
    }

    fn clear(&mut self) {
        if let Some(place) = self.place.take() {
            self.wheel.slots.lock().remove(place);
        }
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let tick = this.wheel.tick_at_or_after(this.at);
        let mut slots = this.wheel.slots.lock();
        if let Some(place) = this.place {
            if slots.poll(place, cx).is_pending() {
                return Poll::Pending;
            }
            if place.tick == tick {
                return Poll::Ready(());
            }
            // It had been put off.
            slots.remove(place);
            this.place = None;
        }
        if slots.has_passed(tick) {
            return Poll::Ready(());
        }
        this.place = Some(slots.insert(tick, cx.waker().clone()));
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
        let next = {
            let mut slots = shared.slots.lock();
            slots.advance(shared.tick_now(), &mut due)
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
    async fn one_that_is_put_off_again_and_again_comes_at_its_time_and_one_that_is_hastened_too() {
        let wheel = Wheel::start();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        let mut deadline = wheel.at(ms(100));
        for until in [60, 120, 180, 240] {
            tokio::select! {
                biased;
                () = &mut deadline => panic!("it was put off"),
                () = tokio::time::sleep_until(ms(until)) => deadline.reset(ms(until + 100)),
            }
        }
        (&mut deadline).await;
        let late_max = TICK + Duration::from_millis(1);
        assert!((ms(340)..=ms(340) + late_max).contains(&Instant::now()), "{:?}", start.elapsed());
        deadline.reset(ms(9_000));
        assert!(is_pending(&mut deadline));
        deadline.reset(ms(400));
        (&mut deadline).await;
        assert!((ms(400)..=ms(400) + late_max).contains(&Instant::now()), "{:?}", start.elapsed());
        drop(deadline);
        assert!(wheel.is_empty());
    }

    #[test]
    fn a_wheel_with_a_timer_needs_none_of_its_runtime() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        runtime.expect("a runtime").block_on(async {
            let wheel = Wheel::with_timer().expect("a timer");
            let start = Instant::now();
            let late = wheel.at(start + Duration::from_secs(3_600));
            for wait_ms in [30, 1, 12] {
                let (start, wait) = (Instant::now(), Duration::from_millis(wait_ms));
                wheel.at(start + wait).await;
                assert!(start.elapsed() >= wait);
            }
            assert_eq!(wheel.within(start, late).await, Err(Elapsed), "the wheel turns past it");
            assert!(wheel.is_empty());
        });
    }

    fn is_pending(deadline: &mut Deadline) -> bool {
        Pin::new(deadline).poll(&mut Context::from_waker(Waker::noop())).is_pending()
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
