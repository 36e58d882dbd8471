//! About how many different things there were, in half a KiB however many that is.
//!
//! HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, 2007) with Ertl's estimator ("New cardinality
//! estimation algorithms for HyperLogLog sketches", 2017, algorithm 6), which needs no tables and
//! no special case for few things.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};

/// Bits of a hash that choose a register: 512 registers, an error of 4.6 %.
const INDEX_BITS: u32 = 9;
const REGISTERS: usize = 1 << INDEX_BITS;

/// The greatest rank, and one more for a hash whose other bits are all 0.
const RANKS: usize = (u64::BITS - INDEX_BITS) as usize + 1;

/// 1 ÷ (2 ln 2)
const ALPHA: f64 = 0.5 / std::f64::consts::LN_2;

/// How many different hashes there were, about. Takes no memory before the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sketch(Box<[u8]>);

// === impl Sketch ===

impl Sketch {
    /// There was this one.
    pub(super) fn add(&mut self, hash: u64) {
        if self.0.is_empty() {
            self.0 = vec![0; REGISTERS].into();
        }
        let register = &mut self.0[(hash >> (u64::BITS - INDEX_BITS)) as usize];
        // The bit behind the last one ends the count.
        let rest = hash << INDEX_BITS | 1 << (INDEX_BITS - 1);
        *register = (*register).max(rest.leading_zeros() as u8 + 1);
    }

    /// There were those of `other` as well.
    pub(super) fn join(&mut self, other: &Sketch) {
        if self.0.is_empty() {
            self.0.clone_from(&other.0);
            return;
        }
        for (own, others) in self.0.iter_mut().zip(&other.0) {
            *own = (*own).max(*others);
        }
    }

    /// As text, which is empty where there were none.
    pub(super) fn to_text(&self) -> String {
        STANDARD_NO_PAD.encode(&self.0)
    }

    /// Out of text; what is none counts nothing.
    pub(super) fn from_text(text: &str) -> Self {
        let mut registers = STANDARD_NO_PAD.decode(text).unwrap_or_default();
        if registers.len() != REGISTERS {
            return Self::default();
        }
        registers.iter_mut().for_each(|register| *register = (*register).min(RANKS as u8));
        Self(registers.into())
    }

    /// About how many there were.
    pub(super) fn count(&self) -> u64 {
        if self.0.is_empty() {
            return 0;
        }
        let mut counts = [0_u32; RANKS + 1];
        for register in &self.0 {
            counts[usize::from(*register).min(RANKS)] += 1;
        }
        let registers = REGISTERS as f64;
        let full = f64::from(counts[RANKS]) / registers;
        let mut sum = registers * tau(1.0 - full);
        for count in counts[1..RANKS].iter().rev() {
            sum = 0.5 * (sum + f64::from(*count));
        }
        sum += registers * sigma(f64::from(counts[0]) / registers);
        (ALPHA * registers * registers / sum).round() as u64
    }
}

/// The part of registers that nothing has come to: x + Σ x^(2^k) 2^(k−1).
fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut sum, mut power) = (x, 1.0);
    loop {
        x *= x;
        let before = sum;
        sum += x * power;
        power += power;
        if sum <= before {
            return sum;
        }
    }
}

/// The part of registers that can say no more: (1 − x − Σ (1 − x^(2^−k))² 2^−k) ÷ 3.
fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut rest, mut power) = (1.0 - x, 1.0);
    loop {
        x = x.sqrt();
        let before = rest;
        power *= 0.5;
        rest -= (1.0 - x).powi(2) * power;
        if rest >= before {
            return rest / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::sticky::Place;

    fn of(range: std::ops::Range<u32>) -> Sketch {
        let mut sketch = Sketch::default();
        range.for_each(|who| sketch.add(Place::of("sketch", &who.to_be_bytes()).bits()));
        sketch
    }

    #[test]
    fn few_are_counted_well_and_many_about() {
        assert_eq!((of(0..0).count(), of(0..1).count()), (0, 1));
        for (count, error) in [(10, 0.1), (100, 0.1), (1_000, 0.14), (10_000, 0.14), (60_000, 0.14)]
        {
            let counted = of(0..count).count() as f64 / f64::from(count);
            assert!((counted - 1.0).abs() <= error, "{count}: {counted}");
        }
    }

    #[test]
    fn who_comes_again_is_counted_once_and_joined_are_all() {
        let mut both = of(0..500);
        let once = both.clone();
        both.join(&of(250..500));
        assert_eq!(both, once);
        both.join(&of(500..1_000));
        assert_eq!(both, of(0..1_000));
        let mut none = Sketch::default();
        none.join(&once);
        assert_eq!(none, once);
        none.join(&Sketch::default());
        assert_eq!(none, once);
    }

    #[test]
    fn text_holds_all_of_it_and_what_is_none_counts_nothing() {
        for sketch in [of(0..0), of(0..1), of(0..5_000)] {
            assert_eq!(Sketch::from_text(&sketch.to_text()), sketch);
        }
        let wild = STANDARD_NO_PAD.encode([255; REGISTERS]);
        assert!(Sketch::from_text(&wild).0.iter().all(|register| usize::from(*register) == RANKS));
        for text in ["!", "AAAA", &wild[1..]] {
            assert_eq!(Sketch::from_text(text), Sketch::default(), "{text}");
        }
    }

    #[test]
    fn hashes_at_either_end_have_a_place() {
        let mut sketch = Sketch::default();
        [0, u64::MAX].into_iter().for_each(|hash| sketch.add(hash));
        assert_eq!(sketch.0.iter().filter(|register| **register > 0).count(), 2);
        assert_eq!(usize::from(sketch.0[0]), RANKS, "the greatest rank");
        assert!(sketch.count() >= 2);
    }
}
