//! How a process that has handed over parts: what it tells the one that serves now, and what it
//! hears from there, for as long as it drains.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{collections::BTreeMap, pin::pin, time::Duration};

use serde_json::Value;
use tokio::{
    task::{AbortHandle, JoinSet},
    time::{Instant, MissedTickBehavior, interval},
};

use super::{Ended, estates::Estates, sight::HouseSight};
use crate::{
    config,
    handover::{Channel, Message},
};

/// How often a successor is told what is still counted here.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// How long the successor may take to hear it.
const TELL_WAIT: Duration = Duration::from_secs(1);

/// How often is looked whether a predecessor has gone.
const PREDECESSOR_LOOK: Duration = Duration::from_millis(50);

/// How much longer than its drain a predecessor may take to end.
const END_WAIT: Duration = Duration::from_secs(5);

/// How long whoever asked for the upgrade may take to hear what came of it.
const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// The talk with the process that serves now, as long as this one drains.
pub(super) struct Parting {
    channel: Channel,
}

// === impl Parting ===

impl Parting {
    /// The talk that goes over `channel`.
    pub(super) fn by(channel: Channel) -> Self {
        Self { channel }
    }

    /// Tells the successor what has been counted by now; whether it hears that.
    async fn tell(&mut self, estates: &Estates<'_>) -> bool {
        let message = Message::State { sections: estates.pack_again() };
        let told = tokio::time::timeout(TELL_WAIT, self.channel.send(&message)).await;
        let heard = matches!(told, Ok(Ok(())));
        if !heard {
            // Half a message may have been said: nothing more can be.
            tracing::warn!("the new usher does not hear what is counted");
        }
        heard
    }

    /// What the successor tells next; none when it has gone. Loses nothing when it is dropped.
    async fn hear(&mut self) -> Option<BTreeMap<String, Value>> {
        loop {
            match self.channel.receive().await {
                Ok(Some(Message::State { sections })) => return Some(sections),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    tracing::warn!("the new usher has gone, or is not understood");
                    return None;
                }
            }
        }
    }
}

/// Attends to the threads until they have ended. A successor is told meanwhile what is counted, and
/// what it tells is done; the talk with it comes back.
pub(super) async fn attend_and_tell(
    attending: impl Future<Output = Result<(), Ended>>,
    sight: &HouseSight,
) -> (Result<(), Ended>, Option<Parting>) {
    let (estates, succession) = (Estates::of(sight), sight.succession());
    let mut attending = pin!(attending);
    let mut handed_over = succession.handed_over();
    let mut parting = None;
    let mut ticks = interval(TELL_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // Ticks only wait, what attends is kept, and so is what was heard in part.
        tokio::select! {
            ended = attending.as_mut() => {
                return (ended, parting.or_else(|| succession.parting()));
            }
            _ = handed_over.changed() => parting = succession.parting(),
            _ = ticks.tick() => {
                let told = match &mut parting {
                    Some(parting) => parting.tell(&estates).await,
                    None => false,
                };
                parting = parting.filter(|_| told);
            }
            heard = hear(&mut parting) => match heard {
                Some(sections) => estates.unpack_back(sections),
                None => parting = None,
            },
        }
    }
}

/// What the successor tells next, when there is one.
async fn hear(parting: &mut Option<Parting>) -> Option<BTreeMap<String, Value>> {
    match parting {
        Some(parting) => parting.hear().await,
        None => std::future::pending().await,
    }
}

/// Tells the successor the last of what was counted, and whoever asked for the upgrade what came of
/// it.
pub(super) async fn settle_estate(
    mut parting: Parting,
    sight: &HouseSight,
    outlived: Option<AbortHandle>,
    ports: &mut JoinSet<()>,
) {
    if let Some(outlived) = outlived {
        hear_out(&outlived, &sight.snapshot().config.drain).await;
    }
    parting.tell(&Estates::of(sight)).await;
    let answered = async { while ports.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(ANSWER_WAIT, answered).await;
}

/// Waits for the end of a predecessor that still drains, so that a successor hears from here what
/// it has counted. It began to drain before this process did, so it ends soon.
async fn hear_out(outlived: &AbortHandle, drain: &config::Drain) {
    let until = Instant::now() + drain.requests.max(drain.tunnels) + END_WAIT;
    let mut looks = interval(PREDECESSOR_LOOK);
    while !outlived.is_finished() && Instant::now() < until {
        looks.tick().await;
    }
}
