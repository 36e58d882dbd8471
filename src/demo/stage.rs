//! One thread on which the stand-in monolith serves and its audiences ask.

use std::{
    io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
};

use tokio::{
    runtime::Builder,
    sync::{mpsc, oneshot},
};

use super::{
    cast::{KILLED, SLOWED},
    monolith::Monolith,
    traffic::{Tally, Traffic},
};

/// By how much longer everything takes in a pool that is slowed down.
pub const SLOWER: u32 = 10;

/// What can happen on the stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cue {
    /// Many people of one audience come at once.
    Flood,
    /// An endpoint dies.
    Kill,
    /// It comes back.
    Revive,
    /// A pool becomes slow.
    Slow,
    /// It is as fast again as it was.
    Hasten,
    /// The traffic ends; what is under way is finished.
    End,
}

/// The stage, played on by a thread until this is dropped.
pub struct Stage {
    cues: Option<mpsc::Sender<Called>>,
    thread: Option<JoinHandle<()>>,
    tallies: Arc<[Tally]>,
}

/// A cue, and where it is said that it has been played.
type Called = (Cue, oneshot::Sender<io::Result<()>>);

// === impl Stage ===

impl Stage {
    /// Opens the monolith, and sends its audiences to usher at `at`.
    ///
    /// # Errors
    /// The system gives no thread or no poller.
    pub fn open(mut monolith: Monolith, at: SocketAddr) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let tallies = Tally::of_all();
        let (cues, called) = mpsc::channel(1);
        let traffic = tallies.clone();
        let play = move || {
            runtime.block_on(async move {
                match monolith.open() {
                    Ok(()) => play(monolith, Traffic::start(at, traffic), called).await,
                    Err(error) => tracing::error!(%error, "the stand-in cannot serve"),
                }
            });
        };
        let thread = thread::Builder::new().name("stage".to_owned()).spawn(play)?;
        Ok(Self { cues: Some(cues), thread: Some(thread), tallies })
    }

    /// Plays `cue`, and waits until it has been played.
    ///
    /// # Errors
    /// It could not be, or the stage has fallen.
    pub fn call(&self, cue: Cue) -> io::Result<()> {
        let fallen = || io::Error::other("the stand-in has ended");
        let (played, done) = oneshot::channel();
        let cues = self.cues.as_ref().ok_or_else(fallen)?;
        cues.blocking_send((cue, played)).map_err(|_| fallen())?;
        done.blocking_recv().map_err(|_| fallen())?
    }

    /// What the clients of each part have seen.
    pub fn tallies(&self) -> &[Tally] {
        &self.tallies
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The thread ends when nobody can call any more.
        drop(self.cues.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the stand-in panicked");
        }
    }
}

// === free functions ===

async fn play(mut monolith: Monolith, mut traffic: Traffic, mut called: mpsc::Receiver<Called>) {
    while let Some((cue, played)) = called.recv().await {
        let mut result = Ok(());
        match cue {
            Cue::Flood => traffic.flood(),
            Cue::Kill => monolith.kill(KILLED).await,
            Cue::Revive => result = monolith.open(),
            Cue::Slow => monolith.slow_down(SLOWED, SLOWER),
            Cue::Hasten => monolith.slow_down(SLOWED, 1),
            Cue::End => traffic.end().await,
        }
        // Whoever has called may not want to know.
        let _ = played.send(result);
    }
    traffic.end().await;
    monolith.close().await;
}
