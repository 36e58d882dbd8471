//! What happened to whom, in one sentence, from what was measured before and after.

use std::time::Duration;

use super::cast::CAST;
use crate::{
    control::screen::{milliseconds, share},
    meters::recent::Lately,
};

/// A p99 that is this many times another, and more than `APART_MS` away from it, has changed.
const TIMES: f64 = 1.5;
const APART_MS: f64 = 25.0;

/// A share of bad requests that is further from another has changed.
const APART_BAD: f64 = 0.005;

/// How an audience fared over some time.
#[derive(Clone, Debug, PartialEq)]
pub struct Fared {
    /// Who, as a sentence calls them.
    pub people: &'static str,
    /// 99 of 100 answers began within this time; none without answers.
    pub p99_ms: Option<f64>,
    /// The share of requests that went wrong.
    pub bad: f64,
    /// The most frequent reason.
    pub fault: Option<&'static str>,
}

/// What changed for an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Worse,
    Better,
    Nothing,
}

/// One sentence for what `cause` brought.
pub fn sentence(cause: &str, before: &[Fared], after: &[Fared]) -> String {
    let pairs: Vec<_> = before.iter().zip(after).collect();
    let of = |wanted| {
        pairs.iter().filter(move |(before, after)| change(before, after) == wanted).copied()
    };
    let mut parts: Vec<String> = of(Change::Worse).map(|(b, a)| worse(b, a)).collect();
    parts.extend(of(Change::Better).map(|(b, a)| better(b, a)));
    let same: Vec<String> = of(Change::Nothing).map(|(b, a)| numbers(b, a)).collect();
    if parts.is_empty() {
        return format!("{cause}, and all are unaffected: {}.", and(&same));
    }
    if !same.is_empty() {
        parts.push(format!("{} are unaffected", and(&same)));
    }
    format!("{cause}: {}.", parts.join("; "))
}

fn change(before: &Fared, after: &Fared) -> Change {
    let slower = |than: Option<f64>, now: Option<f64>| match (than, now) {
        (Some(than), Some(now)) => now > than * TIMES && now > than + APART_MS,
        // Those who get no answer at all wait longer than anybody.
        (Some(_), None) => true,
        (None, _) => false,
    };
    if after.bad > before.bad + APART_BAD || slower(before.p99_ms, after.p99_ms) {
        Change::Worse
    } else if before.bad > after.bad + APART_BAD || slower(after.p99_ms, before.p99_ms) {
        Change::Better
    } else {
        Change::Nothing
    }
}

fn worse(before: &Fared, after: &Fared) -> String {
    let who = after.people;
    let (then, now) = (milliseconds(before.p99_ms), milliseconds(after.p99_ms));
    let waits = match after.p99_ms {
        Some(_) => format!("{who} now wait {now} at p99 ({then} before)"),
        None => format!("{who} got no answer (p99 {then} before)"),
    };
    if after.bad <= before.bad + APART_BAD {
        return waits;
    }
    let fault = after.fault.map(|fault| format!(", {fault}")).unwrap_or_default();
    format!("{waits}, and {} of their requests went wrong{fault}", share(Some(after.bad)))
}

fn better(before: &Fared, after: &Fared) -> String {
    let (then, now) = (milliseconds(before.p99_ms), milliseconds(after.p99_ms));
    let bad = if before.bad > after.bad + APART_BAD {
        format!(", {} went wrong before", share(Some(before.bad)))
    } else {
        String::new()
    };
    format!("{} now wait {now} at p99 ({then} before{bad})", after.people)
}

fn numbers(before: &Fared, after: &Fared) -> String {
    let (then, now) = (milliseconds(before.p99_ms), milliseconds(after.p99_ms));
    format!("{} (p99 {then} before, {now} now)", after.people)
}

fn and(parts: &[String]) -> String {
    match parts {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

// === impl Fared ===

impl Fared {
    /// One for each part, in their order.
    pub fn of(lately: &[Lately]) -> Vec<Self> {
        let parts = CAST.iter().filter_map(|part| {
            let lately = lately.iter().find(|lately| lately.name.as_str() == part.name)?;
            let requests = lately.requests().max(1);
            Some(Self {
                people: part.people,
                p99_ms: lately.first_byte.quantile(0.99).map(in_ms),
                bad: lately.bad as f64 / requests as f64,
                fault: lately.faults.first().map(|(fault, _)| fault.name()),
            })
        });
        parts.collect()
    }
}

fn in_ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fared(people: &'static str, p99_ms: f64, bad: f64) -> Fared {
        Fared { people, p99_ms: Some(p99_ms), bad, fault: (bad > 0.0).then_some("no_endpoint") }
    }

    fn all(admins: f64, customers: f64) -> Vec<Fared> {
        vec![
            fared("admins", admins, 0.0),
            fared("drivers", 8.0, 0.0),
            fared("customers", customers, 0.0),
        ]
    }

    #[test]
    fn a_flood_is_told_by_who_waits_and_who_does_not() {
        assert_eq!(
            sentence("flood", &all(480.0, 42.0), &all(3_100.0, 43.0)),
            "flood: admins now wait 3.1s at p99 (480ms before); drivers (p99 8ms before, 8ms now) \
             and customers (p99 42ms before, 43ms now) are unaffected."
        );
    }

    #[test]
    fn what_went_wrong_is_told_with_its_share_and_reason() {
        let mut after = all(480.0, 90.0);
        after[2] = fared("customers", 90.0, 0.125);
        let told = sentence("kill", &all(480.0, 42.0), &after);
        assert!(
            told.starts_with(
                "kill: customers now wait 90ms at p99 (42ms before), and 12.50% of their \
                 requests went wrong, no_endpoint; admins"
            ),
            "{told}"
        );
    }

    #[test]
    fn relief_is_told_as_well() {
        let told = sentence("calm", &all(3_100.0, 42.0), &all(480.0, 43.0));
        assert!(told.starts_with("calm: admins now wait 480ms at p99 (3.1s before); "), "{told}");
    }

    #[test]
    fn noise_is_no_news() {
        let told = sentence("nothing", &all(480.0, 20.0), &all(500.0, 44.0));
        assert!(told.starts_with("nothing, and all are unaffected: admins (p99 480ms"), "{told}");
    }

    #[test]
    fn those_without_an_answer_are_not_passed_over() {
        let mut after = all(480.0, 42.0);
        after[0].p99_ms = None;
        let told = sentence("stuck", &all(480.0, 42.0), &after);
        assert!(told.starts_with("stuck: admins got no answer (p99 480ms before); "), "{told}");
    }
}
