//! The keys that issuers publish, so that a new process knows them before it has asked.

use std::time::Instant;

use serde_json::Value;

use crate::{
    app::{issuers, sight::HouseSight},
    handover::Estate,
    identity::KeptKeys,
};

/// All issuers of all sources.
pub(super) struct Issuers<'a>(pub &'a HouseSight);

// === impl Issuers ===

impl Estate for Issuers<'_> {
    fn name(&self) -> &'static str {
        "issuers"
    }

    fn pack(&self) -> Value {
        let all = issuers::all(&self.0.snapshot());
        let kept: Vec<KeptKeys> = all.iter().filter_map(|issuer| issuer.keep()).collect();
        // Nothing in it has no JSON.
        serde_json::to_value(kept).unwrap_or_default()
    }

    fn unpack(&self, section: Value) -> Result<(), serde_json::Error> {
        let kept: Vec<KeptKeys> = serde_json::from_value(section)?;
        for issuer in issuers::all(&self.0.snapshot()) {
            let now = Instant::now();
            kept.iter().for_each(|kept| issuer.take_over(kept.clone(), now));
        }
        Ok(())
    }
}
