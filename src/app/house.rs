//! The house thread: everything that is not a request.

#![expect(clippy::disallowed_methods, reason = "the house has few waits, and no wheel")]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use super::{
    Bound, Ended, House, certificates, checks,
    fleet::ASK_EVERY,
    health,
    issuers::Issuers,
    life,
    parting::{attend_and_tell, settle_estate},
    sight::HouseSight,
    signals::{self, Signals},
    threads::{self, Doors, Threads},
};
use crate::{
    bind::Access,
    control, descriptors,
    drain::{Drain, Drainer, Stage},
    edge::{Door, Listening, SocketFile},
    meters::CutOff,
    proxy::Common,
    reload::blocking,
    systemd,
};

/// How often meters are read for `status`.
const READ_EVERY: Duration = Duration::from_secs(1);

/// How often what was counted for promises is written down: as much is lost by a power failure.
const KEEP_EVERY: Duration = Duration::from_secs(5);

/// How often is written down which versions of apps came. It matters over a day.
const KEEP_VERSIONS_EVERY: Duration = Duration::from_secs(60);

/// How often the configuration's content is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often operators' verbs are looked through for those whose time is over.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);

/// How often the exporter's registry is tidied.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// How long threads may take to end once everything has been cut.
const END_WAIT: Duration = Duration::from_secs(5);

/// How long tasks of the house may take to end.
const TASKS_WAIT: Duration = Duration::from_secs(2);

/// Runs `bound` in `house` until it is stopped.
pub(super) fn run(bound: Bound, house: House) -> Result<(), Ended> {
    let House { runtime, signals } = house;
    let ended = runtime.block_on(live(bound, signals));
    // A log whose reader has gone may hold a blocking thread; it does not hold the process.
    runtime.shutdown_timeout(TASKS_WAIT);
    ended
}

async fn live(bound: Bound, signals: Signals) -> Result<(), Ended> {
    let (mut tasks, mut ports) = (JoinSet::new(), JoinSet::new());
    let Bound { sight, mut sockets, config, common, census, drainer, .. } = bound;
    let Bound { drain, writer, workers, orders, mut predecessor, abandoned, .. } = bound;
    let files = sockets.files(&config);
    tasks.spawn(signals::obey(signals, drainer.clone(), sight.clone()));
    // As long as a predecessor serves, nobody must be told here that usher is not ready.
    if predecessor.is_none() {
        serve_ports(&mut ports, sockets.control.take(), sockets.metrics.take(), &sight)?;
    }
    let (log_stop, log_stopped) = tokio::sync::oneshot::channel::<()>();
    let log = tokio::spawn(writer.run(async {
        // The sender is dropped when the house ends, which is as good.
        let _ = log_stopped.await;
    }));
    let (mut follower, mut issuers) = (sight.follower(), Issuers::new(common.clone()));
    // Who is told to stop meanwhile serves what has come to its ports, and stops.
    tokio::select! {
        ((), ()) = async { tokio::join!(follower.first(), issuers.first()) } => sight.resolved(),
        () = drain.reached(Stage::Grace) => {}
    }
    if let Some(predecessor) = &mut predecessor {
        predecessor.take_over(&sight).await;
        serve_ports(&mut ports, sockets.control.take(), sockets.metrics.take(), &sight)?;
    }
    tasks.spawn(follower.follow());
    tasks.spawn(issuers.follow());
    begin(&mut tasks, &sight, &common);
    let doors = config.listeners.iter().zip(sockets.listeners);
    let first =
        doors.map(|(listener, socket)| Door { bind: listener.bind.clone(), socket }).collect();
    let handed_over = sight.succession().handed_over();
    let doors = Doors { first, orders, common: common.clone(), census, handed_over };
    let threads = threads::start(doors, workers)?;
    let mut outlived = None;
    if let Some(mut predecessor) = predecessor {
        predecessor.ready().await;
        take_on(&files, &abandoned);
        keep_inherited(&sight).await;
        outlived = Some(tasks.spawn(predecessor.outlive(sight.clone())));
    }
    systemd::ready();
    if let Some(every) = systemd::watchdog() {
        tasks.spawn(life::show(every, common.clone()));
    }
    let (ended, parting) = attend_and_tell(attend(threads, drain, &drainer, &common), &sight).await;
    // The last lines are written when there is nobody left to write more.
    drop(log_stop);
    let _ = tokio::time::timeout(TASKS_WAIT, log).await;
    if let Some(parting) = parting {
        settle_estate(parting, &sight, outlived, &mut ports).await;
    }
    ports.shutdown().await;
    let left = sight.succession().has_handed_over();
    files.iter().for_each(|(file, _)| if left { file.leave() } else { file.remove() });
    tasks.shutdown().await;
    write_down(&sight);
    ended
}

/// Nobody counts any more: what is written now is all there was.
fn write_down(sight: &HouseSight) {
    sight.books().read();
    sight.books().keep();
    sight.keep_versions();
}

/// Takes on what a predecessor that has handed over would have taken away: `files` are in use, and
/// those that are `abandoned` are not.
fn take_on(files: &[(Arc<SocketFile>, Access)], abandoned: &[Arc<SocketFile>]) {
    for (file, access) in files {
        file.adopt();
        if let Err(error) = file.dress(*access) {
            tracing::error!(%error, "a Unix socket cannot be given other rights");
        }
    }
    for file in abandoned {
        file.adopt();
        file.remove();
    }
}

/// Writes down what a predecessor has handed over, which may have kept it elsewhere: a restart
/// finds that, and not what was there before.
async fn keep_inherited(sight: &Arc<HouseSight>) {
    sight.orders().keep_inherited().await;
    let sight = sight.clone();
    blocking(move || sight.books().gate().keep()).await;
}

/// What the house does as long as usher runs.
fn begin(tasks: &mut JoinSet<()>, sight: &Arc<HouseSight>, common: &Arc<Common>) {
    tasks.spawn(read(sight.clone()));
    tasks.spawn(keep(sight.clone()));
    tasks.spawn(keep_versions(sight.clone()));
    tasks.spawn(ask_fleet(sight.clone()));
    tasks.spawn(upkeep(common.clone()));
    tasks.spawn(health::mind(common.clone()));
    tasks.spawn(checks::ask(common.clone()));
    tasks.spawn(look(sight.clone()));
    tasks.spawn(expire(sight.clone()));
    let published = common.clone();
    tasks.spawn(certificates::watch(move || published.published.current().config.clone()));
}

fn serve_ports(
    ports: &mut JoinSet<()>,
    control: Option<Listening>,
    metrics: Option<Listening>,
    sight: &Arc<HouseSight>,
) -> Result<(), Ended> {
    let closing = sight.succession().handed_over();
    if let Some(socket) = control {
        let (listener, guard) = (socket.watch()?, sight.guard().clone());
        ports.spawn(control::serve_control(listener, sight.clone(), guard, closing.clone()));
    }
    if let Some(socket) = metrics {
        let listener = socket.watch()?;
        ports.spawn(control::serve_metrics(listener, sight.clone(), closing));
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
    if drain.stage() == Stage::Grace {
        tracing::info!(grace = ?patience.grace, "stopping: not ready any more");
    }
    let timetable = [
        (Stage::Finishing, patience.grace),
        (Stage::Cutting, patience.requests),
        // Each tunnel keeps its own time; this is for those that a second signal cuts.
        (Stage::Ending, patience.tunnels.saturating_sub(patience.requests)),
    ];
    for (stage, wait) in timetable {
        // A second signal goes straight to the last stage, and who hands over needs no grace.
        tokio::select! {
            () = threads.all_ended() => return farewell(threads, common),
            () = tokio::time::sleep(wait) => {}
            () = drain.reached(stage) => {}
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

/// Asks Prometheus what all replicas have counted, where there is one to ask.
async fn ask_fleet(sight: Arc<HouseSight>) {
    let Some(fleet) = sight.books().fleet() else { return };
    let mut ticks = interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        fleet.ask().await;
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

/// Keeps which versions of apps came.
async fn keep_versions(sight: Arc<HouseSight>) {
    let mut ticks = interval(KEEP_VERSIONS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let sight = sight.clone();
        blocking(move || sight.keep_versions()).await;
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

/// Ends once a second what operators have ordered for a time that is over.
async fn expire(sight: Arc<HouseSight>) {
    let mut ticks = interval(EXPIRE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        sight.orders().expire(SystemTime::now()).await;
    }
}

async fn upkeep(common: Arc<Common>) {
    let mut ticks = interval(UPKEEP_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        common.meters.upkeep();
        // What was lent to the ports and could not be had back at once.
        descriptors::refill();
    }
}
