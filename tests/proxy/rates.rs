//! How often an audience, and each client of it, may ask.

use crate::GET;
use crate::support::{
    client::{Answer, Client},
    origin::{Origin, ok},
    usher::{Usher, one_pool},
};

/// usher whose one audience has these limits and a promise, and an origin that answers.
async fn limited(limits: &str) -> (Usher, String) {
    let origin = Origin::start().await;
    let text = text(&origin.endpoint(), limits);
    origin.serve(|_| ok("fine"));
    (Usher::start(&text).await, text)
}

fn text(endpoint: &str, limits: &str) -> String {
    one_pool(&[endpoint.to_owned()], "trusted_proxies: [127.0.0.0/8]\n").replace(
        "audiences: [{ name: everyone, pool: rails }]",
        &format!(
            "audiences: [{{ name: everyone, pool: rails, slo: {{ availability: 99% }}, \
             rate_limit: {{ {limits} }} }}]"
        ),
    )
}

/// The answers to `count` requests of `client`, one after the other.
async fn asked_by(usher: &Usher, client: &str, count: usize) -> Vec<Answer> {
    let mut connection = Client::connect(usher.address()).await;
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: {client}\r\n\r\n");
    let mut answers = Vec::new();
    for _ in 0..count {
        connection.send(&request).await;
        answers.push(connection.answer().await);
    }
    answers
}

fn statuses(answers: &[Answer]) -> Vec<u16> {
    answers.iter().map(|answer| answer.status).collect()
}

#[tokio::test]
async fn a_client_that_asks_too_often_is_refused_and_no_other_is() {
    let (usher, _) = limited("client: { rate: 1/h, burst: 3 }").await;
    let answers = asked_by(&usher, "203.0.113.9", 5).await;
    assert_eq!(statuses(&answers), [200, 200, 200, 429, 429]);
    let refused = &answers[3];
    assert_eq!(refused.field("x-usher-fault"), Some("client_rate_limited"));
    let wait: u64 = refused.field("retry-after").and_then(|it| it.parse().ok()).unwrap_or(0);
    // An hour, less the time that the machine has taken for those before.
    assert!((3_500..=3_600).contains(&wait), "{wait}");
    assert_eq!(statuses(&asked_by(&usher, "203.0.113.10", 3).await), [200, 200, 200]);
    assert_eq!(statuses(&asked_by(&usher, "2001:db8::1", 2).await), [200, 200]);
    let neighbour = asked_by(&usher, "2001:db8::ffff:1", 2).await;
    assert_eq!(statuses(&neighbour), [200, 429], "of the same network");
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["client_rate_limited", "\"client\""]), 3.0);
    assert_eq!(samples.sum("usher_requests_total", &["\"429\"", "refused"]), 3.0);
    assert_eq!(samples.sum("usher_upstream_seconds_count", &[]), 9.0, "refused before a slot");
    assert_eq!(samples.sum("usher_slo_events_total", &["good"]), 9.0);
    assert_eq!(samples.sum("usher_slo_events_total", &["bad"]), 0.0, "the clients' own doing");
    assert_eq!(samples.sum("usher_rate_limit_clients_forgotten_total", &["everyone"]), 0.0);
}

#[tokio::test]
async fn an_audience_that_is_asked_too_often_refuses_whoever_comes_and_that_is_ushers_doing() {
    let (usher, _) = limited("audience: { rate: 1/min, burst: 2 }").await;
    let mut answers = asked_by(&usher, "203.0.113.9", 2).await;
    answers.extend(asked_by(&usher, "203.0.113.10", 1).await);
    assert_eq!(statuses(&answers), [200, 200, 429]);
    assert_eq!(answers[2].field("x-usher-fault"), Some("rate_limited"));
    let wait: u64 = answers[2].field("retry-after").and_then(|it| it.parse().ok()).unwrap_or(0);
    assert!((1..=63).contains(&wait), "{wait}");
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["\"rate_limited\"", "\"usher\""]), 1.0);
    assert_eq!(samples.sum("usher_slo_events_total", &["bad"]), 1.0);
}

#[tokio::test]
async fn a_reload_forgives_nobody() {
    let origin = Origin::start().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let write = |limits: &str| {
        std::fs::write(file.path(), text(&origin.endpoint(), limits)).expect("written");
    };
    write("client: { rate: 1/h, burst: 1 }");
    let usher = Usher::start_at(file.path()).await;
    let mut client = Client::connect(usher.address()).await;
    client.send(GET).await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("once")).await;
    assert_eq!(client.answer().await.text(), "once");
    write("client: { rate: 2/h, burst: 1 }");
    usher.reaches("usher_config_generation", 2.0).await;
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 429);
    drop((client, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_body_that_belongs_to_a_refused_request_reaches_nobody() {
    let (usher, _) = limited("client: { rate: 1/h, burst: 1 }").await;
    let mut client = Client::connect(usher.address()).await;
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 200);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello").await;
    assert_eq!(client.answer().await.status, 429);
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 429, "the connection goes on behind the body");
    drop(client);
    usher.stop().await;
}
