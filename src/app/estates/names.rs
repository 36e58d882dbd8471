//! What is known of names: the addresses that endpoints are found at.

use serde_json::Value;

use crate::{app::sight::HouseSight, discover::Kept, handover::Estate};

/// The names of all pools.
pub(super) struct Names<'a>(pub &'a HouseSight);

// === impl Estate ===

impl Estate for Names<'_> {
    fn name(&self) -> &'static str {
        "names"
    }

    fn pack(&self) -> Value {
        let snapshot = self.0.snapshot();
        let mut questions: Vec<_> =
            snapshot.pools().iter().flat_map(|pool| pool.upstream.questions()).collect();
        questions.sort();
        questions.dedup();
        let kept = self.0.orders().world().directory().keep(questions.into_iter());
        // Nothing in it has no JSON.
        serde_json::to_value(kept).unwrap_or_default()
    }

    /// A name that has been found here counts as it was found; what is not known is taken over.
    fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
        let kept: Vec<Kept> = serde_json::from_value(section)?;
        let directory = self.0.orders().world().directory();
        for pool in self.0.snapshot().pools() {
            let questions: Vec<_> = pool.upstream.questions().collect();
            let taken = questions.iter().filter(|it| directory.take_over(it, &kept)).count();
            let shared = questions.iter().any(|it| directory.report(it).inherited);
            if taken > 0 || shared {
                pool.upstream.follow();
            }
        }
        Ok(())
    }
}
