//! The new process's side of an upgrade: taking over from the one that runs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::Value;

use super::{estates::Estates, sight::HouseSight};
use crate::handover::{Channel, Message};

/// How long the predecessor may take to say what it knows.
const STATE_WAIT: Duration = Duration::from_secs(10);

/// How long it may take to hear what has changed here.
const TELL_WAIT: Duration = Duration::from_secs(1);

/// The process that runs, and started this one.
#[derive(Debug)]
pub struct Predecessor {
    channel: Channel,
}

// === impl Predecessor ===

impl Predecessor {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel }
    }

    /// Tells it why this process cannot start.
    pub(super) async fn refuse(mut self, why: &str) {
        // When it does not hear this, it hears that we end.
        let _ = self.channel.send(&Message::Failed { why: why.to_owned() }).await;
    }

    /// Takes over what it knows. From then on it changes nothing any more, and this process is to
    /// accept at once.
    ///
    /// A predecessor that dies or falls silent meanwhile has left its sockets here and nobody else
    /// serves them: then this process begins anew with them.
    #[expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]
    pub(super) async fn take_over(&mut self, sight: &HouseSight) {
        let usher = env!("CARGO_PKG_VERSION").to_owned();
        let built = Message::Built { usher, pid: std::process::id() };
        let told = async {
            self.channel.send(&built).await?;
            self.channel.receive().await
        };
        match tokio::time::timeout(STATE_WAIT, told).await {
            Ok(Ok(Some(Message::State { sections }))) => Estates::of(sight).unpack(sections),
            Ok(Ok(Some(_) | None)) | Err(_) => {
                tracing::error!("the running usher does not say what it knows; going on without");
            }
            Ok(Err(error)) => tracing::error!(%error, "going on without what it knows"),
        }
    }

    /// Tells it that this process accepts connections.
    pub(super) async fn ready(&mut self) {
        if let Err(error) = self.channel.send(&Message::Ready).await {
            tracing::error!(%error, "the running usher has gone before it was told");
        }
    }

    /// Takes what it counts until it has gone, and tells it what operators tell this process: those
    /// who wait there are to go on when they are let.
    pub(super) async fn outlive(mut self, sight: Arc<HouseSight>) {
        let mut changes = sight.orders().changes();
        let mut told = Estates::of(&sight).pack_back();
        let mut hears = true;
        loop {
            // What is received in part is kept by the channel, and a change stays one.
            tokio::select! {
                message = self.channel.receive() => match message {
                    Ok(Some(Message::State { sections })) => Estates::of(&sight).unpack(sections),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => {
                        tracing::warn!(%error, "what the old usher still counts is lost");
                        break;
                    }
                },
                Ok(()) = changes.changed(), if hears => {
                    let now = Estates::of(&sight).pack_back();
                    if now != told {
                        hears = self.tell(now.clone()).await;
                        told = now;
                    }
                }
            }
        }
        tracing::info!("the old usher has finished what it had begun");
        Estates::of(&sight).predecessor_has_gone();
    }

    /// Tells it what has changed here; whether it hears that. An older one may not listen.
    #[expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]
    async fn tell(&mut self, sections: BTreeMap<String, Value>) -> bool {
        let message = Message::State { sections };
        let told = tokio::time::timeout(TELL_WAIT, self.channel.send(&message)).await;
        let heard = matches!(told, Ok(Ok(())));
        if !heard {
            tracing::warn!("the old usher does not hear what operators order here");
        }
        heard
    }
}
