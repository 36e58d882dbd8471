//! A histogram counted by many workers, and what was read of one.

use std::{sync::Arc, time::Duration};

use super::{cells::Cells, edges::Edges};

/// Durations, counted by bucket, and their sum.
pub(super) struct Histogram {
    edges: Arc<Edges>,
    /// The buckets, then the sum in microseconds.
    cells: Cells,
}

/// What was read of a histogram.
#[derive(Clone, Debug)]
pub struct Distribution {
    edges: Arc<Edges>,
    counts: Box<[u64]>,
    sum_us: u64,
}

// === impl Histogram ===

impl Histogram {
    pub(super) fn new(rows: usize, edges: Arc<Edges>) -> Self {
        let cells = Cells::new(rows, edges.buckets() + 1);
        Self { edges, cells }
    }

    /// Counts `value` in the row `worker`.
    #[inline]
    pub(super) fn record(&self, worker: usize, value: Duration) {
        self.cells.add(worker, self.edges.bucket(value), 1);
        self.cells.add(worker, self.edges.buckets(), microseconds(value));
    }

    pub(super) fn read(&self) -> Distribution {
        let buckets = self.edges.buckets();
        Distribution {
            edges: Arc::clone(&self.edges),
            counts: (0..buckets).map(|bucket| self.cells.sum(bucket)).collect(),
            sum_us: self.cells.sum(buckets),
        }
    }
}

// === impl Distribution ===

impl Distribution {
    /// How many samples there are.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The samples' sum in seconds.
    pub fn sum_seconds(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// Samples by rendered edge, each with all below it, and the text of the edge.
    pub(super) fn cumulative(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut next = 0;
        let mut total = 0;
        self.edges.rendered().map(move |(bucket, le)| {
            total += self.counts[next..=bucket].iter().sum::<u64>();
            next = bucket + 1;
            (le, total)
        })
    }

    /// What has been counted since `earlier` was read. A histogram that began anew in between
    /// counts as a whole.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let pairs = || self.counts.iter().zip(&earlier.counts);
        if pairs().any(|(now, before)| now < before) {
            return self.clone();
        }
        Distribution {
            edges: Arc::clone(&self.edges),
            counts: pairs().map(|(now, before)| now - before).collect(),
            sum_us: self.sum_us.saturating_sub(earlier.sum_us),
        }
    }

    /// Adds what another histogram with the same edges has counted.
    pub fn absorb(&mut self, other: &Distribution) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// The duration that the share `q` of all samples does not exceed, within the resolution of
    /// the buckets; above the last edge, that edge. None without samples.
    pub fn quantile(&self, q: f64) -> Option<Duration> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = (q * count as f64).clamp(1.0, count as f64);
        let mut below = 0.0;
        for (bucket, in_bucket) in self.counts.iter().enumerate() {
            let in_bucket = *in_bucket as f64;
            if in_bucket > 0.0 && below + in_bucket >= rank {
                let lower = self.edges.upper(bucket.wrapping_sub(1)).unwrap_or_default();
                let upper = self.edges.upper(bucket).unwrap_or(lower);
                return Some(lower + (upper - lower).mul_f64((rank - below) / in_bucket));
            }
            below += in_bucket;
        }
        None
    }

    /// The share of samples that do not exceed `limit`, exact when it is one of the edges, else
    /// those below the nearest lower edge. None without samples.
    pub fn share_within(&self, limit: Duration) -> Option<f64> {
        let whole = (0..self.counts.len())
            .take_while(|bucket| self.edges.upper(*bucket).is_some_and(|upper| upper <= limit));
        let within: u64 = whole.map(|bucket| self.counts[bucket]).sum();
        let count = self.count();
        (count > 0).then(|| within as f64 / count as f64)
    }
}

// === free functions ===

/// Rounded, so that the sum of many is right. Nanoseconds would wrap within weeks where thousands
/// of long answers are in progress at once.
fn microseconds(value: Duration) -> u64 {
    let whole = value.as_secs().saturating_mul(1_000_000);
    whole.saturating_add(u64::from((value.subsec_nanos() + 500) / 1_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn histogram(samples: &[Duration]) -> Histogram {
        let histogram = Histogram::new(3, Arc::new(Edges::with(&[])));
        for (index, sample) in samples.iter().enumerate() {
            histogram.record(index % 3, *sample);
        }
        histogram
    }

    #[test]
    fn workers_count_into_one_distribution() {
        let read = histogram(&[MS, 2 * MS, 300 * MS, 301 * MS, Duration::from_secs(900)]).read();
        assert_eq!(read.count(), 5);
        assert!((read.sum_seconds() - 900.604).abs() < 1e-9);
        let at = |le: &str| read.cumulative().find(|(edge, _)| *edge == le).map(|(_, n)| n);
        assert_eq!([at("0.001"), at("0.3"), at("60.0")], [Some(1), Some(3), Some(4)]);
    }

    #[test]
    fn a_quantile_is_near_the_sample_it_stands_for() {
        let samples: Vec<Duration> = (1..=1_000).map(|ms| ms * MS).collect();
        let read = histogram(&samples).read();
        for (q, exact_ms) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0)] {
            let found = read.quantile(q).expect("there are samples").as_secs_f64() * 1e3;
            assert!((found - exact_ms).abs() < 0.03 * exact_ms, "{q}: {found}");
        }
        assert_eq!(histogram(&[]).read().quantile(0.5), None);
    }

    #[test]
    fn the_share_within_an_edge_is_exact() {
        let read = histogram(&[299 * MS, 300 * MS, 301 * MS, 5 * MS]).read();
        assert_eq!(read.share_within(300 * MS), Some(0.75));
        assert_eq!(histogram(&[]).read().share_within(MS), None);
    }

    #[test]
    fn a_difference_is_what_came_in_between() {
        let histogram = histogram(&[MS]);
        let before = histogram.read();
        histogram.record(0, 40 * MS);
        let between = histogram.read().since(&before);
        assert_eq!((between.count(), between.quantile(1.0)), (1, Some(40 * MS)));
        assert_eq!(before.since(&histogram.read()).count(), 1, "one that began anew is whole");
    }
}
