//! What clients notice of a reload: `cargo bench --bench reload_latency [-- RULES]`.
//!
//! usher with one worker runs in this process in front of an origin that answers at once, with a
//! configuration of 10,000 rules (or RULES) and 1,000 endpoints: one origin, at as many addresses
//! of the loopback. First it is asked as fast as it can be, to know its limit; then at half of
//! that, on a fixed schedule, each request timed from when it was due. In every second second the
//! configuration is changed (a rule of each audience, an endpoint of each pool but the one that is
//! asked) and reloaded, in its middle. A thread of its own does that: the one that asks and keeps
//! the time does nothing else.
//! Seconds with a reload and seconds without are compared: all of it shares the machine's cores, so
//! compare only these two with each other. Of each thread that a request passes through it is told
//! how long it ran and how long it was ready and had no core: what clients wait for is as well that
//! they, or the origin, have none. The last line says whether the p99 of the two differ by no more
//! than 10 % or 2 ms. It takes about a minute.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench has no wheel")]

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
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
const SECONDS: u64 = 40;
const POOLS: usize = 100;
const ENDPOINTS: usize = 10;
const REQUEST: &[u8] = b"GET /a0/place-1/x HTTP/1.1\r\nHost: shop.example\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The threads that a request passes through, and the one that reloads.
const THREADS: [&str; 4] = ["clients", "worker-0", "origin", "house"];

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
    let origin = std::net::TcpListener::bind("0.0.0.0:0").expect("a port");
    let port = origin.local_addr().expect("an address").port();
    called("origin", move || runtime().block_on(serve(origin)));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    let texts: Vec<String> =
        (0..=SECONDS / 2).map(|turn| text(rules, port, turn as usize)).collect();
    write(&path, &texts[0]);
    let (config, _) =
        config::load(&path, &LoadOptions::default()).unwrap_or_else(|it| panic!("{it}"));
    let origin = Origin { path: Some(path.clone()), ..Origin::default() };
    let bound = app::build(config, origin).expect("free ports");
    let addresses = bound.addresses();
    let address = addresses.listeners[0].socket().expect("TCP");
    let control = addresses.control.as_ref().and_then(Bind::socket).expect("a control port");
    let remote = bound.remote();
    let usher = called("house", move || bound.run());

    let limit = flood(address, Duration::from_secs(3)).await;
    let period = Duration::from_secs_f64(2.0 * CONNECTIONS as f64 / limit);
    println!(
        "{rules} rules, {} endpoints; at most {limit:.0} requests/s; asked at half of that",
        POOLS * ENDPOINTS
    );
    let begin = Instant::now() + Duration::from_millis(100);
    let mut asking = JoinSet::new();
    for number in 0..CONNECTIONS {
        let offset = period.mul_f64(number as f64 / CONNECTIONS as f64);
        asking.spawn(ask_on_schedule(address, begin + offset, period));
    }
    let reloading = called("operator", move || {
        runtime().block_on(reload_every_other_second(begin, control, path, &texts[1..]))
    });
    let mut with = Vec::new();
    let mut without = Vec::new();
    while let Some(timed) = asking.join_next().await {
        for (due, took) in timed.expect("no request fails") {
            let second = due.saturating_duration_since(begin).as_secs();
            if second % 2 == 1 {
                with.push(took)
            } else {
                without.push(took)
            };
        }
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

/// Does `work` on a thread of this name.
fn called<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::Builder::new().name(name.to_owned()).spawn(work).expect("a thread")
}

/// Reloads in the middle of every other second.
async fn reload_every_other_second(
    begin: Instant,
    control: SocketAddr,
    path: PathBuf,
    texts: &[String],
) -> Reloads {
    let mut reloads = Reloads { took: Vec::new(), used: [Usage::default(); 2] };
    let mut known = usage();
    for (second, text) in (1..SECONDS).step_by(2).zip(texts) {
        let at = |ms: u64| tokio::time::sleep_until((begin + Duration::from_millis(ms)).into());
        at(second * 1000).await;
        add_since(&mut known, &mut reloads.used[0]);
        at(second * 1000 + 500).await;
        write(&path, text);
        let asked = Instant::now();
        reload(control).await;
        reloads.took.push(asked.elapsed());
        at(second * 1000 + 1000).await;
        add_since(&mut known, &mut reloads.used[1]);
    }
    let a_second = |time: Duration| time / (SECONDS / 2) as u32;
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

/// Requests a second that are answered when nobody waits for anything else.
async fn flood(address: SocketAddr, time: Duration) -> f64 {
    let mut flooding = JoinSet::new();
    let end = Instant::now() + time;
    for _ in 0..CONNECTIONS {
        flooding.spawn(async move {
            let mut socket = TcpStream::connect(address).await.expect("it accepts");
            let mut answered = 0_u64;
            while Instant::now() < end {
                ask(&mut socket).await;
                answered += 1;
            }
            answered
        });
    }
    let answered: u64 = flooding.join_all().await.into_iter().sum();
    answered as f64 / time.as_secs_f64()
}

async fn ask_on_schedule(
    address: SocketAddr,
    begin: Instant,
    period: Duration,
) -> Vec<(Instant, Duration)> {
    let mut socket = TcpStream::connect(address).await.expect("it accepts");
    let end = begin + Duration::from_secs(SECONDS);
    let (mut due, mut timed) = (begin, Vec::new());
    while due < end {
        tokio::time::sleep_until(due.into()).await;
        ask(&mut socket).await;
        timed.push((due, due.elapsed()));
        due += period;
    }
    timed
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
