//! What the house thread stands on: its runtime, the signals that mean something to usher, and the
//! kind of memory that the process has.
//!
//! All are there before anything else is: HUP, USR1 and USR2 end a process that does not watch for
//! them, and a TERM that comes while usher starts has to find it.

use std::{io, sync::Arc};

use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use super::{pages, sight::HouseSight, upgrade};
use crate::{
    control::By,
    drain::{Drainer, Stage},
    systemd,
};

/// Threads of the house that may block: files are read there, and names looked up.
const BLOCKING_THREADS_MAX: usize = 4;

/// The house before anybody lives in it: from when it is open, no signal is lost.
pub struct House {
    pub(super) runtime: Runtime,
    pub(super) signals: Signals,
}

/// Signals that mean something to a running usher.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

enum Heard {
    Stop,
    Reload,
    ReopenLogs,
    Upgrade,
}

// === impl House ===

impl House {
    /// Opens the house.
    ///
    /// # Errors
    /// The system gives no poller, or does not let signals be watched.
    pub fn open() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .build()?;
        let signals = {
            let _inside = runtime.enter();
            Signals::watch()?
        };
        pages::keep_small();
        Ok(Self { runtime, signals })
    }
}

impl std::fmt::Debug for House {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("House")
    }
}

// === impl Signals ===

impl Signals {
    fn watch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one. A signal that comes while another is obeyed is kept by its stream.
    async fn next(&mut self) -> Heard {
        tokio::select! {
            _ = self.terminate.recv() => Heard::Stop,
            _ = self.interrupt.recv() => Heard::Stop,
            _ = self.user_1.recv() => Heard::ReopenLogs,
            _ = self.hang_up.recv() => Heard::Reload,
            _ = self.user_2.recv() => Heard::Upgrade,
        }
    }
}

/// Does what signals say. Those that stop usher are never kept waiting by the others.
pub(super) async fn obey(mut signals: Signals, drainer: Arc<Drainer>, sight: Arc<HouseSight>) {
    let mut orders = tokio::task::JoinSet::new();
    let mut stops = 0;
    loop {
        while orders.try_join_next().is_some() {}
        match signals.next().await {
            Heard::Stop => {
                stops += 1;
                if stops == 1 {
                    systemd::stopping();
                } else {
                    tracing::warn!("stopping: a second signal cuts short what is left");
                }
                drainer.advance(match stops {
                    // Nobody was told to send anything here yet, so nobody has to notice.
                    1 if !sight.is_resolved() => Stage::Finishing,
                    1 => Stage::Grace,
                    _ => Stage::Ending,
                });
            }
            Heard::ReopenLogs => sight.reopen_log(),
            Heard::Reload => {
                let sight = sight.clone();
                orders.spawn(async move {
                    sight.reload_by(&By::itself("signal")).await;
                });
            }
            Heard::Upgrade => {
                let sight = sight.clone();
                orders.spawn(async move {
                    upgrade::upgrade(&sight, &By::itself("signal"), None).await;
                });
            }
        }
    }
}
