//! Of deadlines as those who wait by them see them.

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

#[tokio::test(start_paused = true)]
async fn one_that_is_handed_on_wakes_who_waits_by_it_now() {
    let wheel = Wheel::start();
    let start = Instant::now();
    let mut deadline = wheel.spare();
    for wait_ms in [500, 1_000, 800] {
        let at = Instant::now() + Duration::from_millis(wait_ms);
        deadline.reset(at);
        assert!(is_pending(&mut deadline), "somebody else has waited by it");
        assert!(is_pending(&mut deadline));
        assert_eq!(wheel.len(), 1);
        (&mut *deadline).await;
        assert!(Instant::now() >= at, "{:?}", start.elapsed());
    }
    assert_eq!(deadline.before(pin!(async { 7 })).await, Ok(7), "work that is done goes first");
    drop(deadline);
    assert!(wheel.is_empty());
}

#[test]
fn what_has_come_while_a_worker_stood_still_is_not_late() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    runtime.expect("a runtime").block_on(async {
        let wheel = Wheel::with_timer().expect("a timer");
        let (near, mut far) = std::os::unix::net::UnixStream::pair().expect("a pair");
        near.set_nonblocking(true).expect("an option");
        let near = tokio::net::UnixStream::from_std(near).expect("it is watched");
        let (start, mut stood_still) = (Instant::now(), false);
        let task = tokio::spawn(async move {
            let at = start + Duration::from_millis(50);
            let mut waiting = std::pin::pin!(wheel.within(at, near.readable()));
            std::future::poll_fn(|cx| {
                let polled = waiting.as_mut().poll(cx);
                if !std::mem::replace(&mut stood_still, true) {
                    std::io::Write::write_all(&mut far, b"in time").expect("there is room");
                    while start.elapsed() < Duration::from_millis(300) {}
                }
                polled.map(|ended| ended.is_ok_and(|read| read.is_ok()))
            })
            .await
        });
        assert!(task.await.expect("no panic"), "it was there in time");
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
