//! The same endpoint for the same client, as long as it has room.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998): each endpoint has a score for the key, and
//! the highest wins. One endpoint more or less moves only the keys that it gets or had; all
//! replicas agree, because scores come from addresses alone. Loads are bounded (Mirrokni, Thorup
//! and Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2016): an endpoint that has a
//! quarter more than its part leaves the key to the one that comes next.

use super::Member;
use crate::policy::sticky::Place;

/// An endpoint may have so many quarters of its part of all requests in progress.
const QUARTERS_MAX: u64 = 5;

/// The endpoint for `key` among those that are open and not above their bound.
pub(super) fn choose(members: &[Member], key: Place) -> Option<&Member> {
    let requests = members.iter().map(|m| u64::from(m.endpoint.in_flight())).sum::<u64>() + 1;
    let weights = members.iter().map(|m| u64::from(m.weight)).sum::<u64>();
    let within = |m: &&Member| {
        let bound = (QUARTERS_MAX * requests * u64::from(m.weight)).div_ceil(4 * weights);
        u64::from(m.endpoint.in_flight()) < bound
    };
    let open = members.iter().filter(|m| m.endpoint.is_open()).filter(within);
    open.map(|m| (score(m, key), m)).max_by(|one, other| one.0.total_cmp(&other.0)).map(|it| it.1)
}

/// Weighted rendezvous (Schindler and others): twice the weight wins twice as often.
fn score(member: &Member, key: Place) -> f64 {
    let mixed = key.beside(member.endpoint.place()).bits();
    // In (0, 1), so that the logarithm is below 0.
    let drawn = ((mixed >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
    -f64::from(member.weight) / drawn.ln()
}
