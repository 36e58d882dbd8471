//! The word that it is time to stop, told to all who work.

use tokio::sync::watch;

/// How far stopping has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everything runs.
    Running,
    /// Not ready any more, but connections are still accepted.
    Grace,
    /// Nothing is accepted; each connection closes after the request it is at.
    Finishing,
    /// Requests that are left are cut.
    Cutting,
    /// Tunnels that are left are cut.
    Ending,
}

/// Tells the stage to all who hold a [`Drain`].
#[derive(Debug)]
pub struct Drainer(watch::Sender<Stage>);

/// Sees how far stopping has come.
#[derive(Clone, Debug)]
pub struct Drain(watch::Receiver<Stage>);

/// A drain that has not begun, and the hand that begins it.
pub fn channel() -> (Drainer, Drain) {
    let (sender, receiver) = watch::channel(Stage::Running);
    (Drainer(sender), Drain(receiver))
}

// === impl Drainer ===

impl Drainer {
    /// Moves on to `stage`; going back is ignored.
    pub fn advance(&self, stage: Stage) {
        self.0.send_if_modified(|now| {
            let moves = stage > *now;
            if moves {
                *now = stage;
            }
            moves
        });
    }
}

// === impl Drain ===

impl Drain {
    /// How far stopping has come.
    pub fn stage(&self) -> Stage {
        *self.0.borrow()
    }

    /// Whether the stage has changed since this was given out, or whoever tells it has gone; an
    /// atomic load.
    pub fn has_moved(&self) -> bool {
        self.0.has_changed().unwrap_or(true)
    }

    /// Ready once `stage` has been reached, or whoever tells it has gone.
    pub async fn reached(&mut self, stage: Stage) {
        // An error means the house has gone, which is as good a reason to stop.
        let _ = self.0.wait_for(|now| *now >= stage).await;
    }
}
