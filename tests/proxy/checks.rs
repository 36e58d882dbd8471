//! Asking endpoints whether they are well, and what becomes of requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU16, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::support::{
    client::Client,
    origin::{Asked, Origin},
    usher::{Usher, one_pool},
};

const DOWN: &str = r#"usher_pool_endpoints{pool="rails",state="down"}"#;
const UP: &str = r#"usher_pool_endpoints{pool="rails",state="up"}"#;

const QUICK: &str = "interval: 100ms, timeout: 5s, rise: 2, fall: 2";

/// An origin whose checks have the status that it is told, and what the last check asked for.
struct Checked {
    endpoint: String,
    status: Arc<AtomicU16>,
    asked: Arc<Mutex<Vec<String>>>,
    checks: Arc<AtomicU64>,
}

async fn checked(status: u16, more: &'static str) -> Checked {
    let origin = Origin::start().await;
    let checked = Checked {
        endpoint: origin.endpoint(),
        status: Arc::new(AtomicU16::new(status)),
        asked: Arc::default(),
        checks: Arc::default(),
    };
    let (told, asked, checks) =
        (checked.status.clone(), checked.asked.clone(), checked.checks.clone());
    origin.serve(move |request: &Asked| {
        let is_check = request.field("user-agent").is_some_and(|it| it.contains("health check"));
        if !is_check {
            return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        let field = |name| request.field(name).unwrap_or("-").to_owned();
        *asked.lock() =
            vec![request.line.clone(), field("host"), field("x-forwarded-proto"), field("x-deep")];
        checks.fetch_add(1, Ordering::Relaxed);
        let status = told.load(Ordering::Relaxed);
        format!("HTTP/1.1 {status} Status\r\n{more}Content-Length: 3\r\n\r\nok!").into_bytes()
    });
    checked
}

#[tokio::test]
async fn an_endpoint_whose_checks_fail_gets_nothing_until_they_pass_again() {
    let (one, other) = (checked(200, "").await, checked(200, "").await);
    let endpoints = [one.endpoint.clone(), other.endpoint.clone()];
    let health =
        format!("    health: {{ {QUICK}, host: shop.example, headers: {{ X-Deep: \"1\" }} }}\n");
    let usher = Usher::start(&one_pool(&endpoints, &health)).await;
    while one.checks.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    let asked = one.asked.lock().clone();
    assert_eq!(asked, ["GET /up HTTP/1.1", "shop.example", "https", "1"]);
    one.status.store(503, Ordering::Relaxed);
    usher.reaches(DOWN, 1.0).await;
    let status = usher.remote.status();
    let down = status.pools[0].endpoints.iter().find(|it| it.state == "down").expect("one is down");
    assert_eq!(down.address, one.endpoint);
    assert_eq!(down.reason.as_deref(), Some("checks fail: answered 503"));
    one.status.store(200, Ordering::Relaxed);
    usher.reaches(UP, 2.0).await;
    // Counted by the house, a moment later.
    usher.reaches(r#"usher_endpoint_events_total{pool="rails",event="down"}"#, 1.0).await;
    usher.reaches(r#"usher_endpoint_events_total{pool="rails",event="up"}"#, 1.0).await;
    usher.stop().await;
}

#[tokio::test]
async fn when_all_are_down_requests_are_tried_or_refused_as_configured() {
    let origin = checked(500, "").await;
    let endpoints = [origin.endpoint.clone()];
    for (when, status) in [("try", 200), ("refuse", 503)] {
        let pool = format!("    health: {{ {QUICK} }}\n    when_unhealthy: {when}\n");
        let usher = Usher::start(&one_pool(&endpoints, &pool)).await;
        usher.reaches(DOWN, 1.0).await;
        let mut client = Client::connect(usher.address()).await;
        let answer = client.get("/").await;
        assert_eq!(answer.status, status, "{when}");
        let fault = (status == 503).then_some("no_endpoint");
        assert_eq!(answer.field("x-usher-fault"), fault);
        drop(client);
        usher.stop().await;
    }
}

#[tokio::test]
async fn a_request_that_waits_is_served_once_checks_pass_again() {
    let origin = checked(500, "").await;
    let pool = format!(
        "    health: {{ {QUICK} }}\n    when_unhealthy: refuse\n    when_empty: wait\n    \
         queue: {{ wait: 30s }}\n    timeouts: {{ total: 60s }}\n"
    );
    let usher = Usher::start(&one_pool(&[origin.endpoint], &pool)).await;
    usher.reaches(DOWN, 1.0).await;
    let mut client = Client::connect(usher.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    usher.reaches(r#"usher_pool_queue_length{pool="rails"}"#, 1.0).await;
    origin.status.store(200, Ordering::Relaxed);
    assert_eq!(client.answer().await.status, 200);
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn what_rails_answers_to_strangers_is_explained() {
    let location = "Location: https://shop.example/up\r\n";
    for (status, more, keys, said) in [
        (301, location, "headers: { X-Forwarded-Proto: http }", "`force_ssl`"),
        (301, location, "", "write a `path` that is not redirected"),
        (403, "", "", "`config.hosts` may not admit `127.0.0.1:"),
        (403, "", "host: shop.example", "`config.hosts` may not admit `shop.example`"),
        (404, "", "path: /healthz", "there is nothing at /healthz"),
        (200, "", "body: fine", "its body is not as expected: \"ok!\""),
    ] {
        let origin = checked(status, more).await;
        let pool = format!("    health: {{ interval: 100ms, timeout: 5s, {keys} }}\n");
        let usher = Usher::start(&one_pool(&[origin.endpoint], &pool)).await;
        usher.reaches(DOWN, 1.0).await;
        let status = usher.remote.status();
        let check = status.pools[0].endpoints[0].check.clone().expect("it says what is wrong");
        assert!(check.contains(said), "{check}");
        usher.stop().await;
    }
}

#[tokio::test]
async fn a_check_that_is_late_while_clients_are_answered_is_no_verdict() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    let late = Arc::new(AtomicU64::new(0));
    let counted = late.clone();
    tokio::spawn(async move {
        while let Some(mut line) = origin.try_accept().await {
            let counted = counted.clone();
            tokio::spawn(async move {
                while let Some(asked) = line.try_read().await {
                    if asked.line.starts_with("GET /up ") {
                        counted.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    line.try_write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            });
        }
    });
    // Long enough that a client is answered meanwhile on a busy machine too.
    let pool = "    health: { interval: 100ms, timeout: 1s, fall: 1 }\n";
    for tries in 1.. {
        let (before, mut slowest) = (late.load(Ordering::Relaxed), Duration::ZERO);
        let mut answered = Instant::now();
        let usher = Usher::start(&one_pool(std::slice::from_ref(&endpoint), pool)).await;
        let mut client = Client::connect(usher.address()).await;
        let mut down = 0.0;
        while late.load(Ordering::Relaxed) < before + 3 {
            assert_eq!(client.get("/").await.status, 200);
            down = usher.samples().sum("usher_endpoint_events_total", &["\"down\""]);
            slowest = slowest.max(answered.elapsed());
            answered = Instant::now();
        }
        // A machine that stalls for as long as a check takes has shown nothing.
        if slowest < Duration::from_millis(700) || tries == 5 {
            assert_eq!(down, 0.0, "clients were answered within {slowest:?}");
            // Without clients there is nothing else to go by.
            usher.reaches(DOWN, 1.0).await;
            drop(client);
            usher.stop().await;
            return;
        }
        drop(client);
        usher.stop().await;
    }
}
