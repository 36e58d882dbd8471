//! What audiences are guaranteed of the slots of the pool that they share.

use crate::config::Audience;

/// The share of its pool's slots that an audience is guaranteed: what was written, or an equal part
/// of what is left among audiences of one priority. Where priorities differ, they decide.
pub(super) fn share_of(audience: &Audience, all: &[Audience]) -> f64 {
    if let Some(share) = audience.share {
        return share.ratio();
    }
    let peers = || all.iter().filter(|it| it.pool == audience.pool);
    if peers().any(|peer| peer.priority != audience.priority) {
        return 0.0;
    }
    let written: f64 = peers().filter_map(|peer| peer.share).map(|share| share.ratio()).sum();
    let silent = peers().filter(|peer| peer.share.is_none()).count();
    (1.0 - written).max(0.0) / silent as f64
}
