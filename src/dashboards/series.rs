//! Expressions over usher's series.

use crate::meters::names::Family;

/// How far back a rate looks: what Grafana takes for the step and the scrapes there are.
const LATELY: &str = "$__rate_interval";

/// Where series come from: all there are, or those that were chosen.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    selector: &'a str,
}

// === impl Source ===

impl<'a> Source<'a> {
    pub(super) fn new(selector: &'a str) -> Self {
        Self { selector }
    }

    /// The series `name` with `matchers` and those that were chosen.
    pub(super) fn named(self, name: &str, matchers: &str) -> String {
        let both = [matchers, self.selector].into_iter().filter(|it| !it.is_empty());
        let both = both.collect::<Vec<_>>().join(",");
        if both.is_empty() { name.to_owned() } else { format!("{name}{{{both}}}") }
    }

    /// The series of `family` with `matchers` and those that were chosen.
    pub(super) fn of(self, family: &Family, matchers: &str) -> String {
        self.named(family.name, matchers)
    }

    /// How much a counter grows a second, over all series that agree in `by`.
    pub(super) fn rate(self, by: &str, family: &Family, matchers: &str) -> String {
        sum(by, &format!("rate({}[{LATELY}])", self.of(family, matchers)))
    }

    /// What so large a share of a histogram's samples is not above.
    pub(super) fn quantile(self, share: f64, by: &str, family: &Family, matchers: &str) -> String {
        let buckets = self.named(&format!("{}_bucket", family.name), matchers);
        let by = if by.is_empty() { "le".to_owned() } else { format!("{by}, le") };
        let rates = sum(&by, &format!("rate({buckets}[{LATELY}])"));
        format!("histogram_quantile({share}, {rates})")
    }

    /// The same for what is looked at most: three queries with their legends.
    pub(super) fn percentiles(self, family: &Family, matchers: &str) -> [(String, String); 3] {
        [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)]
            .map(|(name, share)| (self.quantile(share, "", family, matchers), name.to_owned()))
    }
}

/// The sum over all series that agree in `by`.
pub(super) fn sum(by: &str, expression: &str) -> String {
    over("sum", by, expression)
}

/// The largest among all series that agree in `by`.
pub(super) fn max(by: &str, expression: &str) -> String {
    over("max", by, expression)
}

fn over(how: &str, by: &str, expression: &str) -> String {
    if by.is_empty() {
        format!("{how}({expression})")
    } else {
        format!("{how} by ({by}) ({expression})")
    }
}
