//! Endpoints that go wrong, and what becomes of requests meanwhile.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use crate::support::{
    client::Client,
    origin::{Closed, Origin, ok},
    usher::{Usher, one_pool},
};

const EJECTED: &str = r#"usher_pool_endpoints{pool="rails",state="ejected"}"#;
const UP: &str = r#"usher_pool_endpoints{pool="rails",state="up"}"#;

/// Ejections that tests need not wait for.
const SHORT: &str = "    ejection: { hold: 100ms, hold_max: 200ms }\n";

/// Everybody in turn: by default, whoever fails gets less.
const TURNS: &str = "    balance: round_robin\n";

fn event(event: &str) -> String {
    format!(r#"usher_endpoint_events_total{{pool="rails",event="{event}"}}"#)
}

fn endings(status: u16) -> Vec<u8> {
    format!("HTTP/1.1 {status} Status\r\nContent-Length: 2\r\n\r\nhi").into_bytes()
}

/// An origin that answers with the status that it is told, and says its name.
async fn obedient(status: u16) -> (String, Arc<AtomicU16>) {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    let told = Arc::new(AtomicU16::new(status));
    let answer = told.clone();
    origin.serve(move |_| endings(answer.load(Ordering::Relaxed)));
    (endpoint, told)
}

#[tokio::test]
async fn an_endpoint_that_refuses_is_ejected_and_comes_back_and_no_client_notices() {
    let (well, _) = obedient(200).await;
    let closed = Closed::bind();
    let (address, endpoints) = (closed.endpoint(), vec![well, closed.endpoint()]);
    let usher = Usher::start(&one_pool(&endpoints, &format!("{TURNS}{SHORT}"))).await;
    let mut client = Client::connect(usher.address()).await;
    while usher.samples().get(&event("returned")) < 2.0 {
        assert_eq!(client.get("/").await.status, 200);
    }
    let status = usher.remote.status();
    let told = status.events.iter().find(|it| it.event == "ejected").expect("it is told");
    assert_eq!(
        (told.endpoint.as_str(), &*told.pools),
        (address.as_str(), &["rails".to_owned()][..])
    );
    assert!(told.reason.starts_with("it refused a connection; for "), "{told:?}");
    let back = closed.open();
    back.serve(|_| ok("back"));
    while client.get("/").await.text() != "back" {}
    usher.reaches(UP, 2.0).await;
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
    let retries = samples.sum("usher_retries_total", &["connect_failed"]);
    let ejections = samples.get(&event("ejected"));
    assert!(retries <= ejections, "each time it is tried once: {retries} {ejections}");
}

/// The kernel drops what comes to a socket whose queue is full, as a network drops what it has no
/// way for.
#[tokio::test]
async fn an_endpoint_that_nobody_gets_through_to_costs_moments_and_is_ejected() {
    let (well, _) = obedient(200).await;
    let hole = Closed::bind();
    let _full = hole.swallow();
    let times = "    timeouts: { connect: 100ms, first_byte: 2s, total: 10s }\n";
    let endpoints = [well, hole.endpoint()];
    let usher = Usher::start(&one_pool(&endpoints, &format!("{TURNS}{times}"))).await;
    let mut client = Client::connect(usher.address()).await;
    while usher.samples().get(EJECTED) < 1.0 {
        assert_eq!(client.get("/").await.status, 200);
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    assert_eq!(client.answer().await.status, 200, "nothing was sent to the other");
    let status = usher.remote.status();
    let told = status.events.iter().find(|it| it.event == "ejected").expect("it is told");
    assert_eq!(told.endpoint, hole.endpoint());
    drop(client);
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["failed"]), 0.0);
    let connects = samples.sum("usher_retries_total", &["connect_failed"]);
    assert_eq!(connects, 5.0, "a queue that is full for a moment looks the same: five in a row");
}

#[tokio::test]
async fn one_that_answers_500_is_ejected_and_when_all_do_none_is() {
    let (one, _) = obedient(500).await;
    let (other, told) = obedient(200).await;
    let endpoints = [one, other];
    let usher = Usher::start(&one_pool(&endpoints, TURNS)).await;
    let mut client = Client::connect(usher.address()).await;
    let mut seen = 0;
    while usher.samples().get(EJECTED) < 1.0 {
        seen += u32::from(client.get("/").await.status == 500);
        assert!(seen <= 25, "five in a row are enough, once the other has had some");
    }
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 200, "it gets nothing");
    }
    told.store(500, Ordering::Relaxed);
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status, 500, "the last one stays");
    }
    drop(client);
    assert_eq!(usher.stop().await.get(EJECTED), 1.0);

    let usher = Usher::start(&one_pool(&endpoints, TURNS)).await;
    let mut client = Client::connect(usher.address()).await;
    for _ in 0..60 {
        assert_eq!(client.get("/").await.status, 500);
    }
    drop(client);
    assert_eq!(usher.stop().await.get(EJECTED), 0.0, "when all fail alike, none stands out");
}

#[tokio::test]
async fn nothing_is_ejected_where_that_is_off() {
    let (one, _) = obedient(500).await;
    let (other, _) = obedient(200).await;
    let usher =
        Usher::start(&one_pool(&[one, other], &format!("{TURNS}    ejection: off\n"))).await;
    let mut client = Client::connect(usher.address()).await;
    let mut failed = 0;
    for _ in 0..200 {
        failed += u32::from(client.get("/").await.status == 500);
    }
    assert_eq!(failed, 100, "it gets its share");
    drop(client);
    assert_eq!(usher.stop().await.get(&event("ejected")), 0.0);
}
