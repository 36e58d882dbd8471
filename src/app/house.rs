//! The house thread: everything that is not a request.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{net::TcpListener as StdListener, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{Signal, SignalKind, signal},
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    Bound, Ended, health,
    sight::HouseSight,
    threads::{self, Doors, Threads},
};
use crate::{
    control,
    drain::{Drain, Drainer, Stage},
    edge::Door,
    meters::CutOff,
    proxy::Common,
    reload::blocking,
    upstream::RESOLVE_EVERY,
};

/// How often meters are read for `status`.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How often what was counted for promises is written down: as much is lost by a power failure.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// How often the configuration's content is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often the exporter's registry is tidied.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// How long threads may take to end once everything has been cut.
const END_WAIT: Duration = Duration::from_secs(5);

/// How long tasks of the house may take to end.
const TASKS_WAIT: Duration = Duration::from_secs(2);

/// Signals that mean something to a running usher.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    user_1: Signal,
    user_2: Signal,
}

/// Runs `bound` until it is stopped.
pub(super) fn run(bound: Bound) -> Result<(), Ended> {
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(4).build()?;
    let ended = runtime.block_on(live(bound));
    // A log whose reader has gone may hold a blocking thread; it does not hold the process.
    runtime.shutdown_timeout(TASKS_WAIT);
    ended
}

async fn live(bound: Bound) -> Result<(), Ended> {
    // First of all: a signal that comes while starting must not kill.
    let signals = Signals::watch()?;
    let mut tasks = JoinSet::new();
    let Bound { sight, sockets, config, common, census, drainer, .. } = bound;
    let Bound { drain, writer, workers, orders, .. } = bound;
    serve_ports(&mut tasks, sockets.control, sockets.metrics, &sight)?;
    let (log_stop, log_stopped) = tokio::sync::oneshot::channel::<()>();
    let log = tokio::spawn(writer.run(async {
        // The sender is dropped when the house ends, which is as good.
        let _ = log_stopped.await;
    }));
    tasks.spawn(obey(signals, drainer.clone(), sight.clone()));
    resolve(&common).await;
    sight.resolved();
    tasks.spawn(resolve_again(common.clone()));
    tasks.spawn(read(sight.clone()));
    tasks.spawn(keep(sight.clone()));
    tasks.spawn(upkeep(common.clone()));
    tasks.spawn(health::mind(common.clone()));
    tasks.spawn(look(sight.clone()));
    let doors = config.listeners.iter().zip(sockets.listeners);
    let first = doors.map(|(listener, socket)| Door { bind: listener.bind, socket }).collect();
    let doors = Doors { first, orders, common: common.clone(), census };
    let threads = threads::start(doors, workers)?;
    let ended = attend(threads, drain, &drainer, &common).await;
    // The last lines are written when there is nobody left to write more.
    drop(log_stop);
    let _ = tokio::time::timeout(TASKS_WAIT, log).await;
    tasks.shutdown().await;
    // Nobody counts any more: what is written now is all there was.
    sight.books().read();
    sight.books().keep();
    ended
}

fn serve_ports(
    tasks: &mut JoinSet<()>,
    control: Option<StdListener>,
    metrics: Option<StdListener>,
    sight: &Arc<HouseSight>,
) -> Result<(), Ended> {
    if let Some(socket) = control {
        let listener = TcpListener::from_std(socket)?;
        tasks.spawn(control::serve_control(listener, sight.clone(), sight.guard().clone()));
    }
    if let Some(socket) = metrics {
        tasks.spawn(control::serve_metrics(TcpListener::from_std(socket)?, sight.clone()));
    }
    Ok(())
}

/// Watches the threads until they have ended, and moves stopping on when it has begun.
async fn attend(
    mut threads: Threads,
    drain: Drain,
    drainer: &Drainer,
    common: &Common,
) -> Result<(), Ended> {
    // Neither arm loses anything that matters after the other. Stopping is looked at first: when it
    // goes straight to the end, threads may have ended by the time this task looks.
    tokio::select! {
        biased;
        () = drain.reached(Stage::Grace) => {}
        ended = threads.next_ended() => {
            let thread = ended.unwrap_or_default();
            return Err(Ended::Died { thread });
        }
    }
    let patience = common.published.current().config.drain.clone();
    tracing::info!(grace = ?patience.grace, "stopping: not ready any more");
    let timetable = [
        (Stage::Finishing, patience.grace),
        (Stage::Cutting, patience.requests),
        // Each tunnel keeps its own time; this is for those that a second signal cuts.
        (Stage::Ending, patience.tunnels.saturating_sub(patience.requests)),
    ];
    for (stage, wait) in timetable {
        // A second signal goes straight to the last stage.
        tokio::select! {
            () = threads.all_ended() => return farewell(threads, common),
            () = tokio::time::sleep(wait) => {}
            () = drain.reached(Stage::Ending) => {}
        }
        drainer.advance(stage);
        tell(stage, common);
    }
    match tokio::time::timeout(END_WAIT, threads.all_ended()).await {
        Ok(()) => farewell(threads, common),
        Err(_late) => Err(Ended::Stuck { seconds: END_WAIT.as_secs() }),
    }
}

/// Says how stopping goes on.
fn tell(stage: Stage, common: &Common) {
    let requests: u64 = common.meters.audiences().iter().map(|audience| audience.in_flight).sum();
    let tunnels = common.tunnels.open();
    match stage {
        Stage::Running | Stage::Grace => {}
        Stage::Finishing => {
            tracing::info!(requests, tunnels, "stopping: nothing is accepted any more");
        }
        Stage::Cutting if requests > 0 => {
            tracing::warn!(requests, "stopping: requests that are left are cut");
        }
        Stage::Ending if tunnels > 0 => {
            tracing::warn!(tunnels, "stopping: tunnels that are left are cut");
        }
        Stage::Cutting | Stage::Ending => {}
    }
}

fn farewell(threads: Threads, common: &Common) -> Result<(), Ended> {
    if !threads.join() {
        return Err(Ended::Died { thread: "a thread".to_owned() });
    }
    match common.meters.cut_off() {
        CutOff { requests: 0, tunnels: 0 } => tracing::info!("stopped"),
        CutOff { requests, tunnels } => {
            tracing::warn!(requests, tunnels, "stopped; these were cut off");
        }
    }
    Ok(())
}

/// Does what signals say.
async fn obey(mut signals: Signals, drainer: Arc<Drainer>, sight: Arc<HouseSight>) {
    let mut stops = 0;
    loop {
        // A signal that comes while another is handled is kept by its stream.
        let stop = tokio::select! {
            _ = signals.terminate.recv() => true,
            _ = signals.interrupt.recv() => true,
            _ = signals.user_1.recv() => {
                sight.reopen_log();
                false
            }
            _ = signals.hang_up.recv() => {
                sight.reload_by(&control::By::itself("signal")).await;
                false
            }
            _ = signals.user_2.recv() => {
                tracing::warn!("USR2: a running usher does not upgrade yet; restart it instead");
                false
            }
        };
        if stop {
            stops += 1;
            drainer.advance(if stops == 1 { Stage::Grace } else { Stage::Ending });
        }
    }
}

/// Looks up the names of all pools, all at once.
async fn resolve(common: &Common) {
    let snapshot = common.published.current();
    let mut lookups = JoinSet::new();
    for pool in snapshot.pools() {
        let (name, upstream) = (pool.name.clone(), pool.upstream.clone());
        lookups.spawn(async move {
            upstream.resolve().await;
            for (host, trouble) in upstream.unresolved() {
                tracing::warn!(pool = %name, host, trouble, "an endpoint does not resolve");
            }
        });
    }
    while lookups.join_next().await.is_some() {}
}

async fn resolve_again(common: Arc<Common>) {
    let mut ticks = interval(RESOLVE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let snapshot = common.published.current();
        for pool in snapshot.pools().iter().filter(|pool| pool.upstream.has_names()) {
            pool.upstream.resolve().await;
        }
    }
}

/// Keeps what was counted for promises.
async fn keep(sight: Arc<HouseSight>) {
    let mut ticks = interval(KEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sight = sight.clone();
        blocking(move || sight.books().keep()).await;
    }
}

async fn read(sight: Arc<HouseSight>) {
    let mut ticks = interval(READ_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sight.read();
    }
}

/// Looks once a second whether the content of files has changed.
async fn look(sight: Arc<HouseSight>) {
    let mut ticks = interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sight.look().await;
    }
}

async fn upkeep(common: Arc<Common>) {
    let mut ticks = interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        common.meters.upkeep();
    }
}

// === impl Signals ===

impl Signals {
    fn watch() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }
}
