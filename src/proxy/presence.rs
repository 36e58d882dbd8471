//! Whether a request's client is still there.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio::sync::Notify;

/// Sees whether the client has closed its side of the connection after a whole request.
///
/// A door hands it in with each request. A reset is not told here: the door drops the request's
/// future for it.
#[derive(Clone, Debug, Default)]
pub struct Presence(Arc<Shared>);

/// How many fields of a request were dropped because their names hold `_`, which Rack would fold
/// onto the dashed ones. It stands in a request's extensions when there were any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DroppedNames(pub usize);

#[derive(Debug, Default)]
struct Shared {
    half_closed: AtomicBool,
    told: Notify,
}

// === impl Presence ===

impl Presence {
    /// Whether the client has closed its side: it sends nothing more, but may still read.
    pub fn half_closed(&self) -> bool {
        self.0.half_closed.load(Ordering::Acquire)
    }

    /// Ready once the client has closed its side.
    pub async fn gone(&self) {
        loop {
            let mut told = std::pin::pin!(self.0.told.notified());
            told.as_mut().enable();
            if self.half_closed() {
                return;
            }
            told.await;
        }
    }

    /// The client has closed its side.
    pub fn close(&self) {
        self.0.half_closed.store(true, Ordering::Release);
        self.0.told.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;

    #[tokio::test]
    async fn who_waits_for_a_client_to_go_is_told_when_it_goes_and_also_afterwards() {
        let presence = Presence::default();
        let mut gone = std::pin::pin!(presence.gone());
        let first = std::future::poll_fn(|cx| Poll::Ready(gone.as_mut().poll(cx))).await;
        assert!(first.is_pending());
        presence.close();
        gone.await;
        presence.gone().await;
        assert!(presence.half_closed());
    }
}
