//! The new process's side of an upgrade: taking over from the one that runs.

use std::{sync::Arc, time::Duration};

use super::{estates::Estates, sight::HouseSight};
use crate::handover::{Channel, Message};

/// How long the predecessor may take to say what it knows.
const STATE_WAIT: Duration = Duration::from_secs(10);

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

    /// Takes what it counts until it has gone.
    pub(super) async fn outlive(mut self, sight: Arc<HouseSight>) {
        loop {
            match self.channel.receive().await {
                Ok(Some(Message::State { sections })) => Estates::of(&sight).unpack(sections),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(error) => {
                    tracing::warn!(%error, "what the old usher still counts is lost");
                    break;
                }
            }
        }
        tracing::info!("the old usher has finished what it had begun");
        Estates::of(&sight).predecessor_has_gone();
    }
}
