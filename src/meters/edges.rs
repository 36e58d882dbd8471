//! The edges between a histogram's buckets, shared by all histograms.
//!
//! An edge belongs to the bucket below it, as Prometheus' `le` says, exactly to the nanosecond.
//! Only some edges are rendered. The finer ones between them are for our own quantiles, so that
//! `usher status` need not guess within a bucket that reaches from 100 to 250 ms.

use std::time::Duration;

/// What is rendered beside the objectives, in microseconds.
const USUAL_US: [u64; 18] = [
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 200_000, 300_000, 500_000, 750_000,
    1_000_000, 1_500_000, 2_500_000, 5_000_000, 10_000_000, 30_000_000, 60_000_000,
];

/// Twenty steps of a decade, for what is not rendered.
const FINE_STEPS: [u64; 20] = [
    100, 112, 125, 140, 160, 180, 200, 224, 250, 280, 315, 355, 400, 450, 500, 560, 630, 710, 800,
    900,
];

/// The decades of the fine edges: from 100 µs to 100 s.
const FINE_DECADES_US: [u64; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

/// Bins within a power of two; together they find a bucket without a search.
const BINS_BITS: u32 = 3;
const BINS: usize = 496;

/// The upper edges of a histogram's buckets. Above the last one there is one more bucket.
#[derive(Debug)]
pub struct Edges {
    /// Ascending, in nanoseconds.
    ns: Box<[u64]>,
    /// Which of them are rendered, and the text of their `le`.
    rendered: Box<[(usize, String)]>,
    /// For each bin, the bucket of the smallest value in it.
    first: Box<[u16; BINS]>,
}

// === impl Edges ===

impl Edges {
    /// The usual edges and `more`.
    pub fn with(more: &[Duration]) -> Self {
        let usual = USUAL_US.iter().map(|us| us * 1_000);
        let mut rendered_ns: Vec<u64> = usual.chain(more.iter().map(|d| nanoseconds(*d))).collect();
        rendered_ns.sort_unstable();
        rendered_ns.dedup();
        let fine = FINE_DECADES_US.iter().flat_map(|us| FINE_STEPS.map(|step| step * us * 1_000));
        let mut ns: Vec<u64> = fine.chain(rendered_ns.iter().copied()).collect();
        ns.sort_unstable();
        ns.dedup();
        let rendered = rendered_ns.iter().map(|edge| {
            let index = ns.partition_point(|other| other < edge);
            (index, le_text(*edge))
        });
        Self { rendered: rendered.collect(), first: first_of_bins(&ns), ns: ns.into() }
    }

    /// How many buckets there are, the one above the last edge included.
    pub fn buckets(&self) -> usize {
        self.ns.len() + 1
    }

    /// The bucket that `value` falls into.
    #[inline]
    pub fn bucket(&self, value: Duration) -> usize {
        let value = nanoseconds(value);
        let mut bucket = usize::from(self.first[bin(value)]);
        // A bin is an eighth of a power of two wide: this takes a step or two.
        while bucket < self.ns.len() && value > self.ns[bucket] {
            bucket += 1;
        }
        bucket
    }

    /// The upper edge of `bucket`; none above the last one.
    pub fn upper(&self, bucket: usize) -> Option<Duration> {
        self.ns.get(bucket).map(|ns| Duration::from_nanos(*ns))
    }

    /// The edges that are rendered: the last bucket at or below each, and the text of its `le`.
    pub(super) fn rendered(&self) -> impl Iterator<Item = (usize, &str)> {
        self.rendered.iter().map(|(bucket, le)| (*bucket, le.as_str()))
    }
}

// === free functions ===

/// Nanoseconds as far as 64 bits go, which is for 584 years.
fn nanoseconds(value: Duration) -> u64 {
    let whole = value.as_secs().saturating_mul(1_000_000_000);
    whole.saturating_add(u64::from(value.subsec_nanos()))
}

/// Always with a point: Prometheus 3 would turn `1` into `1.0`, and old and new data would differ.
fn le_text(ns: u64) -> String {
    format!("{:?}", Duration::from_nanos(ns).as_secs_f64())
}

fn bin(ns: u64) -> usize {
    let Some(power) = ns.checked_ilog2().filter(|power| *power >= BINS_BITS) else {
        return ns as usize;
    };
    let shift = power - BINS_BITS;
    // The top bit and the next three, above the bins of all lower powers.
    ((shift as usize) << BINS_BITS) + (ns >> shift) as usize
}

/// The smallest value that falls into `bin`.
fn bin_floor(bin: usize) -> u64 {
    let width = 1 << BINS_BITS;
    if bin < 2 * width {
        return bin as u64;
    }
    let shift = bin / width - 1;
    ((bin % width + width) as u64) << shift
}

fn first_of_bins(ns: &[u64]) -> Box<[u16; BINS]> {
    let first = |bin| {
        let bucket = ns.partition_point(|edge| *edge < bin_floor(bin));
        u16::try_from(bucket).unwrap_or(u16::MAX)
    };
    Box::new(std::array::from_fn(first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_edge_belongs_to_the_bucket_below_it() {
        let edges = Edges::with(&[Duration::from_millis(333)]);
        for edge in (0..edges.buckets() - 1).filter_map(|bucket| edges.upper(bucket)) {
            let bucket = edges.bucket(edge);
            assert_eq!(edges.upper(bucket), Some(edge));
            assert_eq!(edges.bucket(edge + Duration::from_nanos(1)), bucket + 1, "{edge:?}");
        }
    }

    #[test]
    fn every_objective_is_rendered_once_and_with_a_point() {
        let edges = Edges::with(&[300 * MS, 333 * MS, 2_000 * MS, 2_000 * MS]);
        let texts: Vec<&str> = edges.rendered().map(|(_, le)| le).collect();
        assert_eq!(texts.len(), USUAL_US.len() + 2);
        for le in ["0.001", "0.3", "0.333", "1.0", "2.0", "60.0"] {
            assert_eq!(texts.iter().filter(|text| **text == le).count(), 1, "{le}");
        }
    }

    #[test]
    fn a_bin_begins_where_the_one_before_it_ends() {
        assert_eq!(bin(u64::MAX), BINS - 1);
        for index in 1..BINS {
            assert_eq!(bin(bin_floor(index)), index);
            assert_eq!(bin(bin_floor(index) - 1), index - 1);
        }
    }

    proptest! {
        #[test]
        fn the_bucket_is_the_one_a_search_finds(ns: u64, small in 0_u64..200_000_000_000) {
            let edges = Edges::with(&[Duration::from_micros(123_457)]);
            for value in [ns, small] {
                let searched = edges.ns.partition_point(|edge| *edge < value);
                prop_assert_eq!(edges.bucket(Duration::from_nanos(value)), searched);
            }
        }
    }
}
