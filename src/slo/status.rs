//! A set of statuses.

/// Statuses from 100 to 599, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatusSet([u64; WORDS]);

const FIRST: u16 = 100;
const LAST: u16 = 599;
const WORDS: usize = ((LAST - FIRST) as usize + 1).div_ceil(64);

// === impl StatusSet ===

impl StatusSet {
    /// One status; none outside 100 to 599.
    pub fn one(status: u16) -> Option<Self> {
        let mut set = Self::default();
        let at = place(status)?;
        set.0[at / 64] |= 1 << (at % 64);
        Some(set)
    }

    /// All statuses that begin with the digit `class`.
    pub fn class(class: u16) -> Self {
        let all = (class * 100..class * 100 + 100).filter_map(Self::one);
        all.fold(Self::default(), Self::with)
    }

    /// Those of both.
    pub fn with(self, other: Self) -> Self {
        Self(std::array::from_fn(|word| self.0[word] | other.0[word]))
    }

    /// Whether `status` is among them.
    pub fn contains(self, status: u16) -> bool {
        place(status).is_some_and(|at| self.0[at / 64] >> (at % 64) & 1 == 1)
    }

    /// All of them, ascending.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        (FIRST..=LAST).filter(move |status| self.contains(*status))
    }
}

fn place(status: u16) -> Option<usize> {
    (FIRST..=LAST).contains(&status).then(|| usize::from(status - FIRST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_all_of_its_statuses_and_no_other() {
        let set = StatusSet::class(4).with(StatusSet::one(599).expect("a status"));
        let expected: Vec<u16> = (400..500).chain([599]).collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), expected);
        assert!(!set.contains(399) && !set.contains(500) && !set.contains(999));
        assert_eq!((StatusSet::one(99), StatusSet::one(600)), (None, None));
    }
}
