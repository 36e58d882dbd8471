//! Slots, and the queue for them; `gone`: what becomes of those whose request has gone.

mod gone;

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{io::AsyncWriteExt, sync::Semaphore, task::JoinSet};

use crate::{
    GET, started,
    support::{
        client::{Answer, Client},
        origin::{Line, Origin, ok},
        usher::{Usher, one_pool},
        wire,
    },
};

const IN_FLIGHT: &str = "usher_pool_in_flight{pool=\"rails\"}";
const ORPHANS: &str = "usher_pool_orphans{pool=\"rails\"}";
const QUEUED: &str = "usher_pool_queue_length{pool=\"rails\"}";
const DEMAND: &str = "usher_pool_demand{pool=\"rails\"}";
const ABANDONED: &str = "usher_requests_total{audience=\"everyone\",pool=\"rails\",\
                         arm=\"stable\",status=\"none\",outcome=\"abandoned\"}";

/// Endpoints that have one slot each, with more of the pool's keys.
fn narrow(endpoints: &[String], pool: &str) -> String {
    one_pool(endpoints, pool).replace("capacity: 5", "capacity: 1")
}

/// usher in front of one slot, which a first client has, and the origin's end of that.
async fn taken(pool: &str) -> (Origin, Usher, Client, Line) {
    let origin = Origin::start().await;
    let usher = Usher::start(&narrow(&[origin.endpoint()], pool)).await;
    let mut client = Client::connect(usher.address()).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    (origin, usher, client, line)
}

/// A client that waits, as number `count` of those who do.
async fn queued(usher: &Usher, path: &str, count: f64) -> Client {
    let mut client = Client::connect(usher.address()).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    usher.reaches(QUEUED, count).await;
    client
}

fn told(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.field("x-usher-fault"))
}

fn reset(client: Client) {
    client.reset();
}

#[tokio::test]
async fn the_origin_never_sees_more_requests_at_once_than_it_has_slots() {
    const CLIENTS: usize = 24;
    let pool = "    queue: { length: 1000, wait: 20s }\n";
    let origins = [Origin::start().await, Origin::start().await];
    let endpoints: Vec<String> = origins.iter().map(Origin::endpoint).collect();
    let text = one_pool(&endpoints, pool).replace("capacity: 5", "capacity: 3");
    let usher = Usher::start(&text.replace("workers: 2", "workers: 3")).await;
    let most = origins.map(|origin| {
        let (now, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let seen = most.clone();
        let turns = Arc::new(Semaphore::new(1));
        record(origin, turns, move |change| {
            let count = if change {
                now.fetch_add(1, Ordering::SeqCst) + 1
            } else {
                now.fetch_sub(1, Ordering::SeqCst) - 1
            };
            seen.fetch_max(count, Ordering::SeqCst);
        });
        most
    });
    let address = usher.address();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..20 {
                assert_eq!(client.get("/").await.text(), "served");
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.expect("served");
    }
    for most in most {
        assert_eq!(most.load(Ordering::SeqCst), 3);
    }
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_queue_wait_seconds_count", &[]), (CLIENTS * 20) as f64);
    assert_eq!(samples.sum("usher_requests_total", &["served"]), (CLIENTS * 20) as f64);
}

/// Serves one request after the other and tells `seen` when one begins and ends. Answers take
/// turns, so that requests pile up.
fn record(origin: Origin, turns: Arc<Semaphore>, seen: impl Fn(bool) + Send + Sync + 'static) {
    let seen = Arc::new(seen);
    tokio::spawn(async move {
        loop {
            let (mut line, seen, turns) =
                (origin.accept_for_ever().await, seen.clone(), turns.clone());
            tokio::spawn(async move {
                while line.try_read().await.is_some() {
                    seen(true);
                    let turn = turns.acquire().await.expect("it stays open");
                    for _ in 0..8 {
                        tokio::task::yield_now().await;
                    }
                    drop(turn);
                    seen(false);
                    line.try_write(&ok("served")).await;
                }
            });
        }
    });
}

#[tokio::test]
async fn those_who_wait_are_served_in_order_and_on_the_connection_that_came_free() {
    let (_origin, usher, mut first, mut line) = taken("    queue: { wait: 20s }\n").await;
    let mut waiting = VecDeque::new();
    for n in 1..=4 {
        waiting.push_back(queued(&usher, &format!("/{n}"), f64::from(n)).await);
    }
    assert_eq!(usher.samples().get(DEMAND), 5.0);
    line.write(ok("0")).await;
    assert_eq!(first.answer().await.text(), "0");
    for n in 1..=4 {
        let target = format!("/{n}");
        assert_eq!(line.read().await.target(), target, "on the same connection");
        line.write(ok(&target)).await;
        let mut client = waiting.pop_front().expect("one for each");
        assert_eq!(client.answer().await.text(), target);
    }
    drop(first);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_queue_wait_seconds_count", &[]), 5.0);
    assert!(samples.sum("usher_queue_wait_seconds_sum", &[]) > 0.0);
}

#[tokio::test]
async fn whoever_finds_the_queue_full_is_told_so_with_a_time_to_come_back() {
    let (_origin, usher, mut first, mut line) =
        taken("    queue: { length: 1, wait: 20s }\n").await;
    let mut second = queued(&usher, "/", 1.0).await;
    let mut third = Client::connect(usher.address()).await;
    let answer = third.get("/").await;
    assert_eq!(told(&answer), (503, Some("queue_full")));
    let after: u32 = answer.field("retry-after").expect("a time").parse().expect("a number");
    assert!((1..=3).contains(&after));
    line.write(ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
    line.read().await;
    line.write(ok("second")).await;
    assert_eq!(second.answer().await.text(), "second");
    drop((first, second, third));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_queue_wait_seconds_count", &[]), 3.0, "each counts once");
    assert_eq!(samples.sum("usher_faults_total", &["queue_full", "usher"]), 1.0);
    assert_eq!(samples.sum("usher_requests_total", &["refused", "503"]), 1.0);
}

#[tokio::test]
async fn whoever_waits_too_long_is_told_so_with_a_time_to_come_back() {
    let (_origin, usher, mut first, mut line) = taken("    queue: { wait: 200ms }\n").await;
    let mut second = Client::connect(usher.address()).await;
    let answer = second.get("/").await;
    assert_eq!(told(&answer), (503, Some("queue_timeout")));
    assert!(answer.field("retry-after").is_some());
    line.write(ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
    drop((first, second));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_queue_wait_seconds_count", &[]), 2.0, "each counts once");
    assert_eq!(samples.sum("usher_requests_total", &["refused", "503"]), 1.0);
}

#[tokio::test]
async fn nobody_waits_where_nobody_may() {
    for queue in ["{ length: 0 }", "{ wait: 0s }"] {
        let (_origin, usher, mut first, mut line) = taken(&format!("    queue: {queue}\n")).await;
        let mut second = Client::connect(usher.address()).await;
        assert_eq!(second.get("/").await.status, 503, "{queue}");
        line.write(ok("served")).await;
        assert_eq!(first.answer().await.text(), "served", "{queue}");
        drop((first, second));
        usher.stop().await;
    }
}

#[tokio::test]
async fn the_time_that_a_request_may_take_in_all_includes_its_wait() {
    let pool = "    queue: { wait: 20s }\n    timeouts: { total: 500ms, first_byte: 20s }\n";
    let origin = Origin::start().await;
    let usher = Usher::start(&narrow(&[origin.endpoint()], pool)).await;
    let mut first = Client::connect(usher.address()).await;
    first.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    let mut second = Client::connect(usher.address()).await;
    assert_eq!(told(&second.get("/").await), (504, Some("total_timeout")));
    assert_eq!(told(&first.answer().await), (504, Some("total_timeout")));
    assert_eq!(usher.samples().get(ORPHANS), 1.0, "only one of them had a slot");
    drop((first, second, line));
    usher.stop().await;
}

#[tokio::test]
async fn whoever_leaves_while_it_waits_costs_no_slot() {
    let (_origin, usher, mut first, mut line) = taken("    queue: { wait: 20s }\n").await;
    let gone = queued(&usher, "/reset", 1.0).await;
    let mut closed = queued(&usher, "/closed", 2.0).await;
    let mut last = queued(&usher, "/last", 3.0).await;
    reset(gone);
    usher.reaches(QUEUED, 2.0).await;
    if wire::HTTP2 {
        // An end of a stream is the end of its request, and no departure.
        drop(closed);
        usher.reaches(QUEUED, 1.0).await;
    } else {
        closed.stream.shutdown().await.expect("half-closes");
        usher.reaches(QUEUED, 1.0).await;
        assert!(closed.closed().await.is_empty(), "nobody is there to be answered");
    }
    usher.reaches(ABANDONED, 2.0).await;
    line.write(ok("first")).await;
    assert_eq!(first.answer().await.text(), "first");
    assert_eq!(line.read().await.target(), "/last");
    line.write(ok("last")).await;
    assert_eq!(last.answer().await.text(), "last");
    drop((first, last));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_upstream_seconds_count", &[]), 2.0);
    assert_eq!(samples.sum("usher_queue_wait_seconds_count", &[]), 2.0);
    assert_eq!(samples.sum("usher_faults_total", &["client_left"]), 2.0);
}

#[tokio::test]
async fn a_request_that_no_endpoint_can_take_waits_where_it_is_told_to() {
    let text = one_pool(
        &["nowhere.invalid:80".to_owned()],
        "    when_empty: wait\n    queue: { wait: 200ms }\n",
    );
    let usher = Usher::start(&text).await;
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(told(&client.get("/").await), (503, Some("no_endpoint")));
    drop(client);
    let samples = usher.stop().await;
    assert!(samples.sum("usher_queue_wait_seconds_sum", &[]) >= 0.2);
}

#[tokio::test]
async fn a_waiting_request_takes_the_first_slot_of_any_endpoint() {
    let origins = [Origin::start().await, Origin::start().await];
    let endpoints: Vec<String> = origins.iter().map(Origin::endpoint).collect();
    let usher = Usher::start(&narrow(&endpoints, "    queue: { wait: 20s }\n")).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Client::connect(usher.address()).await;
        client.send(GET).await;
        clients.push(client);
    }
    let [mut one, mut other] = [origins[0].accept().await, origins[1].accept().await];
    one.read().await;
    other.read().await;
    let mut third = queued(&usher, "/third", 1.0).await;
    other.write(ok("free")).await;
    assert_eq!(other.read().await.target(), "/third");
    other.write(ok("third")).await;
    assert_eq!(third.answer().await.text(), "third");
    one.write(ok("first")).await;
    for client in &mut clients {
        client.answer().await;
    }
    drop((clients, third));
    usher.stop().await;
}

#[tokio::test]
async fn an_upload_takes_no_slot_before_it_is_whole() {
    let (_origin, usher, mut client) = started("").await;
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").await;
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 1.0).await;
    assert_eq!(usher.samples().get(IN_FLIGHT), 0.0);
    reset(client);
    usher.reaches(ABANDONED, 1.0).await;
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_upstream_seconds_count", &[]), 0.0);
}
