//! Slots, leases and queues of pools together, on one thread.

mod model;

use std::time::{Duration, Instant};

use super::*;
use crate::{
    config::{AddressSpec, Balance, Dialect, EndpointSpec},
    name::Name,
    upstream::{
        Asking, Connections, Endpoints, Grant, Lacking, Patience, Pool, Refused, Shelves, Stake,
        Terms, Waiting,
        wire::{Socket, Stream},
    },
};

/// A pool of endpoints at these ports.
fn pool(ports: &[u16], capacity: u32, endpoints: &Arc<Endpoints>) -> Pool {
    Pool::new(terms(ports, capacity), endpoints.clone(), Arc::default())
}

fn terms(ports: &[u16], capacity: u32) -> Terms {
    let spec = |&port: &u16| EndpointSpec {
        address: AddressSpec::Socket(([127, 0, 0, 1], port).into()),
        weight: 1,
    };
    let (specs, slow_start) = (ports.iter().map(spec).collect(), Duration::ZERO);
    Terms { specs, capacity, balance: Balance::LeastBusy, slow_start, dialect: Dialect::default() }
}

fn stake(pool: &Pool) -> Arc<Stake> {
    pool.queue().stake(&Name::parse("everyone").expect("a name"), 1, 1, 1.0)
}

fn lease(pool: &Pool) -> Result<Lease, Lacking> {
    pool.lease(&Asking::default(), &mut fastrand::Rng::with_seed(1))
}

fn enter(pool: &Pool, tried: &[u32]) -> Waiting {
    enter_for(Duration::from_secs(1), pool, tried)
}

fn enter_for(wait: Duration, pool: &Pool, tried: &[u32]) -> Waiting {
    let patience = Patience { wait, own: wait, length: 10 };
    let asking = Asking { tried, ..Asking::default() };
    pool.queue().enter(&stake(pool), &asking, patience, Instant::now()).expect("there is room")
}

/// What it was told so far.
fn told(waiting: Waiting) -> Result<Grant, Refused> {
    waiting.leave()
}

#[test]
fn a_slot_that_is_given_back_goes_to_the_first_who_waits() {
    let pool = pool(&[1], 1, &Arc::default());
    let held = lease(&pool).expect("a slot");
    let (first, second) = (enter(&pool, &[]), enter(&pool, &[]));
    assert_eq!(pool.queue().waiting(), 2);
    drop(held);
    assert_eq!(pool.queue().waiting(), 1);
    let granted = told(first).expect("a slot");
    assert_eq!(lease(&pool).expect_err("it is taken"), Lacking::Slot);
    assert_eq!(granted.lease.endpoint().in_flight(), 1);
    drop(granted);
    assert!(told(second).is_ok());
    assert!(lease(&pool).is_ok(), "nobody waits, and it is free");
}

#[test]
fn a_grant_whose_waiter_has_gone_passes_on() {
    let pool = pool(&[1], 1, &Arc::default());
    let held = lease(&pool).expect("a slot");
    let (first, second) = (enter(&pool, &[]), enter(&pool, &[]));
    drop(held);
    drop(first);
    assert!(told(second).is_ok());
    let held = lease(&pool).expect("a slot");
    drop(enter(&pool, &[]));
    assert_eq!(pool.queue().waiting(), 0, "whoever leaves is not there any more");
    drop(held);
    assert_eq!(lease(&pool).expect("a slot").endpoint().in_flight(), 1);
}

#[tokio::test]
async fn a_connection_goes_with_its_slot_past_whoever_has_gone_and_stays_when_nobody_waits() {
    let pool = pool(&[1], 1, &Arc::default());
    let connections = Arc::new(Connections::of(0, Arc::new(Shelves::of(2))));
    let (idle, now) = (Duration::from_secs(15), Instant::now());
    let home = Home { connections: &connections, idle, now };
    let (ours, _theirs) = tokio::net::UnixStream::pair().expect("sockets");
    let connection = Connection::alone(Stream::Plain(Socket::Unix(ours)));
    let held = lease(&pool).expect("a slot");
    let (gone, next, last) = (enter(&pool, &[]), enter(&pool, &[]), enter(&pool, &[]));
    held.give_back(Some(connection), home);
    assert!(connections.is_empty(), "it is on its way");
    drop(gone);
    let granted = told(next).expect("a slot");
    let (connection, ..) = granted.spare.expect("and the connection").into_parts();
    granted.lease.give_back(Some(connection), home);
    drop(last);
    assert_eq!(connections.len(), 1, "it came back from the last one");
    assert!(lease(&pool).is_ok(), "and so did the slot");
}

#[test]
fn a_newcomer_does_not_overtake_those_who_wait() {
    let pool = pool(&[1, 2], 1, &Arc::default());
    let held = [lease(&pool), lease(&pool)].map(|lease| lease.expect("a slot"));
    let tried: Vec<u32> = held.iter().map(|lease| lease.endpoint().id()).collect();
    let picky = enter(&pool, &tried[..1]);
    let [one, other] = held;
    drop(one);
    assert_eq!(lease(&pool).expect_err("somebody waits"), Lacking::Slot);
    let newcomer = enter(&pool, &[]);
    assert!(told(newcomer).is_ok(), "but the slot is of no use to who was first");
    drop(other);
    assert!(told(picky).is_ok());
}

#[test]
fn an_address_in_two_pools_shares_its_slots_and_serves_the_oldest_of_both() {
    let endpoints = Arc::default();
    let (one, other) = (pool(&[1], 1, &endpoints), pool(&[1], 1, &endpoints));
    let held = lease(&one).expect("a slot");
    assert_eq!(lease(&other).expect_err("it is the same slot"), Lacking::Slot);
    let first = enter(&other, &[]);
    let second = enter(&one, &[]);
    drop(held);
    let granted = told(first).expect("the oldest gets it");
    assert_eq!(one.queue().waiting(), 1);
    drop(granted);
    assert!(told(second).is_ok());
}

#[test]
fn whoever_waits_is_served_by_the_members_that_come_by_a_reload() {
    let endpoints = Arc::default();
    let old = pool(&[1], 1, &endpoints);
    let _held = lease(&old).expect("a slot");
    let waiting = enter(&old, &[]);
    let new = old.successor(terms(&[2], 1));
    let granted = told(waiting).expect("the new one has a slot");
    assert_eq!(granted.lease.endpoint().as_str(), "127.0.0.1:2");
    drop(granted);
    drop(old);
    let held = lease(&new).expect("a slot");
    let waiting = enter(&new, &[]);
    drop(held);
    assert!(told(waiting).is_ok(), "the old pool's end changes nothing");
}

#[test]
fn more_slots_go_to_those_who_wait_and_fewer_hold_once_they_are_given_back() {
    let endpoints = Arc::default();
    let old = pool(&[1], 1, &endpoints);
    let held = lease(&old).expect("a slot");
    let waiting = enter(&old, &[]);
    let new = old.successor(terms(&[1], 2));
    let granted = told(waiting).expect("there are two now");
    assert_eq!(new.queue().slots(), 2);
    let new = new.successor(terms(&[1], 1));
    drop(granted);
    assert_eq!(lease(&new).expect_err("one is held, and there is one"), Lacking::Slot);
    drop(held);
    assert!(lease(&new).is_ok());
}

#[test]
fn an_endpoint_that_becomes_usable_serves_those_who_wait() {
    let endpoints: Arc<Endpoints> = Arc::default();
    let pool = pool(&[1], 1, &endpoints);
    let address = crate::upstream::Address::Socket(([127, 0, 0, 1], 1).into());
    endpoints.drain(&address);
    assert_eq!(lease(&pool).expect_err("it is drained"), Lacking::Endpoint);
    let waiting = enter(&pool, &[]);
    endpoints.undrain(&address);
    assert!(told(waiting).is_ok());
}

#[test]
fn an_orphan_keeps_its_slot() {
    let pool = pool(&[1], 1, &Arc::default());
    let mut orphan = lease(&pool).expect("a slot");
    orphan.orphan();
    orphan.orphan();
    let endpoint = orphan.endpoint().clone();
    assert_eq!((endpoint.in_flight(), endpoint.orphans()), (1, 1));
    assert_eq!(lease(&pool).expect_err("it is held"), Lacking::Slot);
    drop(orphan);
    assert_eq!((endpoint.in_flight(), endpoint.orphans()), (0, 0));
}

#[test]
fn a_pool_that_has_gone_leaves_nothing_behind() {
    let endpoints: Arc<Endpoints> = Arc::default();
    let gone = pool(&[1], 1, &endpoints);
    let endpoint = Arc::downgrade(&gone.members().iter().next().expect("one").endpoint);
    drop(gone);
    assert!(endpoint.upgrade().is_none());
}

#[test]
fn an_endpoint_that_is_new_or_back_beside_others_gets_its_slots_one_by_one() {
    let over = Duration::from_secs(3600);
    let slowly = |ports: &[u16]| Terms { slow_start: over, ..terms(ports, 4) };
    let first = Pool::new(slowly(&[1]), Arc::default(), Arc::default());
    let all = |pool: &Pool| std::iter::from_fn(|| lease(pool).ok()).collect::<Vec<_>>();
    assert_eq!(all(&first).len(), 4, "there is no other that could serve meanwhile");
    let both = first.successor(slowly(&[1, 2]));
    assert_eq!(all(&both).len(), 4 + 1);
    let new = both.members().iter().nth(1).expect("the new one").endpoint.clone();
    let held = all(&both);
    let waiting = enter(&both, &[]);
    new.grow(Instant::now() + over / 2);
    assert!(told(waiting).is_ok(), "more slots serve those who wait");
    new.grow(Instant::now() + over);
    drop(held);
    assert_eq!(all(&both).len(), 8);
    both.recovered(&new, Instant::now());
    assert_eq!(all(&both).len(), 4 + 1);
}
