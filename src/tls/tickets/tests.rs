//! Tickets over the hours, and from one process to the next.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{
    key::{BESIDE_BYTES, SECRET_BYTES, TICKET_BYTES_MAX},
    *,
};
use crate::tls::{Secret, UnknownName};

const MINUTE: u64 = 60;

fn spec(lowest: Version) -> ServerSpec {
    let unknown_name = UnknownName::First;
    ServerSpec { certificates: Vec::new(), unknown_name, lowest, clients: None, any_host: true }
}

fn tickets() -> Tickets {
    Tickets::of(&spec(Version::Tls12), None).expect("there are random bytes")
}

/// What another process is told.
fn told(tickets: &Tickets) -> KeptTickets {
    let text = serde_json::to_string(&tickets.keep("a".to_owned())).expect("it has JSON");
    serde_json::from_str(&text).expect("it is what was written")
}

fn opened(tickets: &Tickets, ticket: &[u8], now: u64) -> bool {
    tickets.0.open(ticket, now).as_deref() == Some(b"a session")
}

fn sealed(tickets: &Tickets, now: u64) -> Vec<u8> {
    tickets.0.seal(b"a session", now).expect("it is sealed")
}

fn names(tickets: &Tickets) -> Vec<[u8; NAME_BYTES]> {
    tickets.0.keys.load().all().map(|key| key.name).collect()
}

#[test]
fn a_ticket_is_opened_by_who_sealed_it_and_not_when_a_bit_of_it_is_another() {
    let (tickets, now) = (tickets(), now());
    let ticket = sealed(&tickets, now);
    assert!(opened(&tickets, &ticket, now));
    assert!(!opened(&self::tickets(), &ticket, now), "another has other keys");
    assert_ne!(sealed(&tickets, now), ticket, "no two are alike");
    for at in 0..ticket.len() {
        let mut other = ticket.clone();
        other[at] ^= 1;
        assert_eq!(tickets.0.open(&other, now), None, "byte {at}");
        assert_eq!(tickets.0.open(&ticket[..at], now), None, "{at} bytes");
    }
}

#[test]
fn a_session_that_fits_into_no_ticket_has_none() {
    let (tickets, now) = (tickets(), now());
    let room = TICKET_BYTES_MAX - BESIDE_BYTES;
    let ticket = tickets.0.seal(&vec![7; room], now).expect("it fits");
    assert_eq!(ticket.len(), TICKET_BYTES_MAX);
    assert_eq!(tickets.0.open(&ticket, now).map(|session| session.len()), Some(room));
    assert_eq!(tickets.0.seal(&vec![7; room + 1], now), None);
}

#[test]
fn a_key_seals_for_six_hours_and_opens_for_as_long_again() {
    let (tickets, now) = (tickets(), now());
    let first = sealed(&tickets, now + SEALS - MINUTE);
    let second = sealed(&tickets, now + SEALS + MINUTE);
    assert_ne!(first[..NAME_BYTES], second[..NAME_BYTES]);
    assert!(opened(&tickets, &first, now + OPENS - MINUTE));
    assert!(!opened(&tickets, &first, now + OPENS + MINUTE), "though nobody has turned since");
    assert!(opened(&tickets, &second, now + OPENS + MINUTE));
    // Nobody came for two days: nothing of then is left.
    let late = sealed(&tickets, now + 4 * OPENS);
    assert_eq!(names(&tickets).len(), 1);
    // A clock that is set back makes no key live until it is again where it was.
    assert!(!opened(&tickets, &late, now + OPENS));
    assert_ne!(sealed(&tickets, now + OPENS)[..NAME_BYTES], late[..NAME_BYTES]);
}

#[test]
fn another_process_goes_on_as_this_one_would_have() {
    let (old, now) = (tickets(), now());
    let first = sealed(&old, now);
    let second = sealed(&old, now + SEALS + MINUTE);
    let handed = now + SEALS + 10 * MINUTE;
    let new = tickets();
    new.0.take_over(&told(&old), handed);
    assert_eq!(names(&new), names(&old));
    for tickets in [&old, &new] {
        assert!(opened(tickets, &first, now + OPENS - MINUTE));
        assert!(!opened(tickets, &first, now + OPENS + MINUTE));
        assert!(opened(tickets, &second, now + OPENS + MINUTE));
    }
    let third = sealed(&new, now + 2 * SEALS);
    assert!(opened(&old, &third, now + 2 * SEALS), "the same key seals");
    let fourth = sealed(&new, now + 2 * SEALS + 2 * MINUTE);
    assert!(!opened(&old, &fourth, now + 2 * SEALS + 2 * MINUTE), "for six hours in all");
    // What is said once more takes nothing back.
    let before = names(&new);
    new.0.take_over(&told(&old), now + 2 * SEALS + 3 * MINUTE);
    assert_eq!(names(&new), before);
}

#[test]
fn keys_for_another_policy_or_of_no_use_are_not_taken() {
    let (old, now) = (tickets(), now());
    let ticket = sealed(&old, now);
    let other = Tickets::of(&spec(Version::Tls13), None).expect("there are random bytes");
    other.0.take_over(&told(&old), now);
    assert!(!opened(&other, &ticket, now));
    // Even the same key does not open what was sealed for another policy.
    let key = old.0.keys.load_full();
    let unbound = key.sealing.open(&ticket[NAME_BYTES..], &other.0.policy);
    assert_eq!(unbound, None);

    let refused = |change: &dyn Fn(&mut KeptTickets)| {
        let (new, mut kept) = (tickets(), told(&old));
        let own = names(&new);
        change(&mut kept);
        new.0.take_over(&kept, now);
        names(&new) == own
    };
    assert!(!refused(&|_| {}));
    assert!(refused(&|kept| kept.policy.clear()));
    assert!(refused(&|kept| kept.seal = "AES-512".to_owned()));
    assert!(refused(&|kept| kept.keys.clear()));
    assert!(refused(&|kept| kept.keys[0].made -= OPENS));
    assert!(refused(&|kept| kept.keys[0].made = u64::MAX));
    assert!(refused(&|kept| kept.keys[0].name = "?".to_owned()));
    assert!(refused(&|kept| kept.keys[0].secret = Secret::new(STANDARD.encode([7; 31]))));
    assert!(refused(&|kept| kept.keys[0].secret = Secret::new(STANDARD.encode([7; 33]))));
}

#[test]
fn nobody_is_shown_a_secret() {
    let tickets = tickets();
    let kept = told(&tickets);
    let secret = kept.keys[0].secret.text();
    assert_eq!(secret.len(), SECRET_BYTES.div_ceil(3) * 4);
    let shown = format!("{kept:?} {tickets:?} {:?}", tickets.producer());
    assert!(shown.contains(&*tickets.0.policy) && !shown.contains(secret), "{shown}");
}

#[test]
fn sessions_are_those_of_the_version_in_use() {
    let lock = include_str!("../../../Cargo.lock");
    let (_, behind) = lock.split_once("name = \"rustls\"\nversion = \"").expect("it is in use");
    let version = SESSIONS.strip_prefix("rustls ").expect("whose they are");
    assert!(behind.starts_with(version), "tickets of {SESSIONS} may read otherwise now");
}
