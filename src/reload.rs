//! From a file that has changed to a snapshot that is published, while usher runs.
//!
//! ```text
//! HUP, POST /api/v1/reload ─┐
//! the content has changed ──┴▶ read ─▶ compile ─▶ resolve new names ─▶ one store ─▶ doors
//!                               └ wrong in any way: nothing changes, and it is said
//! ```
//!
//! One reload at a time. Invariant: until the one store, nothing that a request can see has
//! changed; after it, a request sees all of it or, having begun before, none.

mod doors;
mod draft;
mod leisure;
mod mounts;
mod watch;

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use crate::{
    config::{self, Changes, Fixed, LoadOptions, Problem, Problems, Severity},
    discover::Directory,
    drain::Stage,
    edge::Order,
    meters::Reload,
    proxy::Common,
    snapshot::{Pool, Remains, Snapshot, World},
    stride::walk,
    systemd,
};

use doors::{Shut, order};
use draft::{Draft, Fair};
use leisure::Leisure;
use watch::{Fingerprint, Watch};

/// How long a reload waits for new names; what is not known by then is a down endpoint.
const RESOLVE_WAIT: Duration = Duration::from_secs(5);

/// Reloads the configuration of a running usher.
pub struct Reloader {
    path: Option<PathBuf>,
    fixed: Arc<Fixed>,
    world: Arc<World>,
    common: Arc<Common>,
    doors: mpsc::Sender<Order>,
    turn: Semaphore,
    leisure: Leisure,
    state: Mutex<State>,
}

/// One reload, while which there was no other.
#[derive(Debug)]
pub struct Turn {
    /// What was in use before it.
    pub before: Arc<Snapshot>,
    /// What was in use after it.
    pub after: Arc<Snapshot>,
    /// What came of it.
    pub reloaded: Reloaded,
}

/// What came of a reload.
#[derive(Debug)]
pub enum Reloaded {
    /// Another snapshot decides from now on.
    Applied {
        /// Its number.
        generation: u64,
        /// What changed.
        changes: Changes,
    },
    /// The content means what it meant before.
    Unchanged,
    /// Nothing has changed, because of these.
    Refused(Problems),
}

/// How the configuration in use stands to its file.
#[derive(Clone, Debug)]
pub struct Standing {
    /// When the configuration in use was put to use.
    pub loaded_at: SystemTime,
    /// What `check` would warn of.
    pub warnings: Vec<String>,
    /// What is written there and takes a restart to act, a line each.
    pub at_restart: Vec<String>,
    /// What is wrong with the file now, and since when; nothing else of it is in use.
    pub refused: Option<(SystemTime, Vec<String>)>,
}

struct State {
    standing: Standing,
    looked_at: Vec<PathBuf>,
    watch: Watch,
    seen: Fingerprint,
    shut: Shut,
    /// Snapshots that some worker may still hold. They are dropped here, not there.
    retired: Vec<Arc<Snapshot>>,
}

// === impl Reloader ===

impl Reloader {
    /// A reloader of `path`; without one there is nothing to reload.
    pub fn new(
        path: Option<PathBuf>,
        warnings: Vec<String>,
        world: Arc<World>,
        common: Arc<Common>,
        doors: mpsc::Sender<Order>,
    ) -> Self {
        let in_use = common.published.current().config.clone();
        let mut watch = Watch::default();
        let (mut looked_at, mut seen) = <(Vec<PathBuf>, Fingerprint)>::default();
        if let Some(path) = &path {
            let read = || config::inspect(path, &LoadOptions::default());
            let (examined, fingerprint) = watch.look_and_read(vec![path.clone()], read);
            // What has changed since the configuration in use was read is found at the first look.
            if examined.result.is_ok_and(|(config, _)| config.hash == in_use.hash) {
                seen = fingerprint;
            }
            looked_at = examined.looked_at;
        }
        let stuck = mounts::warnings(&looked_at);
        stuck.iter().for_each(|warning| tracing::warn!("{warning}"));
        let warnings = warnings.into_iter().chain(stuck).collect();
        let (loaded_at, at_restart) = (SystemTime::now(), Vec::new());
        let standing = Standing { loaded_at, warnings, at_restart, refused: None };
        let (shut, retired) = (Shut::default(), Vec::new());
        let state = State { standing, looked_at, watch, seen, shut, retired };
        let (turn, leisure, state) = (Semaphore::new(1), Leisure::default(), Mutex::new(state));
        let fixed = Arc::new(Fixed::of(&in_use));
        Self { path, fixed, world, common, doors, turn, leisure, state }
    }

    /// How the configuration in use stands to its file.
    pub fn standing(&self) -> Standing {
        self.state.lock().standing.clone()
    }

    /// The file.
    pub fn path(&self) -> Option<&PathBuf> {
        self.path.as_ref()
    }

    /// Reloads when the content has changed since it was last read, or when what it was refused for
    /// is no more; what came of it, if it was.
    pub async fn look(&self) -> Option<Turn> {
        self.let_go_of_retired();
        self.path.as_ref()?;
        // Whoever stops or has a successor changes nothing any more.
        if self.is_stopping() {
            return None;
        }
        let (looked_at, mut watch) = {
            let state = self.state.lock();
            (state.looked_at.clone(), state.watch.clone())
        };
        let look = move || {
            let seen = watch.look(&looked_at);
            (seen, watch)
        };
        let (seen, watch) = blocking(move || walk(look)).await?;
        {
            let mut state = self.state.lock();
            // What it remembers is right whoever looked last.
            state.watch = watch;
            state.news(&seen)?;
        }
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        // Who had the turn before may have read what was found here.
        let news = self.state.lock().news(&seen)?;
        tracing::info!("{news}");
        Some(self.reload_in_turn().await)
    }

    /// Reads the configuration again, and puts it to use when nothing is wrong with it.
    pub async fn reload(&self) -> Turn {
        // The semaphore is never closed.
        let _turn = self.turn.acquire().await;
        self.reload_in_turn().await
    }

    async fn reload_in_turn(&self) -> Turn {
        let before = self.common.published.current();
        systemd::reloading();
        let reloaded = self.try_reload(&before).await;
        self.tell(&reloaded);
        systemd::ready();
        Turn { before, after: self.common.published.current(), reloaded }
    }

    /// Lets go of snapshots that nobody uses any more, and of most of them at leisure: there may be
    /// much to free.
    fn let_go_of_retired(&self) {
        let unused = |snapshot: &mut Arc<Snapshot>| Arc::strong_count(snapshot) == 1;
        let retired: Vec<Arc<Snapshot>> = match self.leisure.has_room() {
            true => self.state.lock().retired.extract_if(.., unused).collect(),
            // What is left there waits for the next look.
            false => return,
        };
        let remains = retired.into_iter().filter_map(Arc::into_inner).map(Snapshot::into_remains);
        let remains: Vec<Remains> = remains.collect();
        if !remains.is_empty() {
            self.leisure.leave(move || remains.into_iter().for_each(Remains::let_go));
        }
    }

    fn is_stopping(&self) -> bool {
        self.common.drain.stage() > Stage::Running
    }

    async fn try_reload(&self, old: &Arc<Snapshot>) -> Reloaded {
        if self.is_stopping() {
            return refused("usher", "is stopping, and ends with the configuration it has");
        }
        let Some(path) = self.path.clone() else {
            return refused("usher", "runs without a file; there is nothing to reload");
        };
        let name = path.display().to_string();
        let (watch, looked_at) = {
            let state = self.state.lock();
            (state.watch.clone(), state.looked_at.clone())
        };
        let (bytes, known, fixed) = (watch.bytes(), old.config.clone(), self.fixed.clone());
        let read = move || Draft::of(&path, &known, &fixed, looked_at.clone(), watch.clone());
        let read = self.leisure.spend(bytes, read);
        let Some(Draft { result, looked_at, watch, seen }) = read.await else {
            return refused(&name, "cannot be read: reading it panicked");
        };
        {
            let mut state = self.state.lock();
            state.looked_at = looked_at;
            state.watch = watch;
            state.seen = seen;
            state.shut = Shut::default();
        }
        match result {
            Ok(None) => Reloaded::Unchanged,
            Ok(Some(fair)) => self.apply(&name, old, fair).await,
            Err(problems) => Reloaded::Refused(problems),
        }
    }

    async fn apply(&self, name: &str, old: &Arc<Snapshot>, fair: Fair) -> Reloaded {
        let Fair { config, warnings, classifier, changes } = fair;
        // New doors are bound before anything is let go of.
        let order = match order(&old.config, &config) {
            Ok(order) => order,
            Err(error) => {
                self.state.lock().shut = Shut::of(&config, &error.bind);
                return refused(name, &error.to_string());
            }
        };
        let (world, generation) = (self.world.clone(), old.generation + 1);
        // In strides, but not at leisure: members of pools are published on the way, with locks
        // that requests take.
        let build = blocking(move || walk(|| world.build(config, classifier, generation)));
        let Some(snapshot) = build.await else {
            return refused(name, "cannot be compiled: compiling it panicked");
        };
        resolve_new(self.world.directory(), old, &snapshot).await;
        self.common.published.publish(Arc::new(snapshot));
        // The acceptor takes an order at once; it has gone only when usher stops.
        let _ = self.doors.send(order).await;
        let mut state = self.state.lock();
        state.retired.push(old.clone());
        state.standing.loaded_at = SystemTime::now();
        state.standing.at_restart.clone_from(&changes.at_restart);
        let stuck = mounts::warnings(&state.looked_at);
        let warnings: Vec<String> = warnings.into_iter().chain(stuck).collect();
        // What was warned of before has been said.
        let news = warnings.iter().filter(|warning| !state.standing.warnings.contains(warning));
        news.for_each(|warning| tracing::warn!("{warning}"));
        state.standing.warnings = warnings;
        Reloaded::Applied { generation, changes }
    }

    /// Counts and logs what came of a reload, and remembers what is wrong.
    fn tell(&self, reloaded: &Reloaded) {
        let mut state = self.state.lock();
        match reloaded {
            Reloaded::Applied { generation, changes } => {
                self.common.meters.reloaded(Reload::Applied);
                state.standing.refused = None;
                tracing::info!(generation, "reloaded");
                changes.to_string().lines().for_each(|line| tracing::info!("{line}"));
            }
            Reloaded::Unchanged => {
                self.common.meters.reloaded(Reload::Unchanged);
                state.standing.refused = None;
                tracing::info!("reloaded: nothing changes");
            }
            Reloaded::Refused(problems) => {
                self.common.meters.reloaded(Reload::Refused);
                let errors = problems.as_slice().iter().filter(|it| it.severity == Severity::Error);
                let lines: Vec<String> = errors.map(Problem::headline).collect();
                lines.iter().for_each(|line| tracing::error!("not reloaded: {line}"));
                let since = state.standing.refused.take().map(|(since, _)| since);
                let since = since.unwrap_or_else(SystemTime::now);
                state.standing.refused = Some((since, lines));
            }
        }
    }
}

// === impl State ===

impl State {
    /// Why the file should be read, now that `seen` is there: what the log says of it.
    fn news(&self, seen: &Fingerprint) -> Option<&'static str> {
        if self.seen != *seen {
            return Some("the configuration's content has changed");
        }
        self.shut.can_be_opened().then_some("what could not be bound can be bound now")
    }
}

// === free functions ===

fn refused(name: &str, message: &str) -> Reloaded {
    Reloaded::Refused(Problems::new(vec![Problem::of_file(name, message.to_owned(), None)]))
}

/// Looks up the names of pools that were written anew and of which nothing is known yet, all at
/// once, so that no request finds them without.
#[expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]
async fn resolve_new(directory: &Arc<Directory>, old: &Snapshot, new: &Snapshot) {
    let kept =
        |pool: &Pool| old.pools().iter().any(|known| Arc::ptr_eq(&known.upstream, &pool.upstream));
    let named = |pool: &&Pool| pool.upstream.questions().next().is_some();
    let anew: Vec<_> = new.pools().iter().filter(named).filter(|pool| !kept(pool)).collect();
    let questions: BTreeSet<_> = anew.iter().flat_map(|pool| pool.upstream.questions()).collect();
    let mut look_ups = JoinSet::new();
    for question in questions {
        if directory.places(&question).is_empty() {
            let directory = directory.clone();
            look_ups.spawn(async move { directory.look_up(&question).await });
        }
    }
    // What comes too late is looked up again as soon as the house knows of it.
    let all = async { while look_ups.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(RESOLVE_WAIT, all).await;
    anew.iter().for_each(|pool| pool.upstream.follow());
}

/// Runs `work` beside the house's other tasks; `None` when it panicked.
#[expect(clippy::disallowed_methods, reason = "the house bounds its blocking threads")]
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}
