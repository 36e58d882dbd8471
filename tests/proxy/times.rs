//! How long a request may take: what its audience and its rule say, and one deadline over all.

use crate::support::{
    client::{Answer, Client},
    origin::{Line, Origin, ok},
    usher::{Usher, one_pool},
};

/// An audience with these `timeouts`, a rule of it for `/patient` with those, and its pool's keys.
fn text(endpoints: &[String], audience: &str, rule: &str, pool: &str) -> String {
    one_pool(endpoints, pool).replace(
        "audiences: [{ name: everyone, pool: rails }]",
        &format!(
            "audiences:\n\
             - name: some\n  \
               match: [{{ path: /patient, timeouts: {{ {rule} }} }}, {{ path: /some/** }}]\n  \
               timeouts: {{ {audience} }}\n  \
               pool: rails\n\
             - {{ name: everyone, pool: rails }}"
        ),
    )
}

async fn ask(usher: &Usher, path: &str) -> Client {
    let mut client = Client::connect(usher.address()).await;
    client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")).await;
    client
}

/// A request for `path` of a new client, which has reached `origin`.
async fn asked(usher: &Usher, origin: &Origin, path: &str) -> (Client, Line) {
    let client = ask(usher, path).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), path);
    (client, line)
}

fn fault(answer: &Answer) -> (u16, Option<&str>) {
    (answer.status, answer.field("x-usher-fault"))
}

#[tokio::test]
async fn an_answer_begins_within_what_the_audience_says_and_a_rule_says_otherwise() {
    for (key, expected) in [("first_byte", "first_byte_timeout"), ("total", "total_timeout")] {
        let origin = Origin::start().await;
        let (audience, rule) = (format!("{key}: 100ms"), format!("{key}: 20s"));
        let usher = Usher::start(&text(&[origin.endpoint()], &audience, &rule, "")).await;
        let (mut patient, mut line) = asked(&usher, &origin, "/patient").await;
        let (mut other, mut other_line) = asked(&usher, &origin, "/other").await;
        let (mut some, some_line) = asked(&usher, &origin, "/some/thing").await;
        assert_eq!(fault(&some.answer().await), (504, Some(expected)));
        line.write(ok("patient")).await;
        assert_eq!(patient.answer().await.text(), "patient");
        other_line.write(ok("other")).await;
        assert_eq!(other.answer().await.text(), "other", "of the pool's own time");
        drop((patient, other, some, line, other_line, some_line));
        usher.stop().await;
    }
}

#[tokio::test]
async fn an_answer_may_pause_for_what_the_audience_says_and_a_rule_says_otherwise() {
    let origin = Origin::start().await;
    let (audience, rule) = ("between_bytes: 100ms", "between_bytes: 20s");
    let usher = Usher::start(&text(&[origin.endpoint()], audience, rule, "")).await;
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nha";
    let (mut patient, mut line) = asked(&usher, &origin, "/patient").await;
    line.write(half).await;
    let (mut some, mut some_line) = asked(&usher, &origin, "/some/thing").await;
    some_line.write(half).await;
    let got = some.closed().await;
    assert!(got.ends_with(b"\r\n\r\nha"), "it is cut where it paused");
    line.write("lf").await;
    assert_eq!(patient.answer().await.text(), "half");
    drop((patient, some, line, some_line));
    let samples = usher.stop().await;
    assert_eq!(samples.sum("usher_faults_total", &["some", "between_bytes_timeout"]), 1.0);
}

#[tokio::test]
async fn a_request_waits_for_a_slot_as_long_as_its_audience_says_whoever_else_waits() {
    let origin = Origin::start().await;
    let pool = "    queue: { wait: 20s, length: 10 }\n";
    let text = text(&[origin.endpoint()], "queue: 100ms", "queue: 20s", pool);
    let usher = Usher::start(&text.replace("capacity: 5", "capacity: 1")).await;
    let (mut first, mut line) = asked(&usher, &origin, "/first").await;
    let mut patient = ask(&usher, "/patient").await;
    usher.reaches("usher_pool_queue_length{pool=\"rails\"}", 1.0).await;
    // Who comes later and has less time takes none of it from the one before.
    for _ in 0..3 {
        let mut some = ask(&usher, "/some/thing").await;
        assert_eq!(fault(&some.answer().await), (503, Some("queue_timeout")));
    }
    assert_eq!(usher.samples().get("usher_pool_queue_length{pool=\"rails\"}"), 1.0);
    line.write(ok("first")).await;
    first.answer().await;
    assert_eq!(line.read().await.target(), "/patient");
    line.write(ok("patient")).await;
    assert_eq!(patient.answer().await.text(), "patient");
    drop((first, patient, line));
    usher.stop().await;
}

#[tokio::test]
async fn a_connection_is_made_within_what_the_audience_says_and_a_rule_says_otherwise() {
    // A port whose line of connections is full: the next one is neither taken nor refused.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
    let full = full.expect("a socket");
    let any: std::net::SocketAddr = ([127, 0, 0, 1], 0).into();
    full.bind(&any.into()).and_then(|()| full.listen(0)).expect("a free port");
    let address = full.local_addr().expect("an address").as_socket().expect("an IP address");
    let taken = std::net::TcpStream::connect(address).expect("the only place");
    let (audience, rule) = ("connect: 100ms, total: 10s", "connect: 20s, total: 300ms");
    let text = text(&[address.to_string()], audience, rule, "    retry: off\n");
    let usher = Usher::start(&text).await;
    let mut some = ask(&usher, "/some/thing").await;
    assert_eq!(fault(&some.answer().await), (503, Some("no_endpoint")));
    let mut patient = ask(&usher, "/patient").await;
    assert_eq!(fault(&patient.answer().await), (504, Some("total_timeout")));
    drop((some, patient, taken));
    usher.stop().await;
}

#[tokio::test]
async fn one_deadline_rules_all_attempts() {
    let origins = [Origin::start().await, Origin::start().await, Origin::start().await];
    let endpoints = origins.each_ref().map(Origin::endpoint);
    let audience = "first_byte: 300ms, total: 700ms";
    let pool = "    ejection: off\n    retry: { attempts: 3 }\n";
    let usher = Usher::start(&text(&endpoints, audience, "", pool)).await;
    let retries = || usher.samples().sum("usher_retries_total", &["first_byte_timeout"]);
    loop {
        let before = retries();
        let mut some = ask(&usher, "/some/thing").await;
        let answer = some.answer().await;
        // On a machine that stalls meanwhile there was no time left for a third attempt.
        if retries() - before < 2.0 {
            continue;
        }
        // Three attempts of 300 ms each would be 900: the third has what the first two have left.
        assert_eq!(fault(&answer), (504, Some("total_timeout")));
        assert_eq!(retries() - before, 2.0);
        break;
    }
    drop(origins);
    usher.stop().await;
}
