//! The statuses that have a label of their own. Whatever else the monolith answers is `other`.

use http::StatusCode;

use crate::fault::Outcome;

/// The statuses that are told apart, ascending.
pub const KNOWN: [u16; 43] = [
    101, 200, 201, 202, 204, 205, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 402, 403, 404,
    405, 406, 408, 409, 410, 412, 413, 414, 415, 416, 421, 422, 423, 424, 426, 428, 429, 431, 451,
    500, 502, 503, 504, 508,
];

/// The label of any other status.
pub const OTHER: &str = "other";

/// The label of a request that got no answer.
pub const NONE: &str = "none";

const OTHER_INDEX: u8 = KNOWN.len() as u8;
const NONE_INDEX: u8 = OTHER_INDEX + 1;
const LABELS: usize = KNOWN.len() + 2;

/// One slot for each pair of a status label and an outcome.
pub(super) const SLOTS: usize = LABELS * Outcome::ALL.len();

/// By status, from 0: the index of its label.
const INDEX: [u8; 600] = {
    let mut index = [OTHER_INDEX; 600];
    let mut at = 0;
    while at < KNOWN.len() {
        index[KNOWN[at] as usize] = at as u8;
        at += 1;
    }
    index
};

/// The slot of an answer with `status`, or of a request that got none, that ended as `outcome`.
///
/// A client that left has status 499 in the log only: here it is one that got no answer.
#[inline]
pub(super) fn slot(status: Option<StatusCode>, outcome: Outcome) -> usize {
    let label = match status.map(|status| status.as_u16()) {
        None => NONE_INDEX,
        Some(499) if outcome == Outcome::Abandoned => NONE_INDEX,
        Some(status) => INDEX.get(usize::from(status)).copied().unwrap_or(OTHER_INDEX),
    };
    usize::from(label) * Outcome::ALL.len() + outcome as usize
}

/// What `slot` stands for.
pub(super) fn labels(slot: usize) -> (String, Outcome) {
    let outcome = Outcome::ALL[slot % Outcome::ALL.len()];
    let label = match slot / Outcome::ALL.len() {
        known if known < KNOWN.len() => KNOWN[known].to_string(),
        other if other == usize::from(OTHER_INDEX) => OTHER.to_owned(),
        _ => NONE.to_owned(),
    };
    (label, outcome)
}

/// Whether `slot` counts requests that failed or were answered with 500 or above.
pub(super) fn is_bad(slot: usize) -> bool {
    let status = KNOWN.get(slot / Outcome::ALL.len());
    status.is_some_and(|status| *status >= 500)
        || slot % Outcome::ALL.len() == Outcome::Failed as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(status: u16, outcome: Outcome) -> (String, Outcome) {
        labels(slot(StatusCode::from_u16(status).ok(), outcome))
    }

    #[test]
    fn a_slot_gives_back_the_labels_it_was_found_by() {
        assert!(KNOWN.is_sorted());
        for outcome in Outcome::ALL {
            for status in KNOWN {
                assert_eq!(label(status, outcome), (status.to_string(), outcome));
            }
            assert_eq!(labels(slot(None, outcome)), (NONE.to_owned(), outcome));
        }
    }

    #[test]
    fn a_status_outside_the_list_is_other() {
        for status in [100, 103, 207, 299, 418, 499, 599, 600, 999] {
            assert_eq!(label(status, Outcome::Served).0, OTHER);
        }
    }

    #[test]
    fn a_client_that_left_got_no_status() {
        assert_eq!(label(499, Outcome::Abandoned).0, NONE);
    }

    #[test]
    fn outcomes_are_numbered_as_they_are_listed() {
        for (index, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, index);
        }
    }
}
