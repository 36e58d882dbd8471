//! What a request costs the real usher in system calls, counted by `strace`, and an idle connection
//! in memory.
//!
//! `cargo test --features real --test cost -- --nocapture` shows the figures of
//! `docs/performance.md`.
//!
//! Transport: HTTP/1.1 in plain text, whose figures `docs/performance.md` names.

#![allow(clippy::print_stdout, reason = "the figures of docs/performance.md")]

#[path = "streams/running.rs"]
mod running;
#[path = "cost/strace.rs"]
mod strace;
mod support;

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::task::JoinSet;

use running::Running;
use strace::{Calls, Strace};
use support::{
    client::Client,
    origin::{Line, Origin, ok},
};

const REQUEST: &str = "GET /menus/1 HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\n\
                       Accept: */*\r\nCookie: visitor=1\r\n\r\n";

/// What reads from and writes to sockets; a request cannot do with fewer than two of each. Not
/// `write`: that is how a worker wakes itself, for its timers.
const TRANSFERS: &[&str] = &["read", "readv", "recvfrom", "recvmsg", "writev", "sendto", "sendmsg"];

/// How many calls in a second the workers may make because of their timers.
const TIMERS_MAX: f64 = 10.0;

/// How many the house may make, which looks every second at the files that it has read.
const HOUSE_MAX: f64 = 100.0;

/// How many connections are idle: so many that pages of 2 MiB blur the result little.
const IDLE: usize = 4000;

/// How many files this process and usher may open, each for itself.
const DESCRIPTORS: u64 = 2 * IDLE as u64 + 1000;

/// What usher reads heads into; an idle connection that kept even one would have this much.
const BUFFER_BYTES: u64 = 16 * 1024;

/// Waiting for something to do, which under load is shared by many requests.
const WAITS: &[&str] = &["epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// What usher did for a number of requests.
struct Counted {
    requests: u64,
    took: Duration,
    calls: Calls,
}

// === impl Counted ===

impl Counted {
    fn check(&self) {
        let Self { requests, took, calls } = self;
        let known: Vec<&str> = TRANSFERS.iter().chain(WAITS).copied().collect();
        let each = |count: u64| count as f64 / *requests as f64;
        let transfers = calls.of("worker", TRANSFERS);
        let others = calls.of_others("worker", &known);
        let house = calls.of_others("", &known) + calls.of("", TRANSFERS) - transfers - others;
        println!("{requests} requests in {took:?}\n{calls}");
        println!("reads and writes: {:.2} a request", each(transfers));
        println!("neither those nor epoll_wait: {:.2} a request", each(others));
        assert_eq!(transfers, 4 * requests, "{calls}");
        assert_eq!(calls.of("worker", &["futex"]), 0, "{calls}");
        let slack = 0.02 * *requests as f64;
        assert!(others as f64 <= slack + TIMERS_MAX * took.as_secs_f64(), "{calls}");
        assert!(house as f64 <= slack + HOUSE_MAX * took.as_secs_f64(), "{calls}");
    }
}

#[tokio::test]
async fn a_request_on_a_kept_connection_costs_four_system_calls() {
    counted(1, 1, 500).await.check();
}

#[tokio::test]
async fn two_workers_share_the_connections_evenly_and_wait_for_no_lock_of_each_other() {
    let counted = counted(2, 32, 50).await;
    counted.check();
    for worker in ["worker-0", "worker-1"] {
        let transfers = counted.calls.of(worker, TRANSFERS);
        assert_eq!(transfers, counted.requests * 4 / 2, "{worker}: {}", counted.calls);
    }
}

/// The acceptor takes it, finds nobody else and wakes the worker; the worker begins to watch it,
/// ends that and closes it. What else a connection has comes from the socket that listens.
#[tokio::test]
async fn a_connection_costs_six_system_calls_beside_its_request() {
    const CONNECTIONS: u64 = 200;
    let origin = Origin::start().await;
    let usher = Running::start(1, &origin.endpoint(), "").await;
    origin.serve(|_| ok(&"x".repeat(1024)));
    let visit = async || {
        let mut client = Client::connect(usher.0.clients).await;
        client.send(REQUEST.replacen("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1)).await;
        assert_eq!(client.answer().await.body.len(), 1024);
        assert!(client.closed().await.is_empty());
    };
    visit().await;
    let strace = Strace::attach(usher.0.pid());
    let began = Instant::now();
    for _ in 0..CONNECTIONS {
        visit().await;
    }
    let (calls, took) = (strace.detach(), began.elapsed());
    println!("{CONNECTIONS} connections in {took:?}\n{calls}");
    // A debug build looks by `fcntl` whether a descriptor is open, and whether it blocks.
    let known: Vec<&str> = TRANSFERS.iter().chain(WAITS).chain(&["fcntl"]).copied().collect();
    for thread in ["acceptor", "worker"] {
        let others = calls.of_others(thread, &known);
        println!("{thread}: {:.2} a connection", others as f64 / CONNECTIONS as f64);
        let slack = 0.02 * CONNECTIONS as f64 + TIMERS_MAX * took.as_secs_f64();
        assert!(others as f64 <= 3.0 * CONNECTIONS as f64 + slack, "{thread}: {calls}");
    }
    usher.stop().await;
}

/// Kept connections that are between two requests, which is what most connections are.
#[tokio::test]
async fn an_idle_connection_owns_no_buffer() {
    let allowed = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(DESCRIPTORS), ..allowed })
        .expect("a limit of descriptors that can be raised");
    let origin = Origin::start().await;
    let usher = Running::start(1, &origin.endpoint(), "").await;
    origin.serve(|_| ok(&"x".repeat(1024)));
    let mut clients = Vec::new();
    let mut memory_kib = Vec::new();
    for connections in [100, 100 + IDLE] {
        while clients.len() < connections {
            let mut client = Client::connect(usher.0.clients).await;
            client.send(REQUEST).await;
            assert_eq!(client.answer().await.body.len(), 1024);
            clients.push(client);
        }
        memory_kib.push(usher.memory_kib("VmRSS"));
    }
    let bytes = memory_kib[1].saturating_sub(memory_kib[0]) * 1024 / IDLE as u64;
    println!("an idle connection has {bytes} bytes");
    assert!(bytes < BUFFER_BYTES, "{bytes} bytes; usher's memory in KiB: {memory_kib:?}");
    drop(clients);
    usher.stop().await;
}

/// Sends `each` requests on each of `connections` connections to an usher of `workers` workers, all
/// connections at once.
async fn counted(workers: usize, connections: usize, each: usize) -> Counted {
    let origin = Origin::start().await;
    let usher = Running::start(workers, &origin.endpoint(), "").await;
    let mut clients = Vec::new();
    for _ in 0..connections {
        clients.push(Client::connect(usher.0.clients).await);
    }
    // The first request of each is answered once all are there: so each has made a connection to
    // the origin, and no other will be needed.
    for client in &mut clients {
        client.send(REQUEST).await;
    }
    let mut lines = Vec::new();
    for _ in 0..connections {
        lines.push(origin.accept().await);
    }
    for line in lines {
        tokio::spawn(serve(line));
    }
    for client in &mut clients {
        assert_eq!(client.answer().await.body.len(), 1024);
    }
    let clients = drive(clients, 5).await;
    let strace = Strace::attach(usher.0.pid());
    let began = Instant::now();
    let clients = drive(clients, each).await;
    let (calls, took) = (strace.detach(), began.elapsed());
    drop(clients);
    usher.stop().await;
    Counted { requests: (connections * each) as u64, took, calls }
}

async fn serve(mut line: Line) {
    let answer = ok(&"x".repeat(1024));
    while line.try_read().await.is_some() {
        line.write(&answer).await;
    }
}

async fn drive(clients: Vec<Client>, each: usize) -> Vec<Client> {
    let mut tasks = JoinSet::new();
    for mut client in clients {
        tasks.spawn(async move {
            for _ in 0..each {
                client.send(REQUEST).await;
                assert_eq!(client.answer().await.body.len(), 1024);
            }
            client
        });
    }
    tasks.join_all().await
}
