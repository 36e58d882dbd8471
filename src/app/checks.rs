//! Asking endpoints whether they are well, where a pool wants it.
//!
//! An address is asked once, whatever pools it is in: by the first pool in the file that has
//! `health`. A check that is late while the endpoint answers clients is no verdict: a Puma whose
//! threads are all taken keeps a check waiting as well, and must not be taken out for being busy.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, hash_map::Entry},
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

/// What is asked, and when next. Neither a check that begins nor one that ends looks at the others:
/// of 10,000 endpoints some thousands are asked each second.
struct Checker {
    wheel: Wheel,
    asked: FxHashMap<u32, Asked>,
    /// When each is due that is not being asked, the next one first; beside them some that have
    /// gone meanwhile, or are due at another time.
    due: BinaryHeap<Reverse<(Instant, u32)>>,
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
    let mut checker = Checker::start();
    let mut look_at = Instant::now();
    loop {
        let now = Instant::now();
        if now >= look_at {
            checker.look(&common.published.current(), now);
            look_at = now + PACE;
        }
        let next = checker.begin_due(now).min(look_at - now);
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
    /// One that asks nobody yet, on the current runtime.
    fn start() -> Self {
        Self {
            wheel: Wheel::start(),
            asked: FxHashMap::default(),
            due: BinaryHeap::new(),
            running: JoinSet::new(),
            random: fastrand::Rng::new(),
        }
    }

    /// Takes up those that are to be asked, and lets go of the others.
    fn look(&mut self, snapshot: &Snapshot, now: Instant) {
        self.asked.values_mut().for_each(|asked| asked.wanted = false);
        for pool in snapshot.pools() {
            let Some(policy) = &pool.config.health else { continue };
            for member in pool.upstream.members().iter() {
                let endpoint = &member.endpoint;
                let asked = match self.asked.entry(endpoint.id()) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        self.due.push(Reverse((now, endpoint.id())));
                        place.insert(Asked {
                            pool: pool.upstream.clone(),
                            endpoint: endpoint.clone(),
                            policy: policy.clone(),
                            due: now,
                            running: false,
                            wanted: false,
                        })
                    }
                };
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
        while let Some(&Reverse((due, endpoint_id))) = self.due.peek() {
            if due > now {
                return due - now;
            }
            if self.running.len() >= RUNNING_MAX {
                // The next one begins when one of them ends.
                return PACE;
            }
            self.due.pop();
            let asked = self.asked.get_mut(&endpoint_id);
            let Some(asked) = asked.filter(|it| !it.running && it.due == due) else { continue };
            asked.running = true;
            asked.due = now + jittered(&asked.policy, &mut self.random);
            let (endpoint, policy) = (asked.endpoint.clone(), asked.policy.clone());
            let dialect = asked.pool.dialect().clone();
            self.running.spawn(one(endpoint, dialect, policy, self.wheel.clone()));
        }
        PACE
    }

    /// What came of a check; nothing of one that panicked, whichever it was.
    fn end(&mut self, done: Option<Done>) {
        let Some(done) = done else {
            for (endpoint_id, asked) in self.asked.iter_mut().filter(|(_, asked)| asked.running) {
                asked.running = false;
                self.due.push(Reverse((asked.due, *endpoint_id)));
            }
            return;
        };
        let Some(asked) = self.asked.get_mut(&done.endpoint_id) else { return };
        asked.running = false;
        self.due.push(Reverse((asked.due, done.endpoint_id)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{config::LoadOptions, meters::Meters, snapshot::World};

    /// A snapshot of a pool with `endpoints` that are asked every second; nobody listens there.
    fn snapshot(world: &World, endpoints: usize) -> Snapshot {
        let addresses = (1..=endpoints).map(|port| format!("127.0.0.1:{port}"));
        let addresses = addresses.collect::<Vec<_>>().join(", ");
        let text = format!(
            "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
             audiences: [{{ name: everyone, pool: rails }}]\n\
             pools:\n  rails:\n    endpoints: [{addresses}]\n    capacity: 5\n\
             \x20   health: {{ path: /up, interval: 1s, timeout: 500ms }}\n"
        );
        let parsed = crate::config::parse_text("checks.yaml", &text, &LoadOptions::default());
        let (config, _) = parsed.unwrap_or_else(|problems| panic!("{problems}"));
        world.compile(Arc::new(config), 1)
    }

    #[tokio::test]
    async fn everybody_is_asked_in_turn_however_many_there_are_and_none_twice_at_once() {
        let world = World::new(Meters::new(1, &[]));
        let (few, many) = (snapshot(&world, 3), snapshot(&world, 3 * RUNNING_MAX));
        let mut checker = Checker::start();
        let now = Instant::now();
        checker.look(&many, now);
        checker.look(&many, now);
        let mut ended = 0;
        while ended < 3 * RUNNING_MAX {
            checker.begin_due(now);
            assert!((1..=RUNNING_MAX).contains(&checker.running.len()));
            let done = checker.running.join_next().await;
            checker.end(done.and_then(Result::ok));
            ended += 1;
        }
        assert!(checker.begin_due(now) > Duration::ZERO, "all have had their turn");
        assert!(checker.running.is_empty());
        assert_eq!(checker.due.len(), checker.asked.len());
        let later = now + Duration::from_secs(10);
        checker.look(&few, later);
        checker.begin_due(later);
        assert_eq!((checker.asked.len(), checker.running.len()), (3, 3), "the others have gone");
        checker.end(None);
        assert_eq!(checker.due.len(), 3, "one whose check panicked is asked again");
    }
}
