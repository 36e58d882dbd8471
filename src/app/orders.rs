//! Operators' orders, carried out: in force at once, kept over a restart, written down.
//!
//! One order at a time, so that of two operators each is told what the other did before.

mod still;

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::{sight::rfc3339, targets};
use crate::{
    config::{Config, Problem, Severity},
    control::{Asked, By, Deed, Guard, Order, Ordered, OrderedView, Refused, VerbView},
    drain::Stage,
    meters::VerbGauges,
    proxy::Common,
    reload::{Reloaded, Turn, blocking},
    snapshot::{Snapshot, World},
    units::format_duration,
    verbs::{self, Action, Register, Store, Target, Verb},
};

pub(super) use still::{GONE, Still};

/// Carries orders out.
pub(super) struct Orders {
    common: Arc<Common>,
    world: Arc<World>,
    guard: Arc<Guard>,
    store: Option<Store>,
    turn: Semaphore,
    /// Whether nothing may be ordered here.
    still: AtomicBool,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

#[derive(Default)]
struct State {
    register: Register,
    /// Why verbs are not kept as they should be.
    trouble: Option<String>,
}

// === impl Orders ===

impl Orders {
    /// With what was in force when usher was last stopped, as far as `state_dir` knows.
    pub(super) fn new(
        common: Arc<Common>,
        world: Arc<World>,
        guard: Guard,
        config: &Config,
    ) -> Self {
        let store = config.state_dir.as_deref().map(Store::new);
        let (turn, still) = (Semaphore::new(1), AtomicBool::default());
        let (state, changed) = (Mutex::default(), watch::Sender::new(()));
        let guard = Arc::new(guard);
        let orders = Self { common, world, guard, store, turn, still, state, changed };
        match orders.store.as_ref().map(Store::load) {
            None => {}
            Some(Ok((verbs, complaints))) => orders.take_over(verbs, complaints),
            Some(Err(error)) => {
                tracing::error!("operators' verbs of before cannot be read: {error}");
                let trouble = format!("operators' verbs of before are forgotten: {error}");
                orders.state.lock().trouble = Some(trouble);
            }
        }
        orders
    }

    /// Puts `verbs` in force and nothing else: another process knows better, whether it goes and
    /// hands over or has come and is told what this one only carries out. What is in force already
    /// stays so without a gap.
    pub(super) fn take_over(&self, verbs: Vec<Verb>, complaints: Vec<String>) {
        for complaint in complaints {
            tracing::warn!("operators' verbs of another process: {complaint}");
        }
        let mut state = self.state.lock();
        let before: Vec<Verb> = state.register.iter().cloned().collect();
        let mut register = Register::default();
        for verb in verbs {
            if !before.contains(&verb) {
                let (target, action) = (&verb.target, &verb.action);
                tracing::warn!(by = verb.by, "{target} is {}, as was ordered", action.state());
            }
            if let Err(error) = register.put(verb) {
                tracing::error!("operators' verbs of another process: {error}");
            }
        }
        register.expire(SystemTime::now());
        self.apply(&register, &before);
        state.register = register;
    }

    /// Tells when something may have been put in force or ended.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// What stands between the control port and whoever reaches it.
    pub(super) fn guard(&self) -> &Arc<Guard> {
        &self.guard
    }

    /// What outlives every snapshot.
    pub(super) fn world(&self) -> &World {
        &self.world
    }

    /// Carries `order` out for `by`.
    pub(super) async fn carry_out(&self, order: Order, by: By) -> Ordered {
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        let snapshot = self.common.published.current();
        let register = self.state.lock().register.clone();
        let found = if self.are_still() {
            Err(Refused::Unwise(GONE.to_owned()))
        } else {
            targets::find(&order, &snapshot, &register)
        };
        let ordered = found.and_then(|(targets, notes)| self.put(&order, &by, &targets, notes));
        match ordered {
            Ok(mut view) => {
                let kept = self.keep().await;
                // What has ended has nothing to outlive.
                view.notes.extend(kept.filter(|_| !view.after.is_empty()));
                self.note(&order, &by, &view);
                Ok(view)
            }
            Err(refused) => {
                let (Refused::Unknown(detail) | Refused::Unwise(detail)) = &refused;
                self.guard.audit.note(&Deed {
                    target: Some(order.target),
                    detail: Some(detail.clone()),
                    ..by.deed(order.asked.name(), "refused")
                });
                Err(refused)
            }
        }
    }

    /// Writes down what came of a reload.
    pub(super) fn note_reload(&self, by: &By, turn: &Turn) {
        let (result, detail) = match &turn.reloaded {
            Reloaded::Applied { changes, .. } => ("done", Some(changes.to_string())),
            Reloaded::Unchanged => ("unchanged", None),
            Reloaded::Refused(problems) => {
                // Warnings stand among them, and have refused nothing.
                let mut errors = problems.as_slice().iter();
                let first = errors.find(|problem| problem.severity == Severity::Error);
                ("refused", first.map(Problem::headline))
            }
        };
        let shown = |snapshot: &Snapshot| {
            let hash = &snapshot.config.hash;
            json!({ "generation": snapshot.generation, "hash": hash })
        };
        self.guard.audit.note(&Deed {
            before: shown(&turn.before),
            after: shown(&turn.after),
            detail: detail.map(|text| text.trim_end().replace('\n', "; ")),
            ..by.deed("reload", result)
        });
    }

    /// In force from here on, and for all workers.
    fn put(&self, order: &Order, by: &By, targets: &[Target], notes: Vec<String>) -> Ordered {
        let now = SystemTime::now();
        let mut state = self.state.lock();
        let of = |register: &Register| -> Vec<Verb> {
            targets.iter().flat_map(|target| register.of(target)).collect()
        };
        let before = of(&state.register);
        let before_views = self.views(&before, now);
        let mut register = state.register.clone();
        for target in targets {
            match verb(order, by, target, now) {
                Some(verb) => {
                    register.put(verb).map_err(|error| Refused::Unwise(format!("{error}.")))?;
                }
                None => {
                    register.end(target);
                }
            }
        }
        state.register = register;
        self.apply(&state.register, &before);
        let after = of(&state.register);
        let result = if before.is_empty() && after.is_empty() { "unchanged" } else { "done" };
        Ok(OrderedView {
            result: result.to_owned(),
            before: before_views,
            after: self.views(&after, now),
            notes,
        })
    }

    /// Sees to it that gates and endpoints are as `register` says; `before` was in force and may
    /// have ended.
    fn apply(&self, register: &Register, before: &[Verb]) {
        self.common.gates.renew(register);
        let endpoints = self.world.endpoints();
        for verb in before.iter().chain(register.iter()) {
            let Target::Endpoint(address) = &verb.target else { continue };
            let Some(address) = targets::address(address) else { continue };
            if register.drains(verb.target.name()) {
                endpoints.drain(&address);
            } else {
                endpoints.undrain(&address);
            }
        }
        self.changed.send_replace(());
    }

    /// Ends what is over at `now`.
    pub(super) async fn expire(&self, now: SystemTime) {
        let _turn = self.turn.acquire().await;
        let over = {
            let mut state = self.state.lock();
            let over = state.register.expire(now);
            // Also for lines that were opened and have emptied since.
            self.apply(&state.register, &over);
            over
        };
        // Once it stops, its successor or the next start counts the time.
        if over.is_empty() || self.is_stopping() {
            return;
        }
        self.keep().await;
        for verb in &over {
            self.guard.audit.note(&Deed {
                target: Some(verb.target.to_string()),
                before: self.told(std::slice::from_ref(verb), now),
                detail: Some(format!("ordered by {}", verb.by)),
                ..By::itself("expiry").deed(verb.action.name(), "done")
            });
        }
    }

    /// Keeps what is in force over a restart; a sentence about whether it is kept.
    async fn keep(&self) -> Option<String> {
        let Some(store) = self.store.clone() else {
            return Some("It does not outlive a restart: there is no `state_dir`.".to_owned());
        };
        if self.is_stopping() {
            return Some("It does not outlive this process, which is stopping.".to_owned());
        }
        let text = self.kept();
        let saved = blocking(move || store.save(&text).map_err(|error| error.to_string())).await;
        let trouble = match saved {
            Some(Ok(())) => None,
            Some(Err(error)) => Some(format!("operators' verbs cannot be kept: {error}")),
            None => Some("operators' verbs cannot be kept: writing them panicked".to_owned()),
        };
        if let Some(trouble) = &trouble {
            tracing::error!("{trouble}");
        }
        self.state.lock().trouble.clone_from(&trouble);
        trouble.map(|trouble| format!("It does not outlive a restart: {trouble}."))
    }

    /// Whether what is kept belongs to another process from now on.
    fn is_stopping(&self) -> bool {
        self.common.drain.stage() > Stage::Running
    }

    /// What is in force, as text for another process.
    pub(super) fn kept(&self) -> String {
        verbs::write(self.state.lock().register.iter())
    }

    /// What is wrong with keeping them, and which pools have only drained endpoints.
    pub(super) fn troubles(&self) -> Vec<String> {
        let mut troubles: Vec<String> = self.state.lock().trouble.clone().into_iter().collect();
        for pool in self.common.published.current().pools() {
            let members = pool.upstream.members();
            let mut members = members.iter().peekable();
            if members.peek().is_some() && members.all(|it| it.endpoint.is_drained()) {
                troubles.push(format!("every endpoint of pool {} is drained", pool.name));
            }
        }
        troubles
    }

    /// What is in force now.
    pub(super) fn in_force(&self) -> Vec<VerbView> {
        let register = self.state.lock().register.clone();
        let verbs: Vec<Verb> = register.iter().cloned().collect();
        self.views(&verbs, SystemTime::now())
    }

    /// What is in force now, for a scrape.
    pub(super) fn gauges(&self) -> Vec<VerbGauges> {
        let gauges = self.in_force().into_iter().map(|view| VerbGauges {
            verb: view.verb,
            kind: view.kind,
            target: view.target,
            waiting: view.waiting,
        });
        gauges.collect()
    }

    fn views(&self, verbs: &[Verb], now: SystemTime) -> Vec<VerbView> {
        let snapshot = self.common.published.current();
        verbs
            .iter()
            .map(|verb| self.view(verb, targets::is_known(&verb.target, &snapshot), now))
            .collect()
    }

    fn view(&self, verb: &Verb, known: bool, now: SystemTime) -> VerbView {
        let mut view = VerbView {
            verb: verb.action.name().to_owned(),
            kind: verb.target.kind().to_owned(),
            target: verb.target.name().to_owned(),
            by: verb.by.clone(),
            reason: verb.reason.clone(),
            since: rfc3339(verb.since),
            until: verb.until.map(rfc3339),
            // Rounded up: what is in force has a second left.
            seconds_left: verb.left(now).map(|left| left.as_secs_f64().ceil() as u64),
            known,
            ..VerbView::default()
        };
        match &verb.action {
            Action::Pause { wait, requests } => {
                view.waiting = Some(self.common.gates.waiting(&verb.target) as u64);
                view.requests = Some(u64::from(*requests));
                view.wait_ms = u64::try_from(wait.as_millis()).ok();
            }
            Action::Maintenance { allow } => {
                view.allow = allow.networks.iter().map(ToString::to_string).collect();
                view.allow_users = allow.users.iter().map(ToString::to_string).collect();
            }
            Action::Drain => {}
        }
        view
    }

    fn told(&self, verbs: &[Verb], now: SystemTime) -> Value {
        serde_json::to_value(self.views(verbs, now)).unwrap_or_default()
    }

    fn note(&self, order: &Order, by: &By, view: &OrderedView) {
        let told = |views: &[VerbView]| match views {
            [] => Value::Null,
            views => serde_json::to_value(views).unwrap_or_default(),
        };
        let result = if view.result == "done" { "done" } else { "unchanged" };
        self.guard.audit.note(&Deed {
            target: Some(order.target.clone()),
            before: told(&view.before),
            after: told(&view.after),
            detail: order.length.map(|length| format!("for {}", format_duration(length))),
            ..by.deed(order.asked.name(), result)
        });
    }
}

// === free functions ===

/// What `order` puts in force for `target`; `None` when it ends what is.
fn verb(order: &Order, by: &By, target: &Target, now: SystemTime) -> Option<Verb> {
    let action = match order.asked {
        Asked::Pause => Action::Pause { wait: order.wait, requests: order.requests },
        Asked::Maintenance => Action::Maintenance { allow: order.allow.clone() },
        Asked::Drain => Action::Drain,
        Asked::Resume | Asked::Undrain => return None,
    };
    let until = order.length.and_then(|length: Duration| now.checked_add(length));
    let (by, reason) = (by.name(), by.why.reason.clone());
    Some(Verb { action, target: target.clone(), by, reason, since: now, until })
}
