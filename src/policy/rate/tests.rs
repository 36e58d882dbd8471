//! A limit against a bucket of tokens as it is drawn, and a table that is too small.

use std::{
    collections::VecDeque,
    net::{IpAddr, Ipv4Addr},
};

use proptest::prelude::*;

use super::*;

const CLIENT: Client = Client::Ip(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 9)));

fn limit(requests: u32, per_ms: u64, burst: u32) -> Limit {
    Limit { requests, per: Duration::from_millis(per_ms), burst }
}

fn of_client(limit: Limit) -> Limits {
    Limits { audience: None, client: Some(limit) }
}

fn ip(text: &str) -> Client {
    text.parse().expect("an address")
}

fn v4(bits: u32) -> Client {
    Client::Ip(Ipv4Addr::from_bits(bits).into())
}

#[test]
fn a_burst_may_come_at_once_and_then_one_each_interval() {
    for limits in
        [of_client(limit(10, 1000, 5)), Limits { audience: Some(limit(10, 1000, 5)), client: None }]
    {
        let origin = Instant::now();
        let meter = Meter::new(origin);
        let admitted = |at_ms| meter.admit(&limits, CLIENT, origin + Duration::from_millis(at_ms));
        assert!((0..5).all(|_| admitted(0).is_ok()), "{limits:?}");
        let wait = match admitted(0) {
            Err(Refused::Audience(wait) | Refused::Client(wait)) => wait,
            Ok(()) => panic!("the sixth was admitted"),
        };
        assert_eq!(wait, Duration::from_millis(100));
        assert!(admitted(99).is_err());
        assert!(admitted(100).is_ok() && admitted(100).is_err());
        // A long pause is worth a burst and no more.
        assert_eq!((0..9).filter(|_| admitted(60_000).is_ok()).count(), 5);
    }
}

#[test]
fn a_client_that_is_refused_takes_nothing_of_what_all_have() {
    let limits = Limits { audience: Some(limit(3, 1000, 3)), client: Some(limit(1, 1000, 1)) };
    let origin = Instant::now();
    let meter = Meter::new(origin);
    assert_eq!(meter.admit(&limits, CLIENT, origin), Ok(()));
    for _ in 0..10 {
        let refused = meter.admit(&limits, CLIENT, origin);
        assert_eq!(refused, Err(Refused::Client(Duration::from_secs(1))));
    }
    assert_eq!(meter.admit(&limits, ip("203.0.113.10"), origin), Ok(()));
    assert_eq!(meter.admit(&limits, ip("203.0.113.11"), origin), Ok(()));
    let refused = meter.admit(&limits, ip("203.0.113.12"), origin);
    assert!(matches!(refused, Err(Refused::Audience(_))), "{refused:?}");
}

#[test]
fn a_client_is_an_address_or_a_network_of_64_bits() {
    let same = |one, other| client_key(ip(one)) == client_key(ip(other));
    assert!(same("2001:db8:1:2::3", "2001:db8:1:2:ffff::9"));
    assert!(!same("2001:db8:1:2::3", "2001:db8:1:3::3"));
    assert!(same("203.0.113.9", "::ffff:203.0.113.9"));
    assert!(!same("203.0.113.9", "203.0.113.10"));
    assert!(!same("0.0.0.1", "::1"), "the families have nothing in common");
}

#[test]
fn more_clients_than_cells_are_forgotten_and_never_refused_for_others() {
    let limits = of_client(limit(1, 3_600_000, 1));
    let origin = Instant::now();
    let meter = Meter::new(origin);
    let clients = 2 * CLIENTS_MAX as u32;
    let refused =
        (0..clients).filter(|&client| meter.admit(&limits, v4(client), origin).is_err()).count();
    // Those whose set and tag are another's.
    assert!(refused < clients as usize / 1000, "{refused} were taken for others");
    assert!(meter.forgotten() > u64::from(clients) / 4, "{}", meter.forgotten());
    let known =
        (0..clients).filter(|&client| meter.admit(&limits, v4(client), origin).is_err()).count();
    assert!(known < CLIENTS_MAX);
}

#[test]
fn a_client_that_is_active_keeps_its_cell_while_others_come_and_go() {
    let limits = of_client(limit(1, 1000, 100));
    let origin = Instant::now();
    let meter = Meter::new(origin);
    (0..100).for_each(|_| assert!(meter.admit(&limits, CLIENT, origin).is_ok()));
    for other in 0..4 * CLIENTS_MAX as u32 {
        let _ = meter.admit(&limits, v4(other), origin);
    }
    assert!(meter.admit(&limits, CLIENT, origin).is_err(), "it has the most to wait for");
}

#[test]
fn workers_at_once_admit_no_more_than_one_would() {
    let limits = Limits { audience: Some(limit(1, 3_600_000, 1000)), ..Limits::default() };
    let clients = of_client(limit(1, 3_600_000, 1000));
    let origin = Instant::now();
    for limits in [limits, clients] {
        let meter = Meter::new(origin);
        let admitted: usize = std::thread::scope(|scope| {
            let work =
                || (0..1000).filter(|_| meter.admit(&limits, CLIENT, origin).is_ok()).count();
            let workers = [scope.spawn(work), scope.spawn(work)];
            workers.map(|worker| worker.join().expect("it counts")).iter().sum()
        });
        assert_eq!(admitted, 1000, "{limits:?}");
    }
}

#[test]
fn a_burst_is_worth_a_second_where_none_is_written() {
    assert_eq!(Limit::burst_of(10, Duration::from_secs(1)), 10);
    assert_eq!(Limit::burst_of(600, Duration::from_secs(60)), 10);
    assert_eq!(Limit::burst_of(5, Duration::from_secs(3600)), 1);
}

/// A bucket as it is drawn: `burst` tokens, one comes back each interval.
struct Bucket {
    limit: Limit,
    /// When each token that is gone comes back.
    gone: VecDeque<u64>,
    interval_us: u64,
}

impl Bucket {
    fn take(&mut self, now_us: u64) -> bool {
        while self.gone.front().is_some_and(|back| *back <= now_us) {
            self.gone.pop_front();
        }
        if self.gone.len() as u32 >= self.limit.burst {
            return false;
        }
        let last = self.gone.back().copied().unwrap_or(now_us).max(now_us);
        self.gone.push_back(last + self.interval_us);
        true
    }
}

proptest! {
    #[test]
    fn it_admits_what_a_bucket_of_tokens_would(
        requests in 1_u32..50,
        burst in 1_u32..20,
        gaps_ms in proptest::collection::vec(0_u64..200, 1..300),
    ) {
        let limit = Limit { requests, per: Duration::from_secs(1), burst };
        let interval_us = limit.terms(clients::TICKS).interval;
        let mut bucket = Bucket { limit, gone: VecDeque::new(), interval_us };
        let origin = Instant::now();
        let meter = Meter::new(origin);
        let mut now_ms = 0;
        for gap in gaps_ms {
            now_ms += gap;
            let at = origin + Duration::from_millis(now_ms);
            let admitted = meter.admit(&of_client(limit), CLIENT, at).is_ok();
            prop_assert_eq!(admitted, bucket.take(now_ms * 1000));
        }
    }
}
