//! Fetching the keys that issuers publish: each when it is due, on the house's thread.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

mod fetch;
mod shown;

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    identity::{Answer, Issuer, Learned, PassedOver},
    proxy::Common,
    snapshot::Snapshot,
};

pub(super) use shown::{gauges, troubles, views};

/// How often it is looked whether there are others to ask, or tokens with unknown keys.
const PACE: Duration = Duration::from_secs(1);

/// How long usher waits for keys before it is ready all the same: until they come, their tokens
/// prove nobody.
const FIRST_WAIT: Duration = Duration::from_secs(5);

/// The most that are asked at once.
const RUNNING_MAX: usize = 16;

/// Fetches keys, and has the issuers learn them.
pub(super) struct Issuers {
    common: Arc<Common>,
    running: JoinSet<(Arc<Issuer>, Result<Answer, String>)>,
    random: fastrand::Rng,
}

// === impl Issuers ===

impl Issuers {
    pub(super) fn new(common: Arc<Common>) -> Self {
        Self { common, running: JoinSet::new(), random: fastrand::Rng::new() }
    }

    /// Asks every issuer once, and waits for the answers of as many as give one in time. The others
    /// stay under way.
    pub(super) async fn first(&mut self) {
        self.begin_due();
        let all = timeout(FIRST_WAIT, async {
            while let Some(ended) = self.running.join_next().await {
                self.end(ended.ok());
            }
        });
        let _late = all.await;
    }

    /// Asks them for ever.
    pub(super) async fn follow(mut self) {
        loop {
            let next = self.begin_due();
            // An answer that comes while the other arm is taken is kept by the set.
            tokio::select! {
                Some(ended) = self.running.join_next() => self.end(ended.ok()),
                () = sleep(next) => {}
            }
        }
    }

    /// Asks those that are due, and says how long no other is.
    fn begin_due(&mut self) -> Duration {
        let mut next = PACE;
        let now = Instant::now();
        for issuer in all(&self.common.published.current()) {
            let wait = issuer.due(now);
            if !wait.is_zero() {
                next = next.min(wait);
            } else if self.running.len() < RUNNING_MAX {
                issuer.begin(now);
                self.running.spawn(async move {
                    let answer = fetch::fetch(&issuer).await.map_err(|error| error.to_string());
                    (issuer, answer)
                });
            }
        }
        next
    }

    /// What came of asking; an issuer whose asking panicked is asked again after a while.
    fn end(&mut self, ended: Option<(Arc<Issuer>, Result<Answer, String>)>) {
        let Some((issuer, answer)) = ended else { return };
        let now = (Instant::now(), SystemTime::now());
        tell(&issuer, &issuer.learn(answer, now, self.random.f64()));
    }
}

/// Every issuer of the snapshot, each once.
pub(super) fn all(snapshot: &Snapshot) -> Vec<Arc<Issuer>> {
    let mut all: Vec<Arc<Issuer>> = Vec::new();
    let sources = snapshot.identities().map(|identities| identities.sources.clone());
    for (_, issuer) in sources.iter().flat_map(|sources| sources.issuers()) {
        if !all.iter().any(|known| Arc::ptr_eq(known, issuer)) {
            all.push(issuer.clone());
        }
    }
    all
}

/// Says what has changed, and nothing otherwise.
fn tell(issuer: &Issuer, learned: &Learned) {
    let url = issuer.spec().shown();
    match learned {
        Learned::Changed(keys, passed_over) => {
            tracing::info!(url, keys, "the keys of an issuer are others");
            for PassedOver { id, why } in passed_over {
                let id = id.as_deref().unwrap_or("none");
                tracing::info!(url, kid = id, "one of its keys is passed over: {why}");
            }
        }
        Learned::Unchanged(true) => tracing::info!(url, "the keys of an issuer can be had again"),
        Learned::Failed(Some(why)) => match issuer.report().keys {
            Some(keys) => {
                tracing::warn!(
                    url,
                    keys,
                    "keys cannot be fetched, those of before are kept: {why}"
                );
            }
            None => {
                tracing::warn!(url, "keys cannot be fetched, their tokens prove nobody: {why}");
            }
        },
        Learned::Unchanged(false) | Learned::Failed(None) => {}
    }
}
