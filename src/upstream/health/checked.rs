//! What checks say of an endpoint: so many good ones in a row make it usable, so many bad ones not.
//!
//! Pure. Until the first check it counts as usable; the first one decides alone, so that an
//! endpoint that never was well is found at once.

use crate::{config::Health, upstream::kept::Kept};

/// The active side of an endpoint's health.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    verdict: Option<bool>,
    /// Checks in a row that contradict the verdict.
    against: u32,
}

// === impl Checked ===

impl Checked {
    /// What another process has told.
    pub fn of(kept: &Kept) -> Self {
        Self { verdict: kept.up, against: if kept.up.is_some() { kept.against } else { 0 } }
    }

    /// Tells another process.
    pub fn keep(self, kept: &mut Kept) {
        kept.up = self.verdict;
        kept.against = self.against;
    }

    /// Whether checks have found it unusable.
    pub fn is_down(self) -> bool {
        self.verdict == Some(false)
    }

    /// A check has passed or not; what it is from now on, where that changes.
    pub fn note(&mut self, passed: bool, policy: &Health) -> Option<bool> {
        let Some(verdict) = self.verdict else {
            self.verdict = Some(passed);
            return (!passed).then_some(false);
        };
        if passed == verdict {
            self.against = 0;
            return None;
        }
        self.against = self.against.saturating_add(1);
        let needed = if passed { policy.rise } else { policy.fall };
        if self.against < needed {
            return None;
        }
        *self = Self { verdict: Some(passed), against: 0 };
        Some(passed)
    }

    /// What must always hold.
    pub fn check_invariants(self, policy: &Health) {
        let needed = if self.is_down() { policy.rise } else { policy.fall };
        assert!(self.against < needed.max(1), "a verdict that is contradicted enough has changed");
        assert!(self.verdict.is_some() || self.against == 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same by looking at everything that ever was.
    fn model(checks: &[bool], rise: usize, fall: usize) -> bool {
        let Some(mut up) = checks.first().copied() else { return true };
        let mut from = 1;
        for end in 1..=checks.len() {
            let needed = if up { fall } else { rise };
            let enough = end - from >= needed;
            if enough && checks[end - needed..end].iter().all(|passed| *passed != up) {
                up = !up;
                from = end;
            }
        }
        up
    }

    proptest! {
        #[test]
        fn a_verdict_changes_after_so_many_in_a_row(
            checks in prop::collection::vec(any::<bool>(), 0..60),
            rise in 1_u32..5,
            fall in 1_u32..5,
        ) {
            let policy = Health { rise, fall, ..Health::default() };
            let mut checked = Checked::default();
            let mut told = true;
            for (done, passed) in checks.iter().enumerate() {
                if let Some(up) = checked.note(*passed, &policy) {
                    prop_assert_ne!(up, told, "only changes are told");
                    told = up;
                }
                checked.check_invariants(&policy);
                let seen = &checks[..=done];
                prop_assert_eq!(!checked.is_down(), model(seen, rise as usize, fall as usize));
            }
            prop_assert_eq!(!checked.is_down(), told);
        }
    }
}
