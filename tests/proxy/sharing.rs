//! What pools share: audiences a pool's slots, a queue the endpoints that come, all of them a
//! database.

use std::fs;

use crate::support::{
    client::Client,
    origin::{Line, Origin, ok},
    usher::{Usher, one_pool},
};

const QUEUED: &str = "usher_pool_queue_length{pool=\"rails\"}";

/// One worker, so that whoever waits is served on the connection whose slot has come free.
fn text(endpoints: &[String], pool: &str) -> String {
    one_pool(endpoints, pool).replace("workers: 2", "workers: 1")
}

async fn asks(usher: &Usher, path: &str) -> Client {
    let mut client = Client::connect(usher.address()).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    client
}

/// A client that has got a slot, and the origin's end of that.
async fn served(usher: &Usher, origin: &Origin, path: &str) -> (Client, Line) {
    let client = asks(usher, path).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), path);
    (client, line)
}

async fn queued(usher: &Usher, path: &str, count: u32) -> Client {
    let client = asks(usher, path).await;
    usher.reaches(QUEUED, f64::from(count)).await;
    client
}

#[tokio::test]
async fn an_audience_below_its_share_goes_first_and_then_the_higher_priority() {
    let origin = Origin::start().await;
    let two = "audiences:\n  - { name: reports, match: [{ path: /reports/** }], pool: rails, \
               priority: low, share: 50% }\n  - { name: public, pool: rails, priority: high }";
    let pool = "    queue: { length: 100, wait: 20s }\n";
    let text = text(&[origin.endpoint()], pool)
        .replace("audiences: [{ name: everyone, pool: rails }]", two)
        .replace("capacity: 5", "capacity: 2");
    let usher = Usher::start(&text).await;
    let mut held = Vec::new();
    for path in ["/a", "/b"] {
        held.push(served(&usher, &origin, path).await);
    }
    let mut waiting = Vec::new();
    for (path, count) in [("/reports/1", 1), ("/reports/2", 2), ("/c", 3), ("/d", 4)] {
        waiting.push(queued(&usher, path, count).await);
    }
    let (_first, line) = &mut held[0];
    // One of two slots is guaranteed to the reports; of the other the public has more right.
    line.write(ok("a")).await;
    assert_eq!(line.read().await.target(), "/reports/1");
    let (_second, other) = &mut held[1];
    for (answer, next) in [("b", "/c"), ("c", "/d"), ("d", "/reports/2")] {
        other.write(ok(answer)).await;
        assert_eq!(other.read().await.target(), next);
    }
    other.write(ok("2")).await;
    held[0].1.write(ok("1")).await;
    for (client, answer) in waiting.iter_mut().zip(["1", "2", "c", "d"]) {
        assert_eq!(client.answer().await.text(), answer);
    }
    drop((held, waiting));
    usher.stop().await;
}

#[tokio::test]
async fn as_many_may_wait_as_the_pool_has_endpoints_for() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let pool = "    queue: { length: 1x, wait: 20s }\n";
    let narrow = |endpoints: &[String]| text(endpoints, pool).replace("capacity: 5", "capacity: 1");
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.yaml");
    fs::write(&path, narrow(&[first.endpoint()])).expect("it can be written");
    let usher = Usher::start_at(&path).await;
    let (one, mut line) = served(&usher, &first, "/1").await;
    let two = queued(&usher, "/2", 1).await;
    let mut refused = asks(&usher, "/3").await;
    assert_eq!(refused.answer().await.field("x-usher-fault"), Some("queue_full"));
    fs::write(&path, narrow(&[first.endpoint(), second.endpoint()])).expect("it can be written");
    // Whoever waits takes the slot that has come; then two find room instead of one.
    let mut other = second.accept().await;
    assert_eq!(other.read().await.target(), "/2");
    let (four, five) = (queued(&usher, "/4", 1).await, queued(&usher, "/5", 2).await);
    let mut refused_too = asks(&usher, "/6").await;
    assert_eq!(refused_too.answer().await.field("x-usher-fault"), Some("queue_full"));
    for line in [&mut line, &mut other] {
        line.write(ok("served")).await;
        line.read().await;
    }
    line.write(ok("served")).await;
    other.write(ok("served")).await;
    for mut client in [one, two, four, five] {
        assert_eq!(client.answer().await.status, 200);
    }
    drop((refused, refused_too));
    usher.stop().await;
}

#[tokio::test]
async fn what_all_pools_need_of_the_database_is_told_by_when_they_need_it() {
    let origin = Origin::start().await;
    let pool = "    database_connections: 7\n    endpoints_max: 10\n    surge: 2\n";
    let text = text(&[origin.endpoint()], pool);
    let usher = Usher::start(&format!("database: {{ connections_max: 80 }}\n{text}")).await;
    let samples = usher.samples();
    let needed = |at| samples.get(&format!("usher_database_connections{{at=\"{at}\"}}"));
    assert_eq!(["now", "scaled_out", "deploying"].map(needed), [7.0, 70.0, 84.0]);
    assert_eq!(samples.get("usher_database_connections_max"), 80.0);
    usher.stop().await;
}
