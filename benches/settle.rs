//! What counting costs: a request's settling, a lease, a line of the log, and a scrape.
//!
//! Settling must not allocate; the allocation columns say whether it does.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use divan::{AllocProfiler, Bencher, black_box};
use http::StatusCode;
use usher::{
    fault::{Fault, Outcome},
    meters::{Arm, ExchangeMeter, Gauges, Meters, PoolMeter, Settled},
    name::Name,
    peer::Client,
    peer::Protocol,
    proxy::memory::{Brief, Memory, Remembered, Times, Tries},
    snapshot::Told,
    telemetry::access_log::{AccessLog, Line, Target},
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const WORKERS: usize = 2;

fn main() {
    divan::main();
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn served(first_byte: Duration) -> Settled {
    Settled {
        status: Some(StatusCode::OK),
        outcome: Outcome::Served,
        fault: None,
        first_byte: Some(first_byte),
        duration: Some(first_byte + Duration::from_micros(80)),
    }
}

/// One request opened and settled, with all its histograms.
#[divan::bench]
fn settle(bencher: Bencher<'_, '_>) {
    let meters = Meters::new(WORKERS, &[]);
    let meter = meters.exchange(&name("customer"), &name("customer"), Arm::Stable, &[]);
    let settled = served(Duration::from_micros(12_345));
    bencher.bench_local(|| {
        meter.open(0);
        meter.waited(0, Duration::ZERO);
        meter.settle(0, black_box(&settled));
    });
}

/// The same over fifty audiences in turn: what it costs when the cells are not at hand.
#[divan::bench]
fn settle_fifty_audiences_in_turn(bencher: Bencher<'_, '_>) {
    let meters = Meters::new(WORKERS, &[]);
    let held = audiences(&meters, 50);
    let mut turn = 0;
    bencher.bench_local(|| {
        turn += 1;
        let meter = &held[turn % held.len()].0;
        meter.open(0);
        meter.waited(0, Duration::ZERO);
        meter.settle(0, &served(Duration::from_micros(turn as u64 % 400_000)));
    });
}

/// One entry made and kept of what `usher why` tells about, the oldest one forgotten: its cost at
/// hand, and when ten thousand others have been kept since the place was last written to.
#[divan::bench(args = [64, 10_000])]
fn remember(bencher: Bencher<'_, '_>, requests: usize) {
    let memory = Memory::new(1, requests);
    let name = name("customer");
    let told = Told {
        generation: 1,
        audience: name.clone(),
        pool: name,
        fallback: None,
        labels: Arc::default(),
    };
    let told = Arc::new(told);
    let time = Some(Duration::from_micros(12_345));
    let mut tries = Tries::default();
    tries.begin(7);
    let keep = || {
        let request = Remembered {
            request_id: Brief::of(b"0123456789abcdef0123456789abcdef"),
            path: Brief::of(b"/restaurants/17/menu"),
            method: Brief::of(b"GET"),
            told: told.clone(),
            rule: None,
            at: SystemTime::UNIX_EPOCH,
            client: Client::Ip([203, 0, 113, 7].into()),
            status: Some(StatusCode::OK),
            outcome: Outcome::Served,
            fault: None,
            bytes_in: 0,
            bytes_out: 1_024,
            times: Times { first_byte: time.into(), total: time.into(), ..Times::default() },
            tries,
            operation: None,
            away: false,
        };
        memory.keep(0, black_box(request));
    };
    (0..requests).for_each(|_| keep());
    bencher.bench_local(keep);
}

/// One lease taken and given back.
#[divan::bench]
fn lease(bencher: Bencher<'_, '_>) {
    let meters = Meters::new(WORKERS, &[]);
    let meter = meters.pool(&name("customer"), Arm::Stable);
    let taken = Instant::now();
    let returned = taken + Duration::from_millis(12);
    bencher.bench_local(|| {
        meter.lease_taken(0, black_box(taken));
        let returned = black_box(returned);
        meter.lease_returned(0, returned - taken, returned);
    });
}

/// One line of the access log on its way to the writer, which drains them to nowhere meanwhile.
#[divan::bench]
fn log_line(bencher: Bencher<'_, '_>) {
    let nowhere = Target::File("/dev/null".into());
    let (log, writer) = AccessLog::start(nowhere, WORKERS).expect("it can be written to");
    std::thread::spawn(move || {
        let house = tokio::runtime::Builder::new_current_thread().enable_time().build();
        house.expect("a runtime").block_on(writer.run(std::future::pending()));
    });
    let line = Line {
        time: SystemTime::now(),
        request_id: Some("01JDC5W7V8T2N4"),
        client: Client::Ip([203, 0, 113, 7].into()),
        proto: Some(Protocol::Http11),
        method: Some("GET"),
        host: Some("shop.example"),
        path: Some("/restaurants/17/menu"),
        status: Some(200),
        outcome: Some(Outcome::Served),
        audience: "customer",
        pool: "customer",
        arm: Some("stable"),
        endpoint: Some("127.0.0.1:3000"),
        attempts: 1,
        bytes_out: 1_024,
        queue_ms: Some(Duration::ZERO),
        first_byte_ms: Some(Duration::from_micros(11_873)),
        upstream_ms: Some(Duration::from_micros(11_901)),
        total_ms: Some(Duration::from_micros(12_034)),
        ..Line::default()
    };
    bencher.bench_local(|| log.write(0, black_box(&line)));
}

/// One scrape, by the number of audiences and of workers, whose cells are added up.
#[divan::bench(args = [(4, 2), (50, 2), (50, 64)])]
fn render(bencher: Bencher<'_, '_>, (count, workers): (usize, usize)) {
    let meters = Meters::new(workers, &[]);
    let held = audiences(&meters, count);
    for (meter, pool) in &held {
        meter.open(0);
        meter.waited(0, Duration::ZERO);
        meter.settle(0, &served(Duration::from_millis(12)));
        pool.lease_taken(0, Instant::now());
    }
    bencher.bench_local(|| meters.render(&Gauges::default()));
}

fn audiences(meters: &Meters, count: usize) -> Vec<(Arc<ExchangeMeter>, Arc<PoolMeter>)> {
    let possible = &Fault::ALL[..12];
    let held = (0..count).map(|n| {
        let name = name(&format!("audience-{n}"));
        let exchange = meters.exchange(&name, &name, Arm::Stable, possible);
        (exchange, meters.pool(&name, Arm::Stable))
    });
    held.collect()
}
