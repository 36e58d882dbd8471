//! What a slot costs: taking one and giving it back while nobody waits, alone and beside another
//! thread, and handing one over to who has waited longest.
//!
//! Neither may depend on how many endpoints a pool has, nor on how many wait.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use divan::{AllocProfiler, Bencher, black_box};
use usher::{
    config::{AddressSpec, Balance, Dialect, EndpointSpec},
    name::Name,
    upstream::{Asking, Endpoints, Patience, Pool, Terms},
};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

/// Two threads want slots of the same two endpoints: what they share is what this shows.
#[divan::bench(args = [2, 10, 1_000], threads = [1, 2])]
fn take_and_give_back(bencher: Bencher<'_, '_>, endpoints: u16) {
    let pool = pool(endpoints, 1_000);
    bencher.with_inputs(fastrand::Rng::new).bench_refs(|random| {
        let lease = pool.lease(&Asking::default(), random).expect("there is a slot");
        drop(black_box(lease));
    });
}

/// No endpoint has a free slot: one more begins to wait, and leaves again.
#[divan::bench(args = [2, 10, 500])]
fn find_none_and_wait(bencher: Bencher<'_, '_>, endpoints: u16) {
    let pool = pool(endpoints, 1);
    let stake = pool.queue().stake(&Name::parse("everyone").expect("a name"), 1, 1, 1.0);
    let patience = Duration::from_secs(3600);
    let terms = Patience { wait: patience, own: patience, length: 10 };
    let mut random = fastrand::Rng::new();
    let mut take = || pool.lease(&Asking::default(), &mut random);
    let held: Vec<_> = (0..endpoints).map(|_| take().expect("there is a slot")).collect();
    bencher.bench_local(|| {
        assert!(take().is_err());
        let entered = pool.queue().enter(&stake, &Asking::default(), terms, Instant::now());
        drop(black_box(entered.expect("there is room")));
    });
    drop(held);
}

/// The slot of the only endpoint goes from hand to hand.
#[divan::bench(args = [1, 100, 10_000])]
fn hand_over(bencher: Bencher<'_, '_>, waiting: usize) {
    let pool = pool(1, 1);
    let stake = pool.queue().stake(&Name::parse("everyone").expect("a name"), 1, 1, 1.0);
    let patience = Duration::from_secs(3600);
    let terms = Patience { wait: patience, own: patience, length: waiting + 1 };
    let enter = || {
        let entered = pool.queue().enter(&stake, &Asking::default(), terms, Instant::now());
        entered.expect("there is room")
    };
    let mut random = fastrand::Rng::new();
    let mut held = pool.lease(&Asking::default(), &mut random).ok();
    let mut line: VecDeque<_> = (0..waiting).map(|_| enter()).collect();
    bencher.bench_local(|| {
        line.push_back(enter());
        drop(held.take().expect("it is held"));
        let first = line.pop_front().expect("somebody waits");
        held = first.leave().ok().map(|grant| grant.lease);
    });
}

fn pool(endpoints: u16, capacity: u32) -> Pool {
    let spec = |number| EndpointSpec {
        address: AddressSpec::Socket(([127, 0, 0, 1], 10_000 + number).into()),
        weight: 1,
    };
    let terms = Terms {
        specs: (0..endpoints).map(spec).collect(),
        capacity,
        balance: Balance::LeastBusy,
        slow_start: Duration::ZERO,
        dialect: Dialect::default(),
    };
    Pool::new(terms, Arc::new(Endpoints::new(2)), Arc::default())
}
