//! What clients notice of a reload: `cargo bench --bench reload_latency [-- RULES]`.
//!
//! usher with one worker runs in this process in front of an origin that answers at once, with a
//! configuration of 10,000 rules (or RULES) and 1,000 endpoints: one origin, at as many addresses
//! of the loopback. usher has a core of its own, and so have its clients with the origin, where the
//! machine has two: what is measured is what a reload takes from the worker beside it, and not how
//! the system spreads clients and worker over cores. It is asked as often as takes half of the
//! worker's core, on a fixed schedule, each request timed from when it was due. In every second
//! turn of two seconds the configuration is changed (a rule of each audience, an endpoint of each
//! pool but the one that is asked) and reloaded. A thread of its own does that: the one that asks
//! and keeps the time does nothing else.
//! Seconds with a reload and seconds without are compared. Of each thread that a request passes
//! through it is told how long it ran and how long it was ready and had no core: what clients wait
//! for is as well that they, or the origin, have none. The last line says whether the p99 of the
//! two differ by no more than 10 % or 2 ms. It takes about a minute.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench has no wheel")]

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
    time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest, unix::AsyncFd},
    net::{TcpListener, TcpStream},
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use usher::{
    app::{self, Origin},
    bind::Bind,
    config::{self, LoadOptions},
};

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 16;
/// Turns with a reload, each of which follows one without.
const RELOADS: u64 = 12;
const TURN: Duration = Duration::from_secs(2);
/// When in its turn a reload is ordered.
const AFTER: Duration = Duration::from_millis(200);
const POOLS: usize = 100;
const ENDPOINTS: usize = 10;
const REQUEST: &[u8] = b"GET /a0/place-1/x HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The threads that a request passes through, and the one that reloads.
const THREADS: [&str; 4] = ["clients", "worker-0", "origin", "house"];
const WORKER: usize = 1;

/// How long each of [`THREADS`] ran, and how long it was ready and had no core.
type Usage = [[Duration; 2]; THREADS.len()];

/// What came of the reloads.
struct Reloads {
    took: Vec<Duration>,
    /// In all seconds without one, and in all with one.
    used: [Usage; 2],
}

fn main() {
    let rules = std::env::args().nth(1).and_then(|rules| rules.parse().ok()).unwrap_or(10_000);
    runtime().block_on(measure(rules));
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

async fn measure(rules: usize) {
    let [ushers, others] = cores();
    stay_on(others);
    let origin = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = origin.local_addr().expect("an address").port();
    called("origin", others, move || runtime().block_on(serve(origin)));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let texts: Vec<String> = (0..=RELOADS).map(|turn| text(rules, port, turn as usize)).collect();
    write(&path, &texts[0]);
    let (config, _) =
        config::load(&path, &LoadOptions::default()).unwrap_or_else(|it| panic!("{it}"));
    let origin = Origin { path: Some(path.clone()), ..Origin::default() };
    let bound = app::build(config, origin).expect("free ports");
    let addresses = bound.addresses();
    let address = addresses.listeners[0].socket().expect("TCP");
    let control = addresses.control.as_ref().and_then(Bind::socket).expect("a control port");
    let remote = bound.remote();
    let usher = called("house", ushers, move || bound.run());

    let rate = half_load(address).await;
    println!("{rules} rules, {} endpoints; asked {rate:.0} times a second", POOLS * ENDPOINTS);
    let begin = Instant::now() + Duration::from_millis(100);
    let asking = ask_at(rate, address, begin, TURN * (2 * RELOADS as u32));
    let reloading = called("operator", others, move || {
        runtime().block_on(reload_every_other_turn(begin, control, path, &texts[1..]))
    });
    let mut with = Vec::new();
    let mut without = Vec::new();
    for (due, took) in asking.await {
        let since = due.saturating_duration_since(begin).as_nanos();
        let timed = if since / TURN.as_nanos() % 2 == 1 { &mut with } else { &mut without };
        timed.push(took);
    }
    let Reloads { took, used } = reloading.join().expect("no reload fails");
    let without = report("seconds without a reload", without);
    let with = report("seconds with a reload", with);
    report("reloads, asked to answered", took);
    report_threads(used);
    let held = with <= without.mul_f64(1.1) || with <= without + Duration::from_millis(2);
    let verdict = if held { "held" } else { "not held" };
    println!("p99 {without:.2?} without, {with:.2?} with: within 10 % or 2 ms: {verdict}");
    remote.stop();
    usher.join().expect("usher does not panic").expect("usher ends well");
}

/// Does `work` on a thread of this name, which stays on a core, as do those that it begins.
fn called<T: Send + 'static>(
    name: &str,
    core: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let work = move || {
        stay_on(core);
        work()
    };
    thread::Builder::new().name(name.to_owned()).spawn(work).expect("a thread")
}

/// The first and the last core that this process may run on.
fn cores() -> [usize; 2] {
    let allowed = sched_getaffinity(None).expect("it is Linux");
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
    let first = cores.next().expect("it runs somewhere");
    [first, cores.next_back().unwrap_or(first)]
}

fn stay_on(core: usize) {
    let mut only = CpuSet::new();
    only.set(core);
    sched_setaffinity(None, &only).expect("it may run there");
}

/// Reloads in every other turn.
async fn reload_every_other_turn(
    begin: Instant,
    control: SocketAddr,
    path: PathBuf,
    texts: &[String],
) -> Reloads {
    let mut reloads = Reloads { took: Vec::new(), used: [Usage::default(); 2] };
    let mut known = usage();
    for (number, text) in (0..).zip(texts) {
        let turn = begin + TURN * (2 * number + 1);
        let at = |time: Instant| tokio::time::sleep_until(time.into());
        at(turn).await;
        add_since(&mut known, &mut reloads.used[0]);
        at(turn + AFTER).await;
        write(&path, text);
        let asked = Instant::now();
        reload(control).await;
        reloads.took.push(asked.elapsed());
        at(turn + TURN).await;
        add_since(&mut known, &mut reloads.used[1]);
    }
    let a_second = |time: Duration| time.div_f64(TURN.as_secs_f64() * RELOADS as f64);
    reloads.used = reloads.used.map(|used| used.map(|times| times.map(a_second)));
    reloads
}

async fn serve(origin: std::net::TcpListener) {
    origin.set_nonblocking(true).expect("it is a socket");
    let origin = TcpListener::from_std(origin).expect("it is watched");
    while let Ok((socket, _)) = origin.accept().await {
        tokio::spawn(answer(socket));
    }
}

async fn answer(mut socket: TcpStream) {
    let mut buffer = [0; 4096];
    while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
        if socket.write_all(ANSWER).await.is_err() {
            return;
        }
    }
}

/// Requests a second at which the worker has half of its core to do. Asked as often as it can
/// answer it takes many at once, each of which costs less then: half as many are more than half the
/// work.
async fn half_load(address: SocketAddr) -> f64 {
    let mut rate = 5_000.0;
    for _ in 0..4 {
        let before = usage();
        let time = Duration::from_secs(2);
        ask_at(rate, address, Instant::now(), time).await;
        let mut used = Usage::default();
        add_since(&mut before.clone(), &mut used);
        let [ran, _] = used[WORKER];
        rate *= 0.5 * time.as_secs_f64() / ran.as_secs_f64();
    }
    rate
}

/// Asks so many times a second, and says when each request was due and how long it took from then.
async fn ask_at(
    rate: f64,
    address: SocketAddr,
    begin: Instant,
    time: Duration,
) -> Vec<(Instant, Duration)> {
    let period = Duration::from_secs_f64(CONNECTIONS as f64 / rate);
    let mut asking = JoinSet::new();
    for number in 0..CONNECTIONS {
        let offset = period.mul_f64(number as f64 / CONNECTIONS as f64);
        asking.spawn(ask_on_schedule(address, begin + offset, begin + time, period));
    }
    asking.join_all().await.into_iter().flatten().collect()
}

async fn ask_on_schedule(
    address: SocketAddr,
    begin: Instant,
    end: Instant,
    period: Duration,
) -> Vec<(Instant, Duration)> {
    let mut socket = TcpStream::connect(address).await.expect("it accepts");
    let clock = ring_each(begin, period);
    let (mut due, mut timed) = (begin, Vec::new());
    while due < end {
        let mut rung = clock.readable().await.expect("a clock");
        let mut times = [0; 8];
        let _none = rustix::io::read(clock.get_ref(), &mut times);
        rung.clear_ready();
        for _ in 0..u64::from_ne_bytes(times) {
            ask(&mut socket).await;
            timed.push((due, due.elapsed()));
            due += period;
        }
    }
    timed
}

/// The system's clock, since the runtime's own knows nothing less than a millisecond.
#[expect(deprecated, reason = "its successor is unsafe, for descriptors that may change")]
fn ring_each(begin: Instant, period: Duration) -> AsyncFd<OwnedFd> {
    let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
    let clock = timerfd_create(TimerfdClockId::Monotonic, flags).expect("a clock");
    let spec = |time: Duration| Timespec {
        tv_sec: time.as_secs() as i64,
        tv_nsec: time.subsec_nanos().into(),
    };
    // Nothing at all would stop it.
    let first = begin.saturating_duration_since(Instant::now()).max(Duration::from_nanos(1));
    let spec = Itimerspec { it_interval: spec(period), it_value: spec(first) };
    timerfd_settime(&clock, TimerfdTimerFlags::empty(), &spec).expect("it is set");
    AsyncFd::with_interest(clock, Interest::READABLE).expect("it is watched")
}

async fn ask(socket: &mut TcpStream) {
    socket.write_all(REQUEST).await.expect("it is taken");
    let mut buffer = [0; 4096];
    let mut read = 0;
    while !buffer[..read].ends_with(b"\r\n\r\nok") {
        let more = socket.read(&mut buffer[read..]).await.expect("it answers");
        assert!(more > 0, "no request fails");
        read += more;
    }
}

async fn reload(control: SocketAddr) {
    let mut socket = TcpStream::connect(control).await.expect("it accepts");
    let order = b"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    socket.write_all(order).await.expect("it is taken");
    let mut text = String::new();
    socket.read_to_string(&mut text).await.expect("it answers");
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

/// Says how long something took, and returns its p99.
fn report(what: &str, mut timed: Vec<Duration>) -> Duration {
    timed.sort();
    let at = |share: f64| timed[((timed.len() - 1) as f64 * share) as usize];
    let (p50, p99, p999, most) = (at(0.5), at(0.99), at(0.999), at(1.0));
    println!(
        "{what}: {} timed, p50 {p50:.2?}, p99 {p99:.2?}, p99.9 {p999:.2?}, most {most:.2?}",
        timed.len()
    );
    p99
}

/// Says what each thread has used, `[without, with]` a reload.
fn report_threads(used: [Usage; 2]) {
    for (index, thread) in THREADS.iter().enumerate() {
        let [[ran, waited], [ran_with, waited_with]] = used.map(|used| used[index]);
        println!(
            "{thread}: ran {ran:.2?} of a second without, {ran_with:.2?} with; waited for a core \
             {waited:.2?}, {waited_with:.2?}"
        );
    }
}

/// What has been used so far. The thread that asks is the process's first.
fn usage() -> Usage {
    let first = std::process::id().to_string();
    let mut usage = Usage::default();
    for task in fs::read_dir("/proc/self/task").expect("it is Linux").flatten() {
        let read = |file: &str| fs::read_to_string(task.path().join(file)).unwrap_or_default();
        let is_first = task.file_name().to_str() == Some(&first);
        let name = if is_first { "clients".to_owned() } else { read("comm").trim().to_owned() };
        let Some(index) = THREADS.iter().position(|thread| *thread == name) else { continue };
        let times = read("schedstat");
        let mut times = times.split(' ').map(|ns| ns.parse().map(Duration::from_nanos));
        usage[index] = [(); 2].map(|()| times.next().and_then(Result::ok).unwrap_or_default());
    }
    usage
}

/// Adds what has been used since `known`, and knows it.
fn add_since(known: &mut Usage, sum: &mut Usage) {
    let now = usage();
    let before = std::mem::replace(known, now);
    for (index, times) in sum.iter_mut().enumerate() {
        for (which, time) in times.iter_mut().enumerate() {
            *time += now[index][which].saturating_sub(before[index][which]);
        }
    }
}

/// Puts another configuration in its place at once.
fn write(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    fs::write(&beside, text).expect("it can be written");
    fs::rename(beside, path).expect("it can be put there");
}

/// Another configuration each time.
fn text(rules: usize, port: u16, turn: usize) -> String {
    let mut text = String::from(
        "listeners: [{ bind: 127.0.0.1:0 }]\ncontrol: { bind: 127.0.0.1:0 }\nmetrics: off\n\
         access_log: off\nworkers: 1\ndrain: { grace: 0s }\naudiences:\n",
    );
    for audience in 0..POOLS {
        let _ =
            writeln!(text, "  - name: audience-{audience}\n    pool: pool-{audience}\n    match:");
        for rule in 0..rules.div_ceil(POOLS) {
            let _ = writeln!(text, "      - path: /a{audience}/place-{rule}/**");
        }
        let _ = writeln!(text, "      - path: /turn-{turn}/a{audience}/**");
    }
    text.push_str("  - { name: everyone, pool: pool-0 }\npools:\n");
    for pool in 0..POOLS {
        let _ = write!(text, "  pool-{pool}: {{ capacity: 5, endpoints: [");
        for endpoint in 1..=ENDPOINTS {
            let changed = endpoint == ENDPOINTS && pool > 0;
            let last = if changed { 100 + turn } else { endpoint };
            let _ = write!(text, "\"127.1.{pool}.{last}:{port}\", ");
        }
        text.push_str("] }\n");
    }
    text
}
