//! Requests that are sent again, and those that are not.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use crate::GET;
use crate::support::{
    client::Client,
    origin::{Origin, ok},
    usher::{Samples, Usher, one_pool},
};

/// Nothing is ever ejected, so that every fault is met again and again.
const NEVER_EJECTED: &str = "    ejection: off\n    retry: { per_second: 1000 }\n    \
    timeouts: { first_byte: 1s, total: 10s }\n    balance: round_robin\n";

const POST: &str = "POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
const KEYED: &str =
    "POST /orders HTTP/1.1\r\nHost: a\r\nIdempotency-Key: 1\r\nContent-Length: 2\r\n\r\nhi";

/// What an origin does with each request, instead of answering it.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Closes,
    Resets,
    StaysSilent,
    Says(&'static str),
}

/// An origin that does as `fault` says with all requests; and how many connections it has had.
async fn faulty(fault: Fault) -> (String, Arc<AtomicU64>) {
    let origin = Origin::start().await;
    let (endpoint, connections) = (origin.endpoint(), Arc::new(AtomicU64::new(0)));
    let counted = connections.clone();
    tokio::spawn(async move {
        loop {
            let Some(mut line) = origin.try_accept().await else { return };
            counted.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                while line.try_read().await.is_some() {
                    match fault {
                        Fault::Closes => return,
                        Fault::Resets => return line.reset(),
                        // Until usher gives it up.
                        Fault::StaysSilent => {}
                        Fault::Says(answer) => line.try_write(answer.as_bytes()).await,
                    }
                }
            });
        }
    });
    (endpoint, connections)
}

async fn well(body: &'static str) -> String {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(move |_| ok(body));
    endpoint
}

/// The statuses of `count` times `request`, and what was counted.
async fn ask(endpoints: &[String], pool: &str, request: &str, count: usize) -> (Vec<u16>, Samples) {
    let text = one_pool(endpoints, pool).replace("workers: 2", "workers: 1");
    let usher = Usher::start(&text).await;
    let mut statuses = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(usher.address()).await;
        client.send(request).await;
        statuses.push(client.answer().await.status);
    }
    (statuses, usher.stop().await)
}

#[tokio::test]
async fn what_is_safe_is_answered_by_another_endpoint_and_what_is_not_is_told() {
    for (fault, reason, status) in [
        (Fault::Closes, "broken", 502),
        (Fault::Resets, "broken", 502),
        (Fault::StaysSilent, "first_byte_timeout", 504),
    ] {
        let endpoints = [faulty(fault).await.0, well("well").await];
        for request in [GET, KEYED] {
            // Whose turn it is goes round, so that both are met.
            let (statuses, samples) = ask(&endpoints, NEVER_EJECTED, request, 4).await;
            assert_eq!(statuses, [200; 4], "{fault:?} {request}");
            let retries = samples.sum("usher_retries_total", &[reason]);
            assert!((1.0..=4.0).contains(&retries), "{fault:?}: {retries} retries");
        }
        let (statuses, samples) = ask(&endpoints, NEVER_EJECTED, POST, 4).await;
        assert!(statuses.contains(&status) && statuses.contains(&200), "{fault:?}: {statuses:?}");
        assert_eq!(samples.sum("usher_retries_total", &["rails"]), 0.0, "{fault:?}");
    }
}

#[tokio::test]
async fn nothing_is_sent_again_once_a_byte_of_an_answer_has_come() {
    let begun = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome";
    let hinted = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    for answer in ["HTTP/1.1 200 OK\r\nContent-Le", begun, hinted] {
        let endpoints = [faulty(Fault::Says(answer)).await.0];
        let pool = "    ejection: off\n    timeouts: { first_byte: 100ms, between_bytes: 100ms }\n";
        let usher = Usher::start(&one_pool(&endpoints, pool)).await;
        let mut client = Client::connect(usher.address()).await;
        client.send(GET).await;
        client.closed_or_answered().await;
        drop(client);
        let samples = usher.stop().await;
        assert_eq!(samples.sum("usher_retries_total", &["rails"]), 0.0, "{answer:?}");
    }
}

#[tokio::test]
async fn a_listed_status_is_tried_elsewhere_and_the_last_one_is_passed_on() {
    let busy = "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy";
    let (one, other) = (faulty(Fault::Says(busy)).await.0, faulty(Fault::Says(busy)).await.0);
    let listed = "    ejection: off\n    retry: { on: [connect, 503], per_second: 1000 }\n";
    let both = [one.clone(), well("well").await];
    let (statuses, samples) = ask(&both, listed, GET, 20).await;
    assert_eq!(statuses, [200; 20]);
    assert!(samples.sum("usher_retries_total", &["\"status\""]) > 0.0);
    let (statuses, _) = ask(&both, listed, POST, 20).await;
    assert!(statuses.contains(&503), "a POST may have been done: {statuses:?}");
    let busy = [one, other];
    let (statuses, samples) = ask(&busy, listed, GET, 4).await;
    assert_eq!(statuses, [503; 4]);
    assert_eq!(samples.sum("usher_retries_total", &["\"status\""]), 8.0, "two more each");
    assert_eq!(samples.sum("usher_faults_total", &["rails"]), 0.0, "the monolith's own answer");
}

#[tokio::test]
async fn a_route_that_the_monolith_calls_safe_is_sent_again() {
    let origin = Origin::start().await;
    let endpoints = [origin.endpoint()];
    let usher = Usher::start(&one_pool(&endpoints, "    ejection: off\n")).await;
    let mut client = Client::connect(usher.address()).await;
    let post = |order| {
        format!("POST /orders/{order}/seen HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    };
    client.send(post(1)).await;
    let mut line = origin.accept().await;
    line.read().await;
    drop(line);
    assert_eq!(client.answer().await.status, 502, "nobody has said so yet");
    client.send(post(2)).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(
        "HTTP/1.1 200 OK\r\nX-Usher-Retry: safe\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    )
    .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.field("x-usher-retry")), (200, None));
    drop(line);
    client.send(post(3)).await;
    let mut line = origin.accept().await;
    line.read().await;
    drop(line);
    let mut line = origin.accept().await;
    assert!(line.read().await.line.starts_with("POST /orders/3/seen "));
    line.write(ok("seen")).await;
    assert_eq!(client.answer().await.text(), "seen");
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn an_outage_is_not_multiplied() {
    const REQUESTS: usize = 600;
    let (one, first) = faulty(Fault::Closes).await;
    let (other, second) = faulty(Fault::Closes).await;
    let usher = Usher::start(&one_pool(&[one, other], "")).await;
    let began = Instant::now();
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let address = usher.address();
        crowd.spawn(async move {
            let mut client = Client::connect(address).await;
            for _ in 0..REQUESTS / 6 {
                assert_eq!(client.get("/").await.status, 502);
            }
        });
    }
    while let Some(done) = crowd.join_next().await {
        done.expect("every answer is as it should be");
    }
    let seconds = began.elapsed().as_secs() as f64 + 2.0;
    let attempts = (first.load(Ordering::Relaxed) + second.load(Ordering::Relaxed)) as f64;
    let most = REQUESTS as f64 * 1.2 + seconds * 10.0;
    assert!(attempts <= most, "{attempts} attempts in {seconds} s, {most} are the most");
    let samples = usher.stop().await;
    assert!(samples.get(r#"usher_retries_refused_total{pool="rails"}"#) > 0.0);
}

#[tokio::test]
async fn retries_can_be_turned_off() {
    let endpoints = [faulty(Fault::Closes).await.0, well("well").await];
    let (statuses, samples) = ask(&endpoints, "    ejection: off\n    retry: off\n", GET, 20).await;
    assert!(statuses.contains(&502), "{statuses:?}");
    assert_eq!(samples.sum("usher_retries_total", &["rails"]), 0.0);
}

/// The promise: while one endpoint is well, no idempotent request of which no answer byte went out
/// fails within its deadline and the budget, whatever the others do.
#[tokio::test]
async fn no_idempotent_request_fails_while_one_endpoint_is_well() {
    let closed = crate::support::origin::Closed::bind();
    let endpoints = [
        well("well").await,
        faulty(Fault::Closes).await.0,
        faulty(Fault::Resets).await.0,
        faulty(Fault::StaysSilent).await.0,
        closed.endpoint(),
    ];
    let budget = "    retry: { budget: 100%, per_second: 1000 }\n";
    let pool = format!("    timeouts: {{ first_byte: 600ms, total: 10s }}\n{budget}");
    let usher = Usher::start(&one_pool(&endpoints, &pool)).await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let address = usher.address();
        crowd.spawn(async move {
            let mut client = Client::connect(address).await;
            let mut failed = 0;
            for _ in 0..50 {
                failed += usize::from(client.get("/").await.status != 200);
            }
            failed
        });
    }
    let mut failed = 0;
    while let Some(done) = crowd.join_next().await {
        failed += done.expect("every answer comes");
    }
    // Three attempts may meet three of the four before any is ejected: at the very beginning only.
    let samples = usher.stop().await;
    let told = samples.sum("usher_faults_total", &["rails"]);
    assert!(failed as f64 == told && failed <= 6, "{failed} of 200 failed");
}
