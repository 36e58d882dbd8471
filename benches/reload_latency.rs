//! What clients notice of a reload: `cargo bench --bench reload_latency [-- RULES]`.
//!
//! usher with one worker runs in this process in front of an origin that answers at once, with a
//! configuration of 10,000 rules (or RULES) and 1,000 endpoints: one origin, at as many addresses
//! of the loopback. First it is asked as fast as it can be, to know its limit; then at half of
//! that, on a fixed schedule, each request timed from when it was due. In every second second the
//! configuration is changed (a rule of each audience, an endpoint of each pool but the one that is
//! asked) and reloaded, in its middle.
//! Seconds with a reload and seconds without are compared: all three share the machine's cores, so
//! compare only these two with each other. The last line says whether the p99 of the two differ by
//! no more than 10 % or 2 ms. It takes about a minute.

#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a bench has no wheel")]

use std::{
    fmt::Write as _,
    fs,
    net::SocketAddr,
    path::Path,
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
    std::thread::spawn(move || runtime().block_on(serve(origin)));
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    // Written in advance: this thread has requests to send meanwhile.
    let texts: Vec<String> =
        (0..=SECONDS / 2).map(|turn| text(rules, port, turn as usize)).collect();
    write(&path, &texts[0]);
    let (config, _) =
        config::load(&path, &LoadOptions::default()).unwrap_or_else(|it| panic!("{it}"));
    let origin = Origin { path: Some(path.clone()), ..Origin::default() };
    let bound = app::build(config, origin).expect("free ports");
    let addresses = bound.addresses();
    let address = addresses.listeners[0].socket().expect("TCP");
    let control = addresses.control.as_ref().and_then(Bind::socket);
    let remote = bound.remote();
    let usher = std::thread::spawn(move || bound.run());

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
    let control = control.expect("a control port");
    let (reloads, waited) = reload_every_other_second(begin, control, &path, &texts[1..]).await;
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
    let without = report("seconds without a reload", without);
    let with = report("seconds with a reload", with);
    report("reloads, asked to answered", reloads);
    println!(
        "usher's worker waited for a core {:.2?} of a second without, {:.2?} with",
        waited[0], waited[1]
    );
    let held = with <= without.mul_f64(1.1) || with <= without + Duration::from_millis(2);
    let verdict = if held { "held" } else { "not held" };
    println!("p99 {without:.2?} without, {with:.2?} with: within 10 % or 2 ms: {verdict}");
    remote.stop();
    usher.join().expect("usher does not panic").expect("usher ends well");
}

/// Reloads in the middle of every other second. Returns how long each took, and how long usher's
/// worker waited for a core in a second without and with one.
async fn reload_every_other_second(
    begin: Instant,
    control: SocketAddr,
    path: &Path,
    texts: &[String],
) -> (Vec<Duration>, [Duration; 2]) {
    let (mut reloads, mut waited) = (Vec::new(), [Duration::ZERO; 2]);
    let mut known = waited_for_a_core();
    for (second, text) in (1..SECONDS).step_by(2).zip(texts) {
        let at = |ms: u64| tokio::time::sleep_until((begin + Duration::from_millis(ms)).into());
        at(second * 1000).await;
        let now = waited_for_a_core();
        waited[0] += now - std::mem::replace(&mut known, now);
        at(second * 1000 + 500).await;
        write(path, text);
        let asked = Instant::now();
        reload(control).await;
        reloads.push(asked.elapsed());
        at(second * 1000 + 1000).await;
        let now = waited_for_a_core();
        waited[1] += now - std::mem::replace(&mut known, now);
    }
    (reloads, waited.map(|waited| waited / (SECONDS / 2) as u32))
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

/// How long usher's worker has been ready to run and had no core to do so.
fn waited_for_a_core() -> Duration {
    let threads = fs::read_dir("/proc/self/task").expect("it is Linux").flatten();
    let is_worker = |thread: &fs::DirEntry| {
        fs::read_to_string(thread.path().join("comm")).is_ok_and(|name| name == "worker-0\n")
    };
    let worker = threads.into_iter().find(is_worker).expect("usher runs");
    let spent = fs::read_to_string(worker.path().join("schedstat")).expect("it is Linux");
    let waited = spent.split(' ').nth(1).and_then(|ns| ns.parse().ok());
    Duration::from_nanos(waited.expect("the second number"))
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
