//! Every change in what an endpoint is good for, in order, with its reason.
//!
//! Changes are rare, so that one lock and a log line for each cost nothing that matters. The last
//! ones are kept for `status`; whoever counts them asks for those that came since it last did.

use std::{collections::VecDeque, time::SystemTime};

use parking_lot::Mutex;

use crate::meters::EndpointEvent as What;

/// How many changes are kept.
const KEPT: usize = 128;

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Counts up by one with every event of this process.
    pub number: u64,
    /// When.
    pub at: SystemTime,
    /// The number of the endpoint.
    pub endpoint_id: u32,
    /// Where the endpoint is.
    pub endpoint: String,
    /// What happened.
    pub what: What,
    /// Why, as half a sentence.
    pub reason: String,
}

/// The last changes.
#[derive(Debug, Default)]
pub struct Journal(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    next: u64,
    events: VecDeque<Event>,
}

// === impl Journal ===

impl Journal {
    /// Writes down what happened, here and in the log for people.
    pub fn note(&self, endpoint_id: u32, endpoint: &str, what: What, reason: String) {
        let name = what.name();
        // Somebody may want to look at these.
        if matches!(what, What::Ejected | What::Down) {
            tracing::warn!(endpoint, event = name, reason, "an endpoint is {name}: {reason}");
        } else {
            tracing::info!(endpoint, event = name, reason, "an endpoint is {name}: {reason}");
        }
        let mut kept = self.0.lock();
        let number = kept.next;
        kept.next += 1;
        if kept.events.len() == KEPT {
            kept.events.pop_front();
        }
        let endpoint = endpoint.to_owned();
        kept.events.push_back(Event {
            number,
            at: SystemTime::now(),
            endpoint_id,
            endpoint,
            what,
            reason,
        });
    }

    /// Those kept whose number is at least `number`, in order.
    pub fn since(&self, number: u64) -> Vec<Event> {
        let kept = self.0.lock();
        kept.events.iter().filter(|event| event.number >= number).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_changes_are_kept_in_order() {
        let journal = Journal::default();
        for n in 0..300 {
            journal.note(n, "a", What::Up, "it is".into());
        }
        let numbers: Vec<u64> = journal.since(0).iter().map(|event| event.number).collect();
        assert_eq!(numbers, (300 - KEPT as u64..300).collect::<Vec<_>>());
        assert_eq!(journal.since(298).len(), 2);
        assert!(journal.since(300).is_empty());
    }
}
