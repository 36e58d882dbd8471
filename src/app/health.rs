//! What the house does for the health of endpoints: it lets time pass, and counts what happened.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{proxy::Common, snapshot::Snapshot};

/// How often it is looked at endpoints that are all well.
const PACE: Duration = Duration::from_secs(1);

/// How often while one is not: it is to come back when its time is over.
const PACE_UNWELL: Duration = Duration::from_millis(100);

/// Lets time pass for endpoints, for ever.
pub(super) async fn mind(common: Arc<Common>) {
    let mut counted = 0;
    loop {
        let snapshot = common.published.current();
        let now = Instant::now();
        for pool in snapshot.pools() {
            pool.upstream.pass(now, pool.config.ejection.as_ref());
        }
        counted = count(&common, &snapshot, counted);
        let pace = if all_well(&snapshot) { PACE } else { PACE_UNWELL };
        // Nothing is held of an old snapshot meanwhile.
        drop(snapshot);
        tokio::time::sleep(pace).await;
    }
}

fn all_well(snapshot: &Snapshot) -> bool {
    snapshot.pools().iter().all(|pool| {
        let members = pool.upstream.members();
        members.iter().all(|member| member.endpoint.health().is_well())
    })
}

/// Counts events from number `from` on, for each pool that their endpoint is in; returns the number
/// from which to go on.
fn count(common: &Common, snapshot: &Snapshot, from: u64) -> u64 {
    let Some(first) = snapshot.pools().first() else { return from };
    let events = first.upstream.journal().since(from);
    // The house counts in the last row.
    let row = common.meters.rows() - 1;
    for event in &events {
        let pools = snapshot.pools().iter().filter(|it| it.upstream.has_had(event.endpoint_id));
        pools.for_each(|pool| pool.meter.happened(row, event.what));
    }
    events.last().map_or(from, |last| last.number + 1)
}
