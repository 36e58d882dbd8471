//! Which versions of apps came.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::Value;

use crate::{
    app::{sight::HouseSight, tallies},
    handover::Estate,
};

/// The tallies of all audiences.
pub(super) struct Versions<'a> {
    sight: &'a HouseSight,
    /// After how many requests the successor was told last.
    told: AtomicU64,
}

// === impl Versions ===

impl<'a> Versions<'a> {
    pub(super) fn new(sight: &'a HouseSight) -> Self {
        Self { sight, told: AtomicU64::new(u64::MAX) }
    }
}

impl Estate for Versions<'_> {
    fn name(&self) -> &'static str {
        "versions"
    }

    fn pack(&self) -> Value {
        // Nothing in it has no JSON.
        serde_json::to_value(tallies::kept(&self.sight.snapshot())).unwrap_or_default()
    }

    /// It is a lot, and little changes while a process drains: nothing where nobody came.
    fn pack_again(&self) -> Option<Value> {
        let requests = tallies::requests(&self.sight.snapshot());
        let before = self.told.swap(requests, Ordering::Relaxed);
        (before != requests).then(|| self.pack())
    }

    fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
        let kept: tallies::Kept = serde_json::from_value(section)?;
        tallies::take_over(&self.sight.snapshot(), &kept);
        Ok(())
    }
}
