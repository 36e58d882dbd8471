//! Faults of real Pumas while they are asked without pause: what clients see of each.
//!
//! `docs/failures.md` has a row for every one of them; what else there is to a row stands in
//! `tests/monolith/killed.rs` and, with a scripted origin, in `tests/proxy`.
//!
//! Transport: HTTP/1.1 in plain text; this is about Puma. What clients are told stands in `proxy`.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

mod support;

#[path = "support/puma.rs"]
mod puma;

#[path = "faults/disk.rs"]
mod disk;
#[path = "faults/load.rs"]
mod load;
#[path = "faults/namespace.rs"]
mod namespace;
#[path = "faults/sales.rs"]
mod sales;

use tokio::io::AsyncReadExt;

use load::Load;
use namespace::Namespace;
use puma::{Plan, Puma};
use sales::{Sales, Till};
use support::{binary::Binary, client::Client, names::Names, usher::Samples};

/// Short times, so that nobody waits long for what is not coming.
const TIMES: &str = "    timeouts: { connect: 300ms, first_byte: 2s, total: 15s }\n";

fn two() -> [Puma; 2] {
    let start = || std::thread::spawn(|| plan().start());
    [start(), start()].map(|puma| puma.join().expect("Puma starts"))
}

fn plan() -> Plan {
    Plan::new("rails", 3, 0).env("LOG_LEVEL", "warn")
}

async fn usher(endpoints: &str, more: &str) -> Binary {
    let text = format!(
        "access_log: off\nworkers: 2\ndrain: {{ grace: 0s }}\n\
         audiences: [{{ name: all, pool: rails }}]\n\
         pools:\n  rails:\n    capacity: 3\n{TIMES}    endpoints: [{endpoints}]\n{more}"
    );
    Binary::start(&text).await
}

/// Two Pumas one after the other at 127.0.0.1 and 127.0.0.2, with one port.
fn two_alike() -> [Puma; 2] {
    let one = plan().start();
    let port = one.address.rsplit(':').next().expect("a port").to_owned();
    [one, plan().at(&format!("127.0.0.2:{port}")).start()]
}

fn retried(samples: &Samples, reason: &str) -> f64 {
    samples.sum("usher_retries_total", &[reason])
}

#[tokio::test]
async fn a_phased_restart_loses_no_request_that_may_be_repeated() {
    let puma = Plan::new("rails", 2, 2).env("LOG_LEVEL", "warn").env("PHASED", "1").start();
    let usher = usher(&puma.address, "").await;
    let load = Load::start(usher.clients, 3);
    load.goes_on().await;
    let before = load.processes().len();
    puma.restart_in_phases();
    let booted = |line: &str| line.contains("booted") && line.ends_with("phase: 1");
    let anew = || puma.log().lines().filter(|line| booted(line)).count() == 2;
    load.until("both workers are new", anew).await;
    // Whoever kept a connection to a process that has gone was given another in time.
    load.goes_on().await;
    assert!(load.processes().len() > before);
    load.stop().await;
}

/// What was sent may have been done, whatever becomes of its connection.
#[tokio::test]
async fn nothing_is_sold_twice_in_a_phased_restart() {
    let till = Till::new();
    let plan = Plan::new("rails", 2, 2).env("LOG_LEVEL", "warn").env("PHASED", "1");
    let puma = plan.env("TILL", till.path().to_str().expect("text")).start();
    let usher = usher(&puma.address, "").await;
    let mut sales = Sales::start(usher.clients, 3);
    sales.until("something is sold", |told| told > 20).await;
    puma.restart_in_phases();
    let booted = |line: &str| line.contains("booted") && line.ends_with("phase: 1");
    let anew = |_| puma.log().lines().filter(|line| booted(line)).count() == 2;
    sales.until("both workers are new", anew).await;
    let enough = sales.told() + 60;
    sales.until("more is sold", |told| told >= enough).await;
    sales.stop(&till.path()).await;
    let samples = usher.samples().await;
    assert_eq!(retried(&samples, "broken") + retried(&samples, "first_byte_timeout"), 0.0);
}

#[tokio::test]
async fn a_puma_that_dies_within_an_answer_never_ends_it_cleanly() {
    let mut pumas = two();
    let usher = usher(&format!("{}, {}", pumas[0].address, pumas[1].address), "").await;
    let load = Load::start(usher.clients, 3);
    load.is_served_by(2).await;
    let mut listener = Client::connect(usher.clients).await;
    listener.send("GET /sse HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let head = listener.head().await.expect("it begins");
    let process: u32 = head.field("x-process").and_then(|id| id.parse().ok()).expect("a process");
    pumas.iter_mut().find(|puma| puma.id() == process).expect("one of both").kill();
    let mut rest = Vec::new();
    // An error ends it no more cleanly than a bare close.
    let _ = listener.stream.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"), "{}", rest.escape_ascii());
    load.goes_on().await;
    // What had begun when its Puma died cannot be repeated: no more than were under way.
    load.stop_but(3).await;
    let given_back = |samples: &Samples| samples.sum("usher_pool_in_flight", &[]) == 0.0;
    let samples = usher.when("no slot is held", given_back).await;
    assert!(samples.sum("usher_faults_total", &["upstream_broke"]) >= 1.0);
}

#[tokio::test]
async fn a_puma_that_dies_and_comes_back_again_and_again_is_not_noticed() {
    let mut pumas = two();
    let usher = usher(&format!("{}, {}", pumas[0].address, pumas[1].address), "").await;
    let load = Load::start(usher.clients, 3);
    load.is_served_by(2).await;
    for round in 0..3 {
        pumas[0].kill();
        load.goes_on().await;
        pumas[0].restart();
        load.is_served_by(3 + round).await;
    }
    // What had begun when its Puma died cannot be repeated: no more than were under way.
    load.stop_but(3 * 3).await;
}

#[tokio::test]
async fn a_puma_that_answers_500_at_once_gets_less_and_is_ejected() {
    let [well, broken] = [plan(), plan().env("BROKEN", "1")].map(Plan::start);
    let endpoints = format!("{}, {}", well.address, broken.address);
    let usher = usher(&endpoints, "    retry: { on: [500] }\n").await;
    let load = Load::start(usher.clients, 3);
    let ejected =
        |samples: &Samples| samples.sum("usher_endpoint_events_total", &["ejected"]) >= 1.0;
    usher.when("it is ejected", ejected).await;
    load.goes_on().await;
    load.stop().await;
}

#[tokio::test]
async fn a_name_that_leads_from_one_puma_to_another_loses_nobody() {
    let [mut one, other] = two_alike();
    let names = Names::start().await;
    names.tell("web.shop", &[[127, 0, 0, 1].into()]);
    let port = one.address.rsplit(':').next().expect("a port");
    let resolver = format!(
        "resolver: {{ servers: [\"{}\"], search: [], ttl: {{ min: 100ms, max: 1s }} }}\n",
        names.address()
    );
    let dns = format!("{{ dns: {{ name: web.shop, port: {port} }} }}");
    let usher = usher(&dns, &resolver).await;
    let load = Load::start(usher.clients, 3);
    load.is_served_by(1).await;
    names.tell("web.shop", &[[127, 0, 0, 2].into()]);
    load.is_served_by(2).await;
    let gone = |samples: &Samples| {
        samples.sum("usher_endpoint_events_total", &["removed"]) >= 1.0
            && samples.sum("usher_pool_orphans", &[]) == 0.0
    };
    usher.when("the name has let go of the first", gone).await;
    one.stop();
    load.goes_on().await;
    assert!(load.processes().contains(&u64::from(other.id())));
    load.stop().await;
}

/// Packets to the endpoint arrive, and none comes back: neither to who connects nor to who waits.
#[tokio::test]
async fn a_black_hole_costs_time_and_no_request_that_may_be_repeated() {
    let namespace = Namespace::new();
    let near = plan().start();
    let far = plan().at(&namespace.address("0")).within(namespace.name()).start();
    let usher = usher(&format!("{}, {}", near.address, far.address), "").await;
    let load = Load::start(usher.clients, 3);
    load.is_served_by(2).await;
    namespace.swallow();
    // What waits there is late, and who connects anew is not let in.
    let elsewhere = |samples: &Samples| {
        retried(samples, "first_byte_timeout") + retried(samples, "connect_failed") >= 1.0
    };
    usher.when("requests go elsewhere", elsewhere).await;
    // It is chosen so rarely from then on that the five failures that eject it may take long.
    load.goes_on().await;
    namespace.release();
    let up = |samples: &Samples| samples.sum("usher_pool_endpoints", &["up"]) == 2.0;
    usher.when("it is up", up).await;
    load.goes_on().await;
    load.stop().await;
}
