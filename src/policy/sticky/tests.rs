//! Where people stand: known answers, and how evenly and independently they are spread.

use proptest::prelude::*;

use super::*;

const USERS: u32 = 6_000;

/// A name for them, and the id of each user.
type Ids = (&'static str, fn(u32) -> String);

/// Ids as applications give them out, which are as unlike random ones as can be.
fn ids() -> [Ids; 4] {
    [
        ("numbers", |n| n.to_string()),
        ("padded numbers", |n| format!("user-{n:010}")),
        ("addresses", |n| format!("10.{}.{}.{}", n >> 16, n >> 8 & 255, n & 255)),
        ("a long common end", |n| format!("{n}@customers.shop.example.com")),
    ]
}

/// How many of the users fit, as a share.
fn share(fits: impl Fn(&[u8]) -> bool) -> f64 {
    let fitting = (1..=USERS).filter(|id| fits(id.to_string().as_bytes())).count();
    fitting as f64 / f64::from(USERS)
}

/// Pearson's statistic for `counts` that are expected to be equal.
fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum()
}

/// What `chi_square` of 99 degrees of freedom exceeds once in a million. Nothing here is drawn:
/// what passes once passes always.
const CHI_SQUARE_99_MAX: f64 = 181.0;

#[test]
fn it_is_the_same_in_every_version() {
    // As Ruby says: see docs/sticky.md.
    for (salt, who, place) in [
        ("release-7", "42", 0x5309_ca01_3271_7457_u64),
        ("", "", 0xaf55_70f5_a181_0b7a),
        ("balance", "42", 0x1c98_20aa_10fb_543d),
        ("balance", "192.0.2.7", 0x4015_1ce1_ff40_49b4),
        ("5.2", "jürgen", 0x9c27_fb1f_af4a_262d),
    ] {
        let found = Place::of(salt, who.as_bytes());
        assert_eq!(format!("{:016x}", found.bits()), format!("{place:016x}"), "{salt} {who}");
    }
}

#[test]
fn a_share_of_users_is_that_share() {
    for wanted in [0.01, 0.05, 0.5, 0.9] {
        let found = share(|user| Place::of("release-7", user).is_within(wanted));
        assert!((found - wanted).abs() < 0.02, "{found} and not {wanted}");
    }
    assert!(share(|user| Place::of("x", user).is_within(0.0)) == 0.0);
    assert!(share(|user| Place::of("x", user).is_within(1.0)) == 1.0);
}

#[test]
fn users_are_spread_evenly_whatever_their_ids_look_like() {
    for (what, id) in ids() {
        for salt in ["", "balance", "release-7", "release-8"] {
            let mut counts = [0; 100];
            for n in 0..USERS {
                let place = Place::of(salt, id(n).as_bytes());
                counts[(place.fraction() * 100.0) as usize] += 1;
            }
            let statistic = chi_square(&counts);
            assert!(statistic < CHI_SQUARE_99_MAX, "{what}, `{salt}`: {statistic}");
        }
    }
}

#[test]
fn where_they_stand_for_one_salt_says_nothing_of_another() {
    for (one, other) in [("a", "b"), ("release-7", "release-8"), ("5.1", "5.10"), ("", "balance")] {
        for (what, id) in ids() {
            // Ten by ten cells: evenly filled if and only if the two are independent.
            let mut counts = [0; 100];
            for n in 0..USERS {
                let who = id(n);
                let tenth = |salt| (Place::of(salt, who.as_bytes()).fraction() * 10.0) as usize;
                counts[tenth(one) * 10 + tenth(other)] += 1;
            }
            let statistic = chi_square(&counts);
            assert!(statistic < CHI_SQUARE_99_MAX, "{what}, {one} and {other}: {statistic}");
        }
    }
    assert_ne!(Place::of("ab", b"c"), Place::of("a", b"bc"), "where the salt ends counts");
}

#[test]
fn where_two_stand_together_is_spread_evenly_as_well() {
    let things: Vec<Place> =
        (1..=100).map(|n| Place::of("endpoint", format!("10.0.0.{n}:3000").as_bytes())).collect();
    let mut counts = [0; 100];
    for n in 0..USERS {
        let who = Place::of("balance", n.to_string().as_bytes());
        let highest = (0..100).max_by_key(|&at| who.beside(things[at]).bits());
        counts[highest.expect("there are some")] += 1;
    }
    let statistic = chi_square(&counts);
    assert!(statistic < CHI_SQUARE_99_MAX, "{statistic}");
}

proptest! {
    #[test]
    fn a_larger_share_holds_everybody_of_a_smaller_one(
        salt in ".{0,20}", who in ".{0,40}", one in 0.0..=1.0, other in 0.0..=1.0,
    ) {
        let place = Place::of(&salt, who.as_bytes());
        let (less, more) = if one < other { (one, other) } else { (other, one) };
        prop_assert!(!place.is_within(less) || place.is_within(more));
        prop_assert_eq!(place, Place::of(&salt, who.as_bytes()));
    }
}
