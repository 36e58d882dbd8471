//! Following names: each is looked up when it is due, and pools are told where it leads elsewhere.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::shown::two_capacities;
use crate::{
    discover::{Directory, Question},
    proxy::Common,
};

/// How often it is looked whether other names are wanted.
const PACE: Duration = Duration::from_secs(1);

/// How long usher waits for names before it is ready all the same: a name that does not resolve is
/// a down endpoint, not a failed start.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The most look-ups that run at once.
const RUNNING_MAX: usize = 64;

/// Looks names up, and has the pools follow them.
pub(super) struct Follower {
    common: Arc<Common>,
    directory: Arc<Directory>,
    running: JoinSet<(Question, bool)>,
    /// What has been said of pools that meet at an address.
    said: Vec<String>,
}

// === impl Follower ===

impl Follower {
    pub(super) fn new(common: Arc<Common>, directory: Arc<Directory>) -> Self {
        Self { common, directory, running: JoinSet::new(), said: Vec::new() }
    }

    /// Looks up every name once, or as many as can be in time. The others stay under way.
    pub(super) async fn first(&mut self) {
        let all = timeout(FIRST_WAIT, async {
            loop {
                self.begin_due();
                let Some(ended) = self.running.join_next().await else { return };
                self.end(ended.ok());
            }
        });
        let _late = all.await;
    }

    /// Looks names up for ever.
    pub(super) async fn follow(mut self) {
        loop {
            let next = self.begin_due();
            self.tell_two_capacities();
            // A look-up that ends while the other arm is taken is kept by the set.
            tokio::select! {
                Some(ended) = self.running.join_next() => self.end(ended.ok()),
                () = sleep(next) => {}
            }
        }
    }

    /// Begins what is due, and says how long nothing else is.
    fn begin_due(&mut self) -> Duration {
        let snapshot = self.common.published.current();
        let pools = snapshot.pools().iter();
        let wanted: BTreeSet<_> = pools.flat_map(|pool| pool.upstream.questions()).collect();
        let room = RUNNING_MAX.saturating_sub(self.running.len());
        let (due, next) = self.directory.due(&wanted, Instant::now(), room);
        for question in due {
            let directory = self.directory.clone();
            self.running.spawn(async move {
                let moved = directory.look_up(&question).await;
                (question, moved)
            });
        }
        // Without room, what ends makes some.
        next.filter(|next| !next.is_zero()).map_or(PACE, |next| next.min(PACE))
    }

    /// Says once of each pair of pools that they meet at an address with different capacities.
    fn tell_two_capacities(&mut self) {
        let snapshot = self.common.published.current();
        let found = snapshot.pools().iter().any(|pool| pool.upstream.questions().next().is_some());
        let now = if found { two_capacities(&snapshot) } else { Vec::new() };
        for line in now.iter().filter(|line| !self.said.contains(line)) {
            tracing::warn!("{line}");
        }
        self.said = now;
    }

    /// Has the pools follow a name that leads elsewhere. A look-up that panicked is begun again.
    fn end(&self, ended: Option<(Question, bool)>) {
        let Some((question, true)) = ended else { return };
        for pool in self.common.published.current().pools() {
            if pool.upstream.questions().any(|asked| asked == question) {
                pool.upstream.follow();
            }
        }
    }
}
