//! What wakes the driver of a wheel.
//!
//! The runtime has timers of its own, and pays for them each time it looks for something to do: it
//! reads the clock before it sleeps and after it was woken, takes a lock both times, and tells the
//! system how long to sleep. A worker sleeps between any two requests, and the only thing on it
//! that waits for a time is its wheel. So the wheel has a timer of the system, which costs a call
//! when it is set, and the worker's runtime has none.

use std::{
    io,
    os::fd::OwnedFd,
    time::{Duration, Instant as Clock},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::{
    io::{Interest, unix::AsyncFd},
    time::Instant,
};

/// Wakes the driver at a time.
#[derive(Debug)]
pub(super) enum Alarm {
    /// By the runtime's own timers; where time stands still in tests, these know.
    Runtime,
    /// By a timer of the system.
    System(AsyncFd<OwnedFd>),
}

// === impl Alarm ===

impl Alarm {
    /// A timer of the system, watched by the runtime that is current.
    ///
    /// # Errors
    /// There is no descriptor for it, or it cannot be watched.
    #[expect(
        deprecated,
        reason = "its successor is unsafe, for descriptors that may change; an owned one does not"
    )]
    pub(super) fn of_the_system() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self::System(AsyncFd::with_interest(timer, Interest::READABLE)?))
    }

    /// Ready at `at`, or a moment before where clocks differ. Dropped before that, it may ring once
    /// for nobody.
    pub(super) async fn ring_at(&self, at: Instant) {
        match self {
            Alarm::Runtime => tokio::time::sleep_until(at).await,
            Alarm::System(timer) => ring_at(timer, at.into_std()).await,
        }
    }
}

async fn ring_at(timer: &AsyncFd<OwnedFd>, at: Clock) {
    loop {
        let left = at.saturating_duration_since(Clock::now());
        // Neither fails on a timer that is open and a runtime that is there; were it otherwise, to
        // ring at once would do no harm but to the load.
        if left.is_zero() || set(timer, left).is_err() {
            return;
        }
        let Ok(mut rung) = timer.readable().await else { return };
        // It need not be read: to set it again is as good. What rang may have been set before.
        rung.clear_ready();
    }
}

/// Sets the timer to ring in `left`, once; what had rung is forgotten.
fn set(timer: &AsyncFd<OwnedFd>, left: Duration) -> io::Result<()> {
    let never = Timespec { tv_sec: 0, tv_nsec: 0 };
    let tv_sec = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
    let value = Timespec { tv_sec, tv_nsec: left.subsec_nanos().into() };
    let spec = Itimerspec { it_interval: never, it_value: value };
    timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &spec)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[tokio::test]
    async fn it_rings_at_its_time_however_often_it_was_set_before() {
        let alarm = Alarm::of_the_system().expect("a timer");
        for wait in [5 * MS, Duration::ZERO, 3 * MS] {
            let start = Instant::now();
            alarm.ring_at(start + wait).await;
            assert!(start.elapsed() >= wait);
        }
        // One that rang for nobody does not end the next wait.
        let start = Instant::now();
        tokio::select! {
            biased;
            () = alarm.ring_at(start + 3600 * 1000 * MS) => panic!("an hour has passed"),
            () = tokio::task::yield_now() => {}
        }
        tokio::select! {
            biased;
            () = alarm.ring_at(start + MS) => {}
            () = std::future::pending() => {}
        }
        alarm.ring_at(start + 20 * MS).await;
        assert!(start.elapsed() >= 20 * MS);
    }
}
