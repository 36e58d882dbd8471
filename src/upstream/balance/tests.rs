//! The choice between endpoints: how loads spread, and what is never chosen.

use super::*;
use crate::{
    config::{self, HashBy},
    upstream::{
        address::Address,
        endpoint::Endpoints,
        health::{Cause, Totals},
    },
};

fn address(n: usize) -> Address {
    Address::Socket(([127, 0, 0, 1], n as u16 + 1).into())
}

fn key(who: u64) -> Option<Place> {
    Some(Place::of("balance", &who.to_le_bytes()))
}

fn members(weights: &[u32], balance: Balance) -> Members {
    members_of(&Endpoints::default(), weights, balance)
}

fn members_of(endpoints: &Endpoints, weights: &[u32], balance: Balance) -> Members {
    let member =
        |(n, &weight): (usize, &u32)| Member { endpoint: endpoints.at(&address(n)), weight };
    Members::new(weights.iter().enumerate().map(member).collect(), balance)
}

fn counts(members: &Members) -> Vec<u32> {
    members.iter().map(|m| m.endpoint.in_flight()).collect()
}

/// Takes `count` leases for `asking` and keeps them all; returns how many each endpoint has.
fn filled(members: &Members, count: usize, asking: &Asking<'_>) -> Vec<u32> {
    let mut random = fastrand::Rng::with_seed(3);
    let lease = |_| members.lease(asking, &mut random).expect("there are some");
    let leases: Vec<_> = (0..count).map(lease).collect();
    let counts = counts(members);
    drop(leases);
    counts
}

fn fill(members: &Members, count: usize) -> Vec<u32> {
    filled(members, count, &Asking::default())
}

#[test]
fn equal_endpoints_get_equal_loads() {
    let counts = fill(&members(&[1; 10], Balance::LeastBusy), 1_000);
    assert!(counts.iter().all(|&count| (95..=105).contains(&count)), "{counts:?}");
}

#[test]
fn loads_follow_the_weights() {
    let counts = fill(&members(&[1, 2, 5], Balance::LeastBusy), 800);
    assert!((90..=110).contains(&counts[0]), "{counts:?}");
    assert!((185..=215).contains(&counts[1]), "{counts:?}");
    assert!((480..=520).contains(&counts[2]), "{counts:?}");
    assert_eq!(fill(&members(&[1, 2, 5], Balance::RoundRobin), 800), [100, 200, 500]);
}

#[test]
fn turns_are_spread_out() {
    let members = members(&[1, 1, 1, 3], Balance::RoundRobin);
    let mut random = fastrand::Rng::with_seed(3);
    let mut last = None;
    for _ in 0..60 {
        let lease = members.lease(&Asking::default(), &mut random).expect("a slot");
        let id = lease.endpoint().id();
        assert!(last != Some(id) || id == 3, "{id} twice in a row");
        last = Some(id);
    }
}

#[test]
fn what_is_drained_is_not_chosen_and_the_others_share_its_load() {
    let endpoints = Endpoints::default();
    for balance in [Balance::LeastBusy, Balance::RoundRobin, Balance::Hash(HashBy::Client)] {
        for weights in [&[1, 1, 1, 1][..], &[1, 50, 1, 3]] {
            let members = members_of(&endpoints, weights, balance.clone());
            endpoints.drain(&address(1));
            let asking = Asking { key: key(7), ..Asking::default() };
            let counts = filled(&members, 300, &asking);
            assert_eq!((counts[1], counts.iter().sum::<u32>()), (0, 300), "{counts:?}");
            assert!(counts.iter().filter(|&&count| count > 0).count() == 3, "{counts:?}");
            endpoints.undrain(&address(1));
            assert!(filled(&members, 300, &asking)[1] > 0);
        }
    }
    let one = members_of(&endpoints, &[1], Balance::LeastBusy);
    endpoints.drain(&address(0));
    let mut random = fastrand::Rng::with_seed(1);
    let lacking = one.lease(&Asking::default(), &mut random).expect_err("it is drained");
    assert_eq!(lacking, Lacking::Endpoint);
}

#[test]
fn what_was_tried_is_not_chosen_again() {
    let members = members(&[1, 1, 1], Balance::LeastBusy);
    let mut random = fastrand::Rng::with_seed(1);
    let mut tried = Vec::new();
    while let Ok(lease) = members.lease(&Asking { tried: &tried, ..Asking::default() }, &mut random)
    {
        let id = lease.endpoint().id();
        assert!(!tried.contains(&id));
        tried.push(id);
    }
    assert_eq!(tried.len(), 3);
    let none = Members::default().lease(&Asking::default(), &mut random);
    assert_eq!(none.expect_err("there is none"), Lacking::Endpoint);
}

#[test]
fn a_pool_gives_as_many_slots_as_its_endpoints_have_whichever_way_they_are_chosen() {
    for balance in [Balance::LeastBusy, Balance::RoundRobin, Balance::Hash(HashBy::Client)] {
        let members = members(&[1, 9, 1], balance);
        members.iter().for_each(|member| member.endpoint.resize(2));
        let mut random = fastrand::Rng::with_seed(5);
        let asking = Asking { key: key(3), ..Asking::default() };
        let leases: Vec<_> =
            std::iter::from_fn(|| members.lease(&asking, &mut random).ok()).collect();
        assert_eq!(counts(&members), [2, 2, 2]);
        let lacking = members.lease(&asking, &mut random).expect_err("it is full");
        assert_eq!(lacking, Lacking::Slot);
        drop(leases);
        assert_eq!(counts(&members), [0, 0, 0]);
    }
}

#[test]
fn an_endpoint_that_fails_fast_attracts_no_traffic() {
    let members = members(&[1, 1], Balance::LeastBusy);
    let mut random = fastrand::Rng::with_seed(2);
    let [well, failing] = [0, 1].map(|n| members.members[n].endpoint.clone());
    let mut chosen = [0, 0];
    for now_ms in 0..1_000 {
        let asking = Asking { now_ms, ..Asking::default() };
        let lease = members.lease(&asking, &mut random).expect("a slot");
        if lease.endpoint().id() == failing.id() {
            chosen[1] += 1;
            failing.latency().note_failure(std::time::Duration::from_millis(1), now_ms);
        } else {
            chosen[0] += 1;
            well.latency().note(std::time::Duration::from_millis(50), now_ms);
        }
    }
    assert!(chosen[1] <= 3, "{chosen:?}");
    // After a while it is tried again.
    let later = Asking { now_ms: 60_000, ..Asking::default() };
    well.latency().note(std::time::Duration::from_millis(50), 60_000);
    let _busy = well.lease();
    let lease = members.lease(&later, &mut random).expect("a slot");
    assert_eq!(lease.endpoint().id(), failing.id());
}

#[test]
fn the_same_key_stays_at_one_endpoint_and_few_move_when_one_goes() {
    let endpoints = Endpoints::default();
    let members = members_of(&endpoints, &[1, 1, 1, 1, 2], Balance::Hash(HashBy::Client));
    let mut random = fastrand::Rng::with_seed(2);
    let mut place = |who: u64| {
        let asking = Asking { key: key(who), ..Asking::default() };
        members.lease(&asking, &mut random).expect("a slot").endpoint().id()
    };
    let before: Vec<u32> = (0..3_000).map(&mut place).collect();
    assert_eq!(before, (0..3_000).map(&mut place).collect::<Vec<_>>());
    let of = |id| before.iter().filter(|&&at| at == id).count();
    assert!((0..4).all(|id| (400..600).contains(&of(id))), "{:?}", [0, 1, 2, 3, 4].map(of));
    assert!((880..1_120).contains(&of(4)), "twice the weight: {}", of(4));
    endpoints.drain(&address(2));
    let after: Vec<u32> = (0..3_000).map(&mut place).collect();
    let moved = before.iter().zip(&after).filter(|(before, after)| before != after).count();
    assert_eq!(moved, of(2), "only those that were there");
}

#[test]
fn a_busy_key_spills_over_before_its_endpoint_has_a_quarter_more_than_its_part() {
    let members = members(&[1; 4], Balance::Hash(HashBy::Client));
    let asking = Asking { key: key(1), ..Asking::default() };
    let counts = filled(&members, 400, &asking);
    assert!(counts.iter().all(|&count| count <= 126), "{counts:?}");
}

#[test]
fn tunnels_are_balanced_by_their_own_count() {
    let members = members(&[1, 1], Balance::RoundRobin);
    let [one, other] = [0, 1].map(|n| members.members[n].endpoint.clone());
    let _tunnels: Vec<_> = (0..3).map(|_| one.tunnel()).collect();
    let _busy: Vec<_> = (0..5).map(|_| other.lease()).collect();
    let mut random = fastrand::Rng::with_seed(4);
    let asking = Asking { tunnel: true, ..Asking::default() };
    for _ in 0..20 {
        let lease = members.lease(&asking, &mut random).expect("a slot");
        assert_eq!(lease.endpoint().id(), other.id());
    }
}

#[test]
fn of_those_that_are_not_well_the_ejected_come_before_those_that_are_down() {
    let members = members(&[1, 1, 1], Balance::LeastBusy);
    let endpoint = |n: usize| &members.iter().nth(n).expect("there are three").endpoint;
    let policy = config::Health { fall: 1, ..config::Health::default() };
    endpoint(0).health().checked(false, "late", &policy);
    let ejection = config::Ejection::default();
    let now = std::time::Instant::now();
    endpoint(1).health().eject(now, Cause::Refused, &ejection, Totals::default());
    let mut random = fastrand::Rng::with_seed(1);
    let mut place = |tried: &[u32], when_unhealthy| {
        let lease =
            members.lease(&Asking { tried, when_unhealthy, ..Asking::default() }, &mut random);
        lease.map(|lease| lease.endpoint().id())
    };
    let [down, ejected, well] = [0, 1, 2].map(|n| endpoint(n).id());
    for _ in 0..20 {
        assert_eq!(place(&[], WhenUnhealthy::Try), Ok(well));
    }
    assert_eq!(place(&[well], WhenUnhealthy::Refuse), Err(Lacking::Endpoint));
    assert_eq!(place(&[well], WhenUnhealthy::Try), Ok(ejected));
    assert_eq!(place(&[well, ejected], WhenUnhealthy::Try), Ok(down));
}
