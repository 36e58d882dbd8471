//! What is known of endpoints: which of them get requests, and how long they take to answer.

use std::{sync::Arc, time::Instant};

use rustc_hash::FxHashMap;
use serde_json::Value;

use crate::{
    app::sight::HouseSight,
    handover::Estate,
    snapshot::Snapshot,
    upstream::{Endpoint, Kept},
};

/// All endpoints of all pools.
pub(super) struct Endpoints<'a>(pub &'a HouseSight);

// === impl Endpoints ===

impl Estate for Endpoints<'_> {
    fn name(&self) -> &'static str {
        "endpoints"
    }

    fn pack(&self) -> Value {
        let now = Instant::now();
        let all = all(&self.0.snapshot());
        let known = all.values().map(|(endpoint, _)| endpoint.keep(now));
        let known: Vec<Kept> = known.filter(|kept| !kept.is_plain()).collect();
        // Nothing in it has no JSON.
        serde_json::to_value(known).unwrap_or_default()
    }

    fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
        let known: Vec<Kept> = serde_json::from_value(section)?;
        let known: FxHashMap<&str, &Kept> =
            known.iter().map(|kept| (kept.address.as_str(), kept)).collect();
        let now = Instant::now();
        for (endpoint, is_checked) in all(&self.0.snapshot()).values() {
            if let Some(kept) = known.get(endpoint.as_str()) {
                endpoint.take_over(kept, *is_checked, now);
            }
        }
        Ok(())
    }
}

/// All endpoints by their numbers, and whether any pool that they are in has them checked.
fn all(snapshot: &Snapshot) -> FxHashMap<u32, (Arc<Endpoint>, bool)> {
    let mut all = FxHashMap::default();
    for pool in snapshot.pools() {
        for member in pool.upstream.members().iter() {
            let endpoint = &member.endpoint;
            let entry = all.entry(endpoint.id()).or_insert_with(|| (endpoint.clone(), false));
            entry.1 |= pool.config.health.is_some();
        }
    }
    all
}
