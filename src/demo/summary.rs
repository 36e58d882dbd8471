//! What is left to say at the end: how everybody fared, and whether the counters add up.

use std::time::Duration;

use super::{cast::CAST, traffic::Tally};
use crate::{
    control::screen::{milliseconds, share},
    meters::{names::REQUESTS, recent::Lately},
};

/// What the counters say about what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They counted as much as was sent.
    AddsUp,
    /// They counted more: others have asked as well.
    Others(u64),
    /// They counted less.
    Missing(u64),
}

/// What was sent, and what was counted of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Requests that clients sent.
    pub sent: u64,
    /// Of those, the ones that brought no answer: usher may never have seen them.
    pub lost: u64,
    /// Requests in the counters.
    pub counted: u64,
}

// === impl Account ===

impl Account {
    /// One for each part, from what its clients say and from the text of `/metrics`.
    pub fn all(tallies: &[Tally], metrics: &str) -> Vec<Self> {
        let account = |(part, tally): (&super::cast::Part, &Tally)| Self {
            sent: tally.sent(),
            lost: tally.lost(),
            counted: counted(metrics, part.name),
        };
        CAST.iter().zip(tallies).map(account).collect()
    }

    /// Whether what was counted is what was sent.
    pub fn verdict(self) -> Verdict {
        let seen_at_least = self.sent.saturating_sub(self.lost);
        if self.counted < seen_at_least {
            Verdict::Missing(seen_at_least - self.counted)
        } else if self.counted > self.sent {
            Verdict::Others(self.counted - self.sent)
        } else {
            Verdict::AddsUp
        }
    }
}

// === free functions ===

/// The summary's lines. `lately` and `accounts` reach back to the beginning.
pub fn summary(over: Duration, lately: &[Lately], accounts: &[Account]) -> Vec<String> {
    let seconds = over.as_secs_f64();
    let sent: u64 = accounts.iter().map(|account| account.sent).sum();
    let mut lines = vec![
        format!("{sent} requests in {seconds:.1} s"),
        format!(
            "{:<12}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}",
            "AUDIENCE", "SENT", "COUNTED", "REQ/S", "P50", "P99", "BAD"
        ),
    ];
    for (part, account) in CAST.iter().zip(accounts) {
        let fared = lately.iter().find(|lately| lately.name.as_str() == part.name);
        let quantile = |share| {
            let time = fared.and_then(|it| it.first_byte.quantile(share));
            milliseconds(time.map(|time| time.as_secs_f64() * 1e3))
        };
        let requests = fared.map_or(0, Lately::requests);
        let bad = fared.map_or(0, |it| it.bad) as f64 / requests.max(1) as f64;
        lines.push(format!(
            "{:<12}{:>9}{:>9}{:>9.1}{:>9}{:>9}{:>10}",
            part.name,
            account.sent,
            account.counted,
            account.sent as f64 / seconds.max(f64::EPSILON),
            quantile(0.50),
            quantile(0.99),
            share(Some(bad)),
        ));
    }
    lines.push(conclusion(accounts));
    lines
}

fn conclusion(accounts: &[Account]) -> String {
    let (mut others, mut missing) = (0, 0);
    for account in accounts {
        match account.verdict() {
            Verdict::AddsUp => {}
            Verdict::Others(count) => others += count,
            Verdict::Missing(count) => missing += count,
        }
    }
    let sum = |of: fn(&Account) -> u64| accounts.iter().map(of).sum::<u64>();
    let (counted, lost) = (sum(|it| it.counted), sum(|it| it.lost));
    let others = if others > 0 { format!("; {others} were others'") } else { String::new() };
    let lost = if lost > 0 { format!("; {lost} got no answer") } else { String::new() };
    if missing > 0 {
        return format!(
            "The counters of /metrics miss {missing} requests that were answered{lost}."
        );
    }
    format!("The counters of /metrics add up: {counted} requests, all accounted for{others}{lost}.")
}

/// How many requests of `audience` the text of `/metrics` has.
pub fn counted(metrics: &str, audience: &str) -> u64 {
    let begin = format!("{}{{", REQUESTS.name);
    let label = format!("audience=\"{audience}\"");
    let samples = metrics.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(&begin)?.rsplit_once('}')?;
        labels.split(',').any(|it| it == label).then(|| value.trim().parse::<u64>().ok())?
    });
    samples.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_audiences_own_samples_are_counted() {
        let name = REQUESTS.name;
        let text = format!(
            "# HELP {name} what\n{name}{{audience=\"driver\",status=\"200\"}} 7\n\
             {name}{{audience=\"driver\",status=\"503\"}} 2\n\
             {name}{{audience=\"drivers\",status=\"200\"}} 50\nother{{audience=\"driver\"}} 9\n"
        );
        assert_eq!((counted(&text, "driver"), counted(&text, "admin")), (9, 0));
    }

    #[test]
    fn what_was_lost_may_have_been_counted_or_not() {
        let verdict = |sent, lost, counted| Account { sent, lost, counted }.verdict();
        assert_eq!(verdict(100, 0, 100), Verdict::AddsUp);
        assert_eq!(verdict(100, 2, 99), Verdict::AddsUp);
        assert_eq!(verdict(100, 2, 97), Verdict::Missing(1));
        assert_eq!(verdict(100, 0, 103), Verdict::Others(3));
    }

    #[test]
    fn the_conclusion_is_one_sentence() {
        let account = |counted| Account { sent: 10, lost: 0, counted };
        let told = |counted: [u64; 2]| conclusion(&counted.map(account));
        assert!(told([10, 10]).contains("add up: 20 requests"));
        assert!(told([10, 12]).contains("22 requests, all accounted for; 2 were others'."));
        assert!(told([9, 12]).contains("miss 1 requests"));
        let lost = conclusion(&[Account { sent: 10, lost: 3, counted: 8 }]);
        assert!(lost.ends_with("8 requests, all accounted for; 3 got no answer."), "{lost}");
    }
}
