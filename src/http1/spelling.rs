//! Names of fields in the form that a map has them, remembered by how they were spelt.
//!
//! An application says the same few names all the time, and making one costs more than putting it
//! into the map. Only answers and what goes to endpoints over HTTP/2 are poured into maps.

use std::cell::RefCell;

use http::HeaderName;

/// How many a worker remembers; a power of two.
const PLACES: usize = 128;

/// Longer ones are made each time.
const NAME_BYTES_MAX: usize = 64;

type Place = Option<(Box<[u8]>, HeaderName)>;

thread_local! {
    static REMEMBERED: RefCell<[Place; PLACES]> = const { RefCell::new([const { None }; PLACES]) };
}

/// The name that is spelt so, if it is one.
pub fn name_of(spelt: &[u8]) -> Option<HeaderName> {
    if spelt.len() > NAME_BYTES_MAX {
        return HeaderName::from_bytes(spelt).ok();
    }
    REMEMBERED.with_borrow_mut(|places| {
        let place = &mut places[place_of(spelt)];
        if let Some((known, name)) = place
            && **known == *spelt
        {
            return Some(name.clone());
        }
        let name = HeaderName::from_bytes(spelt).ok()?;
        *place = Some((spelt.into(), name.clone()));
        Some(name)
    })
}

/// By its length, and by where names differ most: at their ends.
fn place_of(spelt: &[u8]) -> usize {
    let word = |bytes: Option<&[u8; 4]>| bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let (first, last) = (word(spelt.first_chunk()), word(spelt.last_chunk()));
    let mixed = (first ^ last.rotate_left(11) ^ spelt.len() as u32).wrapping_mul(0x9e37_79b1);
    (mixed >> 16) as usize % PLACES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_same_whether_it_is_remembered_or_made() {
        let long = format!("x-{}", "a".repeat(NAME_BYTES_MAX));
        for round in 0..3 {
            for spelt in ["Content-Type", "content-type", "X-Runtime", "a", "", "a b", &long] {
                let made = HeaderName::from_bytes(spelt.as_bytes()).ok();
                assert_eq!(name_of(spelt.as_bytes()), made, "{spelt} in round {round}");
            }
        }
    }

    #[test]
    fn more_names_than_are_remembered_are_still_told_apart() {
        for number in (0..10 * PLACES).chain(0..10 * PLACES) {
            let spelt = format!("X-Name-{number}");
            let name = name_of(spelt.as_bytes()).expect("a name");
            assert_eq!(name.as_str(), spelt.to_ascii_lowercase());
        }
    }

    #[test]
    fn what_rails_says_has_places_of_its_own() {
        let usual = [
            "Content-Type",
            "Content-Length",
            "Cache-Control",
            "ETag",
            "Set-Cookie",
            "Vary",
            "X-Request-Id",
            "X-Runtime",
            "X-Frame-Options",
            "X-XSS-Protection",
            "Date",
            "X-Content-Type-Options",
            "X-Download-Options",
            "X-Permitted-Cross-Domain-Policies",
            "Referrer-Policy",
            "Strict-Transport-Security",
            "Location",
            "Last-Modified",
            "Link",
        ];
        let places: std::collections::HashSet<_> =
            usual.iter().map(|name| place_of(name.as_bytes())).collect();
        assert!(places.len() + 2 >= usual.len(), "{} of {}", places.len(), usual.len());
    }
}
