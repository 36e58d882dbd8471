//! What is known of names, as one process tells the next: JSON.
//!
//! ```json
//! [{ "source": "dns", "name": "web.shop", "family": "auto",
//!    "places": [{ "ip": "10.0.0.3", "port": null, "weight": 1 }] }]
//! ```
//!
//! Fields are added, never renamed. A name of which nothing is known is left out.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{PLACES_MAX, Place, Question};
use crate::config::Family;

/// The highest weight that a name can tell.
const WEIGHT_MAX: u32 = 65_535;

/// The places of one name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    source: String,
    name: String,
    #[serde(default)]
    family: String,
    pub(super) places: Vec<KeptPlace>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct KeptPlace {
    ip: IpAddr,
    #[serde(default)]
    port: Option<u16>,
    #[serde(default)]
    weight: u32,
}

// === impl Kept ===

impl Kept {
    pub(super) fn of(question: &Question, places: &[Place]) -> Self {
        let kept = |&Place { ip, port, weight }: &Place| KeptPlace { ip, port, weight };
        Self {
            source: question.source().to_owned(),
            name: question.name().to_owned(),
            family: family(question).to_owned(),
            places: places.iter().map(kept).collect(),
        }
    }

    /// Whether it is what is known of `question`.
    pub(super) fn is_about(&self, question: &Question) -> bool {
        let asked = (question.source(), question.name(), family(question));
        asked == (&*self.source, &*self.name, &*self.family)
    }

    /// The places, whatever another process says within the bounds of any look-up.
    pub(super) fn places(&self) -> Vec<Place> {
        let place = |&KeptPlace { ip, port, weight }: &KeptPlace| {
            let weight = weight.clamp(1, WEIGHT_MAX);
            Place { ip, port: port.filter(|port| *port > 0), weight }
        };
        let mut places: Vec<Place> = self.places.iter().take(PLACES_MAX).map(place).collect();
        places.sort();
        places.dedup_by_key(|place| (place.ip, place.port));
        places
    }
}

fn family(question: &Question) -> &'static str {
    match question {
        Question::System(_) => "",
        Question::Hosts(_, family) | Question::Service(_, family) => match family {
            Family::Auto => "auto",
            Family::V4 => "ipv4",
            Family::V6 => "ipv6",
            Family::Both => "both",
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discover::Directory;

    #[test]
    fn what_is_told_is_about_the_same_question_and_no_other() {
        let place = Place { ip: [10, 0, 0, 1].into(), port: Some(80), weight: 3 };
        let hosts = |family| Question::Hosts("web".to_owned(), family);
        let told = serde_json::to_string(&[Kept::of(&hosts(Family::V4), &[place])]).expect("JSON");
        let kept: Vec<Kept> = serde_json::from_str(&told).expect("it is what was written");
        let directory = Directory::default();
        for other in [hosts(Family::Auto), Question::System("web".to_owned())] {
            assert!(!directory.take_over(&other, &kept), "{other:?}");
        }
        assert!(directory.take_over(&hosts(Family::V4), &kept));
        assert_eq!(directory.places(&hosts(Family::V4)), [place]);
        assert!(directory.report(&hosts(Family::V4)).inherited);
        assert_eq!(directory.keep([hosts(Family::V4)].into_iter()), kept, "and is told on");
    }

    #[test]
    fn whatever_another_process_says_stays_within_bounds() {
        let text = r#"{"source":"system","name":"a","mood":"good","places":[
            {"ip":"10.0.0.1","weight":4294967295},{"ip":"10.0.0.1","port":0},{"ip":"::1"}]}"#;
        let kept: Kept = serde_json::from_str(text).expect("what is not known is passed over");
        let places = kept.places();
        assert!(places.len() == 2 && places.iter().all(|it| (1..=WEIGHT_MAX).contains(&it.weight)));
        assert!(kept.is_about(&Question::System("a".to_owned())));
    }
}
