//! What requests see of verbs: whether their audience or pool is closed to them now.
//!
//! Without a verb in force a request pays one relaxed load, of a cache line that nobody writes.
//! With one, every request looks its audience and pool up in a table that is swapped whole.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use arc_swap::ArcSwap;
use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::{Action, Allowed, Register, Target, Verb, line::Line};
use crate::{name::Name, peer::Client};

/// The gates of all audiences and pools.
#[derive(Debug, Default)]
pub struct Gates {
    in_force: CachePadded<AtomicBool>,
    table: ArcSwap<Table>,
    /// Those of paused targets, and those in which somebody still waits.
    lines: Mutex<FxHashMap<Target, Arc<Line>>>,
}

/// A target in maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// Until when, when that is known.
    pub until: Option<SystemTime>,
}

/// A paused target.
#[derive(Clone, Debug)]
pub struct Held {
    /// Where to wait.
    pub line: Arc<Line>,
    /// How long.
    pub wait: Duration,
    /// How many may.
    pub requests: usize,
    /// Until when it is paused, when that is known.
    pub until: Option<SystemTime>,
}

#[derive(Debug, Default)]
struct Table {
    audiences: FxHashMap<Name, Gate>,
    pools: FxHashMap<Name, Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    closed: Option<(Closed, Allowed)>,
    held: Option<Held>,
}

// === impl Gates ===

impl Gates {
    /// Whether any audience or pool is paused or in maintenance.
    pub fn in_force(&self) -> bool {
        self.in_force.load(Ordering::Relaxed)
    }

    /// Whether `audience` or `pool` is in maintenance, and not for `client`, who is `user` where
    /// that was proved.
    pub fn closed(
        &self,
        audience: &Name,
        pool: &Name,
        client: Client,
        user: Option<&str>,
    ) -> Option<Closed> {
        self.table.load().of(audience, pool).find_map(|gate| {
            let (closed, allow) = gate.closed.as_ref()?;
            (!allow.passes(client, user)).then_some(*closed)
        })
    }

    /// Where requests of `audience` to `pool` have to wait: the audience's own line comes first.
    /// `passed` are those that have been waited in.
    pub fn held(&self, audience: &Name, pool: &Name, passed: &[Arc<Line>]) -> Option<Held> {
        let table = self.table.load();
        let mut held = table.of(audience, pool).filter_map(|gate| gate.held.as_ref());
        held.find(|held| !passed.iter().any(|line| Arc::ptr_eq(line, &held.line))).cloned()
    }

    /// Sees to it that the gates are as `register` says. Lines that are no longer paused open.
    pub fn renew(&self, register: &Register) {
        let mut lines = self.lines.lock();
        let mut table = Table::default();
        for verb in register.iter() {
            table.add(verb, &mut lines);
        }
        let is_held = |target: &Target| {
            let paused = |verb: &Verb| matches!(verb.action, Action::Pause { .. });
            register.iter().any(|verb| paused(verb) && verb.target == *target)
        };
        let in_force = !table.audiences.is_empty() || !table.pools.is_empty();
        // Published before lines open: who comes from now on does not enter them any more.
        self.table.store(Arc::new(table));
        self.in_force.store(in_force, Ordering::Relaxed);
        lines.retain(|target, line| {
            let held = is_held(target);
            if held {
                line.close()
            } else {
                line.open()
            }
            held || !line.is_empty()
        });
    }

    /// How many requests wait because `target` is or was paused.
    pub fn waiting(&self, target: &Target) -> usize {
        self.lines.lock().get(target).map_or(0, |line| line.len())
    }
}

// === impl Table ===

impl Table {
    fn of(&self, audience: &Name, pool: &Name) -> impl Iterator<Item = &Gate> {
        self.audiences.get(audience).into_iter().chain(self.pools.get(pool))
    }

    fn add(&mut self, verb: &Verb, lines: &mut FxHashMap<Target, Arc<Line>>) {
        let gate = match &verb.target {
            Target::Audience(name) => self.audiences.entry(name.clone()).or_default(),
            Target::Pool(name) => self.pools.entry(name.clone()).or_default(),
            Target::Endpoint(_) => return,
        };
        match &verb.action {
            Action::Pause { wait, requests } => {
                let line = lines.entry(verb.target.clone()).or_insert_with(Line::new).clone();
                let (wait, requests, until) = (*wait, *requests as usize, verb.until);
                gate.held = Some(Held { line, wait, requests, until });
            }
            Action::Maintenance { allow } => {
                gate.closed = Some((Closed { until: verb.until }, allow.clone()));
            }
            Action::Drain => {}
        }
    }
}

// === impl Allowed ===

impl Allowed {
    fn passes(&self, client: Client, user: Option<&str>) -> bool {
        let known = user.is_some_and(|user| self.users.iter().any(|allowed| &**allowed == user));
        known || self.networks.iter().any(|network| network.contains(client))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    fn verb(action: Action, target: Target) -> Verb {
        let (by, since) = ("alice".to_owned(), SystemTime::UNIX_EPOCH);
        Verb { action, target, by, reason: None, since, until: None }
    }

    fn pause(target: Target) -> Verb {
        verb(Action::Pause { wait: super::super::WAIT, requests: 1 }, target)
    }

    #[test]
    fn maintenance_is_for_its_target_and_not_for_the_networks_and_users_it_allows() {
        let (gates, mut register) = (Gates::default(), Register::default());
        let networks = vec!["10.0.0.0/8".parse().expect("a network")];
        let allow = Allowed { networks, users: vec!["17".into()] };
        let action = Action::Maintenance { allow };
        register.put(verb(action, Target::Pool(name("web")))).expect("there is room");
        gates.renew(&register);
        assert!(gates.in_force());
        let closed_to = |pool: &str, client: [u8; 4], user| {
            gates.closed(&name("customer"), &name(pool), Client::Ip(client.into()), user).is_some()
        };
        let closed = |pool: &str, client| closed_to(pool, client, None);
        assert!(closed("web", [192, 0, 2, 1]) && !closed("web", [10, 1, 2, 3]));
        assert!(!closed_to("web", [192, 0, 2, 1], Some("17")));
        assert!(closed_to("web", [192, 0, 2, 1], Some("170")));
        assert!(!closed("admin", [192, 0, 2, 1]));
        register.end(&Target::Pool(name("web")));
        gates.renew(&register);
        assert!(!gates.in_force() && !closed("web", [192, 0, 2, 1]));
    }

    #[test]
    fn a_target_that_is_paused_again_keeps_its_line_while_somebody_waits_in_it() {
        let (gates, mut register) = (Gates::default(), Register::default());
        let (customer, web) = (name("customer"), name("web"));
        let target = Target::Audience(customer.clone());
        let held = || gates.held(&customer, &web, &[]).expect("it is paused");
        register.put(pause(target.clone())).expect("there is room");
        gates.renew(&register);
        let first = held();
        let _waiting = first.line.enter(9, 1).expect("there is room");
        let _more = first.line.enter(9, 1).expect("there is room");
        register.end(&target);
        gates.renew(&register);
        assert!(gates.held(&customer, &web, &[]).is_none());
        assert_eq!(gates.waiting(&target), 1, "one has its turn, one does not yet");
        register.put(pause(target.clone())).expect("there is room");
        gates.renew(&register);
        assert!(Arc::ptr_eq(&held().line, &first.line));
        assert!(gates.held(&customer, &web, &[first.line]).is_none(), "it has been waited in");
    }

    #[test]
    fn a_drained_endpoint_is_nothing_to_requests() {
        let (gates, mut register) = (Gates::default(), Register::default());
        let target = Target::Endpoint("10.0.0.1:80".into());
        register.put(verb(Action::Drain, target)).expect("there is room");
        gates.renew(&register);
        assert!(!gates.in_force());
    }
}
