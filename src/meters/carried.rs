//! What a predecessor has counted, shown together with what this process counts.
//!
//! A process that took over from another goes on where that one stands: its counters and histograms
//! are added to ours whenever they are shown. The predecessor says its sums anew as long as it
//! drains, and each time they replace what it said before, so that nothing is counted twice and
//! nothing that it still finishes is lost. What it says is its own text, in which its predecessors
//! are contained.
//!
//! Gauges that are summed over replicas are added as long as it lives: its requests in flight are
//! still somebody's. A series of an audience, a pool or a listener that is no longer there is not
//! shown.

use rustc_hash::FxHashMap;

use super::names::{self, Family, Kind, OverReplicas};

/// What a predecessor has counted.
#[derive(Default)]
pub(super) struct Carried {
    families: Vec<Told>,
    /// Whether it has gone; its gauges are at 0 then.
    gone: bool,
}

/// What it told of one metric.
#[derive(Clone)]
struct Told {
    family: &'static Family,
    /// Samples in their order, by name and labels.
    samples: Vec<(String, f64)>,
    values: FxHashMap<String, f64>,
    /// The cumulative counts of a histogram, by the labels without the edge; edges ascend.
    buckets: FxHashMap<String, Vec<(f64, f64)>>,
}

// === impl Carried ===

impl Carried {
    /// Takes what a predecessor shows, in place of what it showed before.
    pub(super) fn replace(&mut self, text: &str) {
        let mut families: Vec<Told> = Vec::new();
        for (key, value) in text.lines().filter_map(sample) {
            let Some(family) = family_of(key) else { continue };
            if family.over_replicas != OverReplicas::Sum {
                continue;
            }
            let known = families.iter().position(|told| std::ptr::eq(told.family, family));
            let at = known.unwrap_or_else(|| {
                families.push(Told::of(family));
                families.len() - 1
            });
            families[at].take(key, value);
        }
        self.keep_what_is_told_no_more(&mut families);
        *self = Self { families, gone: false };
    }

    /// What it has counted stays counted, also where it does not show it any more: of a listener
    /// that it has handed over.
    fn keep_what_is_told_no_more(&self, families: &mut Vec<Told>) {
        for old in self.families.iter().filter(|old| old.family.kind == Kind::Counter) {
            let known = families.iter_mut().find(|told| std::ptr::eq(told.family, old.family));
            let Some(told) = known else {
                families.push(old.clone());
                continue;
            };
            for (key, value) in &old.samples {
                if !told.values.contains_key(key) {
                    told.take(key, *value);
                }
            }
        }
    }

    /// The predecessor has gone.
    pub(super) fn gone(&mut self) {
        self.gone = true;
    }

    /// `own` with what was carried added.
    pub(super) fn add_to(&self, own: String) -> String {
        if self.families.is_empty() {
            return own;
        }
        let mut text = String::with_capacity(own.len() + own.len() / 4);
        let mut seen = Vec::new();
        let mut family = None;
        for line in own.lines() {
            if let Some((key, value)) = sample(line) {
                self.add(&mut text, family, key, value);
                seen.push(key);
                continue;
            }
            if let Some(name) = line.strip_prefix("# HELP ").and_then(|it| it.split(' ').next()) {
                self.finish(&mut text, family, &seen, &own);
                seen.clear();
                family = names::ALL.iter().copied().find(|family| family.name == name);
            }
            text.push_str(line);
            text.push('\n');
        }
        self.finish(&mut text, family, &seen, &own);
        text
    }

    fn told(&self, family: Option<&'static Family>) -> Option<&Told> {
        let told =
            self.families.iter().find(|told| Some(told.family.name) == family.map(|it| it.name));
        told.filter(|told| told.family.kind != Kind::Gauge || !self.gone)
    }

    fn add(&self, text: &mut String, family: Option<&'static Family>, key: &str, value: f64) {
        let carried = self.told(family).map_or(0.0, |told| told.value(key));
        line(text, key, value + carried);
    }

    /// Shows at the end of a metric what only the predecessor has.
    fn finish(&self, text: &mut String, family: Option<&'static Family>, seen: &[&str], own: &str) {
        let Some(told) = self.told(family) else { return };
        let lives = |key: &str| {
            ["audience=\"", "pool=\"", "listener=\""].iter().all(|label| {
                let Some((_, behind)) = key.split_once(label) else { return true };
                let value = behind.split('"').next().unwrap_or_default();
                own.contains(&format!("{label}{value}\""))
            })
        };
        let is_new = |key: &str| match edge(key) {
            // Buckets are ours where there are any, whatever their edges are.
            (stem, Some(_)) => {
                !seen.iter().any(|seen| edge(seen).1.is_some() && edge(seen).0 == stem)
            }
            (_, None) => !seen.contains(&key),
        };
        for (key, value) in told.samples.iter().filter(|(key, _)| lives(key) && is_new(key)) {
            line(text, key, *value);
        }
    }
}

// === impl Told ===

impl Told {
    fn of(family: &'static Family) -> Self {
        let (values, buckets) = (FxHashMap::default(), FxHashMap::default());
        Self { family, samples: Vec::new(), values, buckets }
    }

    fn take(&mut self, key: &str, value: f64) {
        if let (stem, Some(edge)) = edge(key) {
            self.buckets.entry(stem.to_owned()).or_default().push((edge, value));
        }
        self.samples.push((key.to_owned(), value));
        self.values.insert(key.to_owned(), value);
    }

    /// What is to be added to our own sample `key`. Where the edges of a histogram have changed,
    /// what lay below the next lower edge certainly lies below this one.
    fn value(&self, key: &str) -> f64 {
        if let Some(value) = self.values.get(key) {
            return *value;
        }
        let (stem, Some(edge)) = edge(key) else { return 0.0 };
        let below = self.buckets.get(stem).into_iter().flatten().rfind(|(known, _)| *known <= edge);
        below.map_or(0.0, |(_, count)| *count)
    }
}

// === free functions ===

/// Name with labels, and value.
fn sample(line: &str) -> Option<(&str, f64)> {
    let (key, value) = line.rsplit_once(' ').filter(|_| !line.starts_with('#'))?;
    Some((key, value.parse().ok()?))
}

fn family_of(key: &str) -> Option<&'static Family> {
    let name = key.split('{').next().unwrap_or_default();
    names::ALL.iter().copied().find(|family| match family.kind {
        Kind::Counter | Kind::Gauge => family.name == name,
        Kind::Histogram => name
            .strip_prefix(family.name)
            .is_some_and(|suffix| matches!(suffix, "_bucket" | "_sum" | "_count")),
    })
}

/// What stands before the edge of a bucket, and the edge; it is the last label.
fn edge(key: &str) -> (&str, Option<f64>) {
    let Some((stem, behind)) = key.split_once(",le=\"") else { return (key, None) };
    (stem, behind.split('"').next().and_then(|edge| edge.parse().ok()))
}

fn line(text: &mut String, key: &str, value: f64) {
    text.push_str(key);
    text.push(' ');
    text.push_str(&value.to_string());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "\
# HELP usher_requests_total Requests.
# TYPE usher_requests_total counter
usher_requests_total{audience=\"a\",status=\"200\"} 3
# HELP usher_requests_in_flight Now.
# TYPE usher_requests_in_flight gauge
usher_requests_in_flight{audience=\"a\"} 1
# HELP usher_first_byte_seconds Time.
# TYPE usher_first_byte_seconds histogram
usher_first_byte_seconds_bucket{audience=\"a\",le=\"0.1\"} 1
usher_first_byte_seconds_bucket{audience=\"a\",le=\"0.5\"} 2
usher_first_byte_seconds_bucket{audience=\"a\",le=\"+Inf\"} 3
usher_first_byte_seconds_sum{audience=\"a\"} 1.5
usher_first_byte_seconds_count{audience=\"a\"} 3
# HELP usher_config_generation Number.
# TYPE usher_config_generation gauge
usher_config_generation 1

";

    fn shown(carried: &Carried, key: &str) -> Option<f64> {
        let text = carried.add_to(OWN.to_owned());
        let mut values = text.lines().filter_map(sample).filter(|(known, _)| *known == key);
        let value = values.next().map(|(_, value)| value);
        assert_eq!(values.next(), None, "{key} twice");
        value
    }

    fn carried(text: &str) -> Carried {
        let mut carried = Carried::default();
        carried.replace(text);
        carried
    }

    #[test]
    fn without_a_predecessor_nothing_is_touched() {
        assert_eq!(Carried::default().add_to(OWN.to_owned()), OWN);
    }

    #[test]
    fn counters_are_added_and_what_is_said_again_replaces_what_was_said() {
        let mut carried = carried("usher_requests_total{audience=\"a\",status=\"200\"} 10\n");
        let key = "usher_requests_total{audience=\"a\",status=\"200\"}";
        assert_eq!(shown(&carried, key), Some(13.0));
        carried.replace("usher_requests_total{audience=\"a\",status=\"200\"} 12\n");
        assert_eq!(shown(&carried, key), Some(15.0));
        carried.gone();
        assert_eq!(shown(&carried, key), Some(15.0), "counters stay when it has gone");
    }

    #[test]
    fn a_counter_stays_that_the_predecessor_shows_no_more() {
        let row = |count| format!("usher_tls_handshakes_total{{listener=\"l\"}} {count}\n");
        let requests = "usher_requests_total{audience=\"a\",status=\"200\"} 12\n";
        let mut carried = carried(&(row(40) + requests));
        let key = "usher_tls_handshakes_total{listener=\"l\"}";
        let own = format!("# HELP usher_tls_handshakes_total Handshakes.\n{}", row(2));
        let shown = |carried: &Carried| {
            let text = carried.add_to(own.clone());
            text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u32>().ok())
        };
        assert_eq!(shown(&carried), Some(42));
        carried.replace(&row(41));
        carried.replace(requests);
        assert_eq!(shown(&carried), Some(43), "its listener is handed over");
        carried.gone();
        assert_eq!(shown(&carried), Some(43));
    }

    #[test]
    fn what_only_the_predecessor_has_is_shown_where_its_audience_lives() {
        let carried = carried(
            "usher_requests_total{audience=\"a\",status=\"404\"} 4\n\
             usher_requests_total{audience=\"gone\",status=\"200\"} 5\n",
        );
        let text = carried.add_to(OWN.to_owned());
        let at = |text: &str, part: &str| text.find(part).expect(part);
        let new = at(&text, "status=\"404\"} 4\n");
        assert!(new < at(&text, "# HELP usher_requests_in_flight"), "with its family:\n{text}");
        assert!(!text.contains("gone"), "{text}");
    }

    #[test]
    fn gauges_count_as_long_as_it_lives_and_those_that_are_no_sums_never() {
        let mut carried =
            carried("usher_requests_in_flight{audience=\"a\"} 7\nusher_config_generation 9\n");
        let key = "usher_requests_in_flight{audience=\"a\"}";
        assert_eq!(shown(&carried, key), Some(8.0));
        assert_eq!(shown(&carried, "usher_config_generation"), Some(1.0));
        carried.gone();
        assert_eq!(shown(&carried, key), Some(1.0));
    }

    #[test]
    fn a_histogram_with_other_edges_stays_one() {
        let carried = carried(
            "usher_first_byte_seconds_bucket{audience=\"a\",le=\"0.1\"} 10\n\
             usher_first_byte_seconds_bucket{audience=\"a\",le=\"0.2\"} 20\n\
             usher_first_byte_seconds_bucket{audience=\"a\",le=\"+Inf\"} 30\n\
             usher_first_byte_seconds_sum{audience=\"a\"} 9.25\n\
             usher_first_byte_seconds_count{audience=\"a\"} 30\n",
        );
        let bucket =
            |edge| format!("usher_first_byte_seconds_bucket{{audience=\"a\",le=\"{edge}\"}}");
        assert_eq!(shown(&carried, &bucket("0.1")), Some(11.0));
        assert_eq!(shown(&carried, &bucket("0.2")), None);
        assert_eq!(shown(&carried, &bucket("0.5")), Some(22.0));
        assert_eq!(shown(&carried, &bucket("+Inf")), Some(33.0));
        assert_eq!(shown(&carried, "usher_first_byte_seconds_sum{audience=\"a\"}"), Some(10.75));
    }
}
