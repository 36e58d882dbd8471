//! Asking endpoints whether they are well, where a pool wants it.
//!
//! An address is asked once, whatever pools it is in: by the first pool in the file that has
//! `health`. A check that is late while the endpoint answers clients is no verdict: a Puma whose
//! threads are all taken keeps a check waiting as well, and must not be taken out for being busy.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rustc_hash::FxHashMap;
use tokio::task::JoinSet;

use crate::{
    config::Health,
    deadline::Wheel,
    meters::EndpointEvent,
    proxy::Common,
    snapshot::Snapshot,
    upstream::{self, Complaint, Dialect, Endpoint, check},
};

/// How often it is looked whether there are other endpoints to ask.
const PACE: Duration = Duration::from_secs(1);

/// The most checks that run at once.
const RUNNING_MAX: usize = 64;

/// What is asked, and when next.
struct Checker {
    wheel: Wheel,
    asked: FxHashMap<u32, Asked>,
    running: JoinSet<Done>,
    random: fastrand::Rng,
}

struct Asked {
    pool: Arc<upstream::Pool>,
    endpoint: Arc<Endpoint>,
    policy: Arc<Health>,
    due: Instant,
    /// Whether it is being asked just now.
    running: bool,
    /// Whether it was still found when it was last looked.
    wanted: bool,
}

/// What came of a check.
struct Done {
    endpoint_id: u32,
    result: Result<(), Complaint>,
    /// Whether it answered clients meanwhile.
    answered: bool,
}

/// Asks endpoints, for ever.
pub(super) async fn ask(common: Arc<Common>) {
    let mut checker = Checker {
        wheel: Wheel::start(),
        asked: FxHashMap::default(),
        running: JoinSet::new(),
        random: fastrand::Rng::new(),
    };
    loop {
        checker.look(&common.published.current());
        let next = checker.begin_due(Instant::now());
        // A check that ends while the other arm is taken is kept by the set.
        tokio::select! {
            Some(done) = checker.running.join_next() => checker.end(done.ok()),
            () = tokio::time::sleep(next) => {}
        }
    }
}

// === impl Asked ===

impl Asked {
    /// Tells of a change; one that has come back is offered to those who wait for a slot.
    fn tell(&self, what: EndpointEvent, reason: String, now: Instant) {
        self.pool.note(&self.endpoint, what, reason);
        if what == EndpointEvent::Up {
            self.pool.recovered(&self.endpoint, now);
        }
    }
}

// === impl Checker ===

impl Checker {
    /// Takes up those that are to be asked, and lets go of the others.
    fn look(&mut self, snapshot: &Snapshot) {
        self.asked.values_mut().for_each(|asked| asked.wanted = false);
        let now = Instant::now();
        for pool in snapshot.pools() {
            let Some(policy) = &pool.config.health else { continue };
            for member in pool.upstream.members().iter() {
                let endpoint = &member.endpoint;
                let asked = self.asked.entry(endpoint.id()).or_insert_with(|| Asked {
                    pool: pool.upstream.clone(),
                    endpoint: endpoint.clone(),
                    policy: policy.clone(),
                    due: now,
                    running: false,
                    wanted: false,
                });
                // The first pool of the file speaks for the address.
                if !asked.wanted {
                    asked.pool = pool.upstream.clone();
                    asked.policy = policy.clone();
                    asked.wanted = true;
                }
            }
        }
        self.asked.retain(|_, asked| {
            if !asked.wanted && asked.endpoint.health().unchecked() {
                let why = "it is not asked any more".to_owned();
                asked.tell(EndpointEvent::Up, why, now);
            }
            asked.wanted
        });
    }

    /// Begins what is due, and says how long nothing else is.
    fn begin_due(&mut self, now: Instant) -> Duration {
        let mut next = PACE;
        for asked in self.asked.values_mut().filter(|asked| !asked.running) {
            if asked.due > now {
                next = next.min(asked.due - now);
            } else if self.running.len() < RUNNING_MAX {
                asked.running = true;
                asked.due = now + jittered(&asked.policy, &mut self.random);
                let (endpoint, policy) = (asked.endpoint.clone(), asked.policy.clone());
                let dialect = asked.pool.dialect().clone();
                self.running.spawn(one(endpoint, dialect, policy, self.wheel.clone()));
            }
        }
        next
    }

    /// What came of a check; nothing of one that panicked, whichever it was.
    fn end(&mut self, done: Option<Done>) {
        let Some(done) = done else {
            self.asked.values_mut().for_each(|asked| asked.running = false);
            return;
        };
        let Some(asked) = self.asked.get_mut(&done.endpoint_id) else { return };
        asked.running = false;
        let health = asked.endpoint.health();
        let change = match done.result {
            Ok(()) => health.checked(true, "", &asked.policy),
            Err(Complaint::Late(_)) if done.answered => None,
            Err(complaint) => health.checked(false, &complaint.to_string(), &asked.policy),
        };
        if let Some((what, reason)) = change {
            asked.tell(what, reason, Instant::now());
        }
    }
}

/// One check of `endpoint`, with what it did for clients meanwhile.
async fn one(
    endpoint: Arc<Endpoint>,
    dialect: Arc<Dialect>,
    policy: Arc<Health>,
    wheel: Wheel,
) -> Done {
    let before = endpoint.health().totals().good;
    let result = check(&endpoint, &dialect, &policy, &wheel).await;
    let answered = endpoint.health().totals().good > before;
    Done { endpoint_id: endpoint.id(), result, answered }
}

/// The time to the next check: the interval, shorter or longer by the jitter.
fn jittered(policy: &Health, random: &mut fastrand::Rng) -> Duration {
    let swing = policy.jitter.ratio() * (2.0 * random.f64() - 1.0);
    policy.interval.mul_f64((1.0 + swing).max(0.0))
}
