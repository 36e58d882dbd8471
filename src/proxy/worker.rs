//! What one worker brings to every request, and what all workers share.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crossbeam_utils::CachePadded;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{buffers::Buffers, gather::Spool, memory::Memory, orphan::Orphanage};
use crate::{
    deadline::Wheel,
    drain::Drain,
    identity::{self, Evidence, Found, Moment},
    meters::Meters,
    snapshot::{Identities, Pool, Published, View, Viewer},
    telemetry::AccessLog,
    upstream::{Asking, Connections, Lacking, Lease, Shelves},
    verbs::Gates,
};

/// How often a worker says what a client has done.
const COMPLAINTS_APART: Duration = Duration::from_secs(1);

/// One worker's means. Only its own thread touches them, so that its locks are never contended; but
/// for the idle connections, which another worker may take before it makes one.
#[derive(Debug)]
pub struct Worker {
    /// Its number, from 0: which cell of a meter it writes.
    pub index: usize,
    /// Its deadlines.
    pub wheel: Wheel,
    /// Its connections to endpoints.
    pub connections: Arc<Connections>,
    /// Its slots whose request has gone.
    pub orphanage: Orphanage,
    /// What it shares with the others.
    pub common: Arc<Common>,
    own: Mutex<Own>,
}

/// What all workers share. Nothing in here is written for an ordinary request.
#[derive(Debug)]
pub struct Common {
    /// The snapshot that is current.
    pub published: Published,
    /// Where everything is counted.
    pub meters: Arc<Meters>,
    /// Where settled requests are written down.
    pub log: AccessLog,
    /// What operators hold back or have closed.
    pub gates: Gates,
    /// What is remembered of requests that have ended.
    pub memory: Memory,
    /// How much memory bodies occupy.
    pub buffers: Arc<Buffers>,
    /// Where large bodies lie while they are gathered.
    pub spool: Spool,
    /// How far stopping has come.
    pub drain: Drain,
    /// This process's name in `Via`: `usher-<8 hex>`.
    pub pseudonym: String,
    /// Tunnels that are open.
    pub tunnels: Arc<Tunnels>,
    /// Idle connections to endpoints.
    pub shelves: Arc<Shelves>,
    /// Whether workers live.
    pub pulse: Pulse,
    /// Who still has clients when usher stops.
    pub crew: Crew,
}

/// A beat a second of each worker, which shows that it turns its loop.
#[derive(Debug)]
pub struct Pulse(Box<[CachePadded<AtomicU64>]>);

/// Workers that may still have clients.
///
/// A connection to an endpoint that is on its way from one worker to another is still watched by
/// the first. So no worker ends before the last of them has nothing to do.
#[derive(Debug)]
pub struct Crew(watch::Sender<usize>);

/// One worker that may still have clients. Dropping it says that there will be none.
#[derive(Debug)]
pub struct OnDuty(Arc<Common>);

/// Counts tunnels, over all workers.
#[derive(Debug, Default)]
pub struct Tunnels {
    open: AtomicU64,
    /// How many have been given their turn to close.
    turns: AtomicU64,
}

/// A place among the tunnels. Dropping it makes room for another.
#[derive(Debug)]
pub struct TunnelPlace(Arc<Tunnels>);

#[derive(Debug)]
struct Own {
    viewer: Viewer,
    complained: Option<Instant>,
    /// What is remembered of tokens.
    tokens: identity::Cache,
}

// === impl Worker ===

impl Worker {
    /// Worker `index`, on the runtime that is current, whose timers it uses.
    pub fn start(index: usize, common: Arc<Common>) -> Arc<Self> {
        Self::with(Wheel::start(), index, common)
    }

    /// Worker `index`, on the runtime that is current and drives `wheel`.
    pub fn with(wheel: Wheel, index: usize, common: Arc<Common>) -> Arc<Self> {
        let own = Own {
            viewer: Viewer::new(&common.published),
            complained: None,
            tokens: identity::Cache::default(),
        };
        Arc::new(Self {
            index,
            wheel,
            connections: Arc::new(Connections::of(index, common.shelves.clone())),
            orphanage: Orphanage::start(),
            common,
            own: Mutex::new(own),
        })
    }

    /// A view of the snapshot that is current.
    pub fn view(&self) -> Arc<View> {
        self.own.lock().viewer.view()
    }

    /// Who asks, as far as a request proves that.
    pub fn identify(&self, identities: &Identities, evidence: &Evidence<'_>) -> Found {
        let tokens = &mut self.own.lock().tokens;
        identities.sources.find(evidence, tokens, Moment::now(), |source, outcome| {
            identities.meters[source].asked(self.index, outcome.err().map(|flaw| flaw as usize));
        })
    }

    /// A slot of one of the endpoints of `pool`.
    pub fn lease(&self, pool: &Pool, asking: &Asking<'_>) -> Result<Lease, Lacking> {
        pool.upstream.lease(asking, &mut fastrand::Rng::new())
    }

    /// Ends what goes on without a connection of a client.
    pub async fn close(&self) {
        self.orphanage.close().await;
        self.connections.clear();
    }

    /// What a worker does now and then even when nobody asks for anything: closes connections that
    /// have expired or that lead to drained endpoints, and lets go of an old snapshot.
    pub fn sweep(&self, now: Instant) {
        self.connections.sweep(now);
        let view = self.view();
        for pool in view.pools() {
            let members = pool.upstream.members();
            let drained = members.iter().filter(|member| member.endpoint.is_drained());
            drained.for_each(|member| self.connections.leave(&member.endpoint));
        }
    }

    /// Says what a client has done, at most once a second: a flood of clients must not become one
    /// of the log. What is not said is counted all the same.
    pub fn complain(&self, say: impl FnOnce()) {
        let now = Instant::now();
        let mut own = self.own.lock();
        if own.complained.is_some_and(|at| now - at < COMPLAINTS_APART) {
            return;
        }
        own.complained = Some(now);
        drop(own);
        say();
    }
}

// === impl Common ===

impl Common {
    /// A name for `Via` that no other process is likely to have.
    pub fn draw_pseudonym() -> String {
        format!("usher-{:08x}", fastrand::u32(..))
    }
}

// === impl Pulse ===

impl Pulse {
    /// Of `workers` workers.
    pub fn of(workers: usize) -> Self {
        Self((0..workers).map(|_| CachePadded::default()).collect())
    }

    /// `worker` lives.
    pub fn beat(&self, worker: usize) {
        self.0[worker].fetch_add(1, Ordering::Relaxed);
    }

    /// The beats of all.
    pub fn read(&self) -> Vec<u64> {
        self.0.iter().map(|beats| beats.load(Ordering::Relaxed)).collect()
    }
}

// === impl Crew ===

impl Crew {
    /// `workers` workers, each of which is on duty until it says otherwise.
    pub fn of(workers: usize) -> Self {
        Self(watch::Sender::new(workers))
    }

    /// Ready once nobody is on duty.
    pub async fn all_have_left(&self) {
        // The sender is here, so the channel stays open.
        let _ = self.0.subscribe().wait_for(|on_duty| *on_duty == 0).await;
    }
}

// === impl OnDuty ===

impl OnDuty {
    /// One of the crew of `common`.
    pub fn of(common: &Arc<Common>) -> Self {
        Self(common.clone())
    }
}

impl Drop for OnDuty {
    fn drop(&mut self) {
        self.0.crew.0.send_modify(|on_duty| *on_duty = on_duty.saturating_sub(1));
    }
}

// === impl Tunnels ===

impl Tunnels {
    /// A place, unless there are `max` already.
    pub fn enter(self: &Arc<Self>, max: u64) -> Option<TunnelPlace> {
        let enter = |open| (open < max).then_some(open + 1);
        self.open.fetch_update(Ordering::AcqRel, Ordering::Relaxed, enter).ok()?;
        Some(TunnelPlace(self.clone()))
    }

    /// How many are open.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }

    /// When the next one closes that has to, as a share of the time there is.
    ///
    /// Multiples of the golden ratio's fraction lie evenly however many there are (Knuth, The Art
    /// of Computer Programming, §6.4), so nobody has to know how many tunnels the others hold.
    pub fn turn(&self) -> f64 {
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
        turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) as f64 / (u64::MAX as f64 + 1.0)
    }
}

// === impl TunnelPlace ===

impl Drop for TunnelPlace {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_to_close_lie_evenly_however_many_there_are() {
        for count in [1, 2, 7, 100, 1000] {
            let tunnels = Tunnels::default();
            let mut turns: Vec<f64> = (0..count).map(|_| tunnels.turn()).collect();
            turns.sort_by(f64::total_cmp);
            assert!(turns.iter().all(|turn| (0.0..1.0).contains(turn)));
            let gaps = turns.windows(2).map(|pair| pair[1] - pair[0]);
            let widest = gaps.fold(0.0, f64::max);
            assert!(widest < 2.0 / f64::from(count), "{count}: {widest}");
        }
    }
}
