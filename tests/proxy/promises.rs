//! What requests amount to for what was promised, counted by a whole usher: each case of
//! `docs/slo.md` that an origin and a client can bring about.

use std::collections::BTreeMap;

use crate::support::{
    client::Client,
    origin::{Line, Origin, ok},
    usher::{Samples, Usher, listener_tls},
};

/// Everything is in time for one objective, and nothing for the other.
const OBJECTIVES: &str = "\
    [{ availability: 99.9%, latency: { within: 1h, target: 99% }, bad: [404] },\
     { name: hasty, latency: { within: 1us, target: 99% }, exclude: [/quiet/**] },\
     { name: whole, latency: { within: 1us, target: 99%, on: completion }, exclude: off },\
     { name: order, only: [{ method: POST, path: /orders }], availability: 99.95%, bad: [404] }]";

/// usher with these promises in front of one origin, and a client.
async fn promised() -> (Origin, Usher, Client) {
    let origin = Origin::start().await;
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0{} }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\n\
         metrics: {{ bind: 127.0.0.1:0 }}\n\
         access_log: off\n\
         workers: 2\n\
         limits: {{ body: 8KiB }}\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences:\n\
         - {{ name: staff, match: [{{ path: /staff }}], only: [{{ client: 10.0.0.0/8 }}], \
              pool: rails, slo: {{ availability: 99% }} }}\n\
         - {{ name: nowhere, match: [{{ path: /nowhere }}], pool: none-there, \
              slo: {{ availability: 99% }} }}\n\
         - {{ name: everyone, pool: rails, slo: {} }}\n\
         pools:\n  \
           none-there: {{ endpoints: [127.0.0.1:1], capacity: 1 }}\n  \
           rails: {{ endpoints: [{}], capacity: 5 }}\n",
        listener_tls(),
        OBJECTIVES,
        origin.endpoint(),
    );
    let usher = Usher::start(&text).await;
    let client = Client::connect(usher.address()).await;
    (origin, usher, client)
}

/// `LABEL GOOD BAD` of an audience's promises that have counted anything.
fn counted(samples: &Samples, audience: &str) -> Vec<String> {
    let mut labels: BTreeMap<&str, [f64; 2]> = BTreeMap::new();
    let prefix = format!("usher_slo_events_total{{audience=\"{audience}\",slo=\"");
    for (series, value) in &samples.0 {
        let Some(rest) = series.strip_prefix(&prefix) else { continue };
        let label = rest.split('"').next().expect("a label ends");
        labels.entry(label).or_default()[usize::from(series.contains("result=\"bad\""))] += value;
    }
    let counted = labels.into_iter().filter(|(_, counts)| *counts != [0.0; 2]);
    counted.map(|(label, [good, bad])| format!("{label} {good} {bad}")).collect()
}

/// Asks for `target`, and has it answered with `answer`.
async fn answered(client: &mut Client, line: &mut Line, target: &str, answer: impl AsRef<[u8]>) {
    client.send(format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n")).await;
    line.read().await;
    line.write(answer).await;
    client.answer().await;
}

fn said(status: &str, fields: &str) -> String {
    format!("HTTP/1.1 {status} So\r\n{fields}Content-Length: 0\r\n\r\n")
}

#[tokio::test]
async fn every_promise_is_at_0_from_the_start() {
    let (_origin, usher, client) = promised().await;
    let samples = usher.samples();
    for audience in ["staff", "everyone"] {
        assert!(counted(&samples, audience).is_empty());
    }
    for label in ["availability", "latency-1h", "hasty-latency-1us", "order-availability"] {
        for result in ["good", "bad"] {
            let labels = format!(r#"slo="{label}",arm="stable",result="{result}""#);
            let series = format!(r#"usher_slo_events_total{{audience="everyone",{labels}}}"#);
            assert_eq!(samples.0.get(&series), Some(&0.0), "{series}");
        }
    }
    let completion = r#"slo="whole-latency-1us-completion""#;
    let events =
        |key: &&String| key.starts_with("usher_slo_events_total") && key.contains(completion);
    assert_eq!(samples.0.keys().filter(events).count(), 2);
    drop(client);
    usher.stop().await;
}

#[tokio::test]
async fn answers_count_for_each_promise_that_speaks_about_them() {
    let (origin, usher, mut client) = promised().await;
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write(ok("1")).await;
    client.answer().await;
    answered(&mut client, &mut line, "/quiet/x", ok("")).await;
    answered(&mut client, &mut line, "/", said("503", "")).await;
    answered(&mut client, &mut line, "/", said("404", "")).await;
    answered(&mut client, &mut line, "/", said("403", "")).await;
    answered(&mut client, &mut line, "/", said("200", "X-Usher-Slo: bad\r\n")).await;
    answered(&mut client, &mut line, "/", said("500", "X-Usher-Slo: exclude\r\n")).await;
    answered(&mut client, &mut line, "/up", ok("")).await;
    client.send("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi").await;
    line.read().await;
    line.write(said("404", "")).await;
    client.answer().await;
    drop((client, line));
    let samples = usher.stop().await;
    let expected = [
        // Good: /, /quiet and 403. Bad: 503, 404, what was said to be, and the order.
        "availability 3 4",
        "hasty-latency-1us 0 7",
        "latency-1h 3 4",
        "order-availability 0 1",
        // This one counts /up and /quiet as well.
        "whole-latency-1us-completion 0 8",
    ];
    assert_eq!(counted(&samples, "everyone"), expected.map(str::to_owned));
}

#[tokio::test]
async fn refusals_count_by_whose_doing_they_are() {
    let (_origin, usher, mut client) = promised().await;
    assert_eq!(client.get("/staff").await.status, 403);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 413);
    let mut client = Client::connect(usher.address()).await;
    assert_eq!(client.get("/nowhere").await.status, 503);
    assert_eq!(client.get("/a/../b").await.status, 400);
    drop(client);
    let samples = usher.stop().await;
    assert!(counted(&samples, "staff").is_empty(), "who is not admitted is not counted");
    assert!(counted(&samples, "everyone").is_empty(), "too large a body is the client's doing");
    assert_eq!(counted(&samples, "nowhere"), ["availability 0 1"]);
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_bad_and_a_client_that_leaves_it_is_judged_by_its_head() {
    let (origin, usher, mut client) = promised().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    drop(line);
    client.answer().await;
    let bad = ["availability 0 1", "hasty-latency-1us 0 1", "latency-1h 0 1"];
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 0.0).await;
    assert_eq!(counted(&usher.samples(), "everyone")[..3], bad.map(str::to_owned));
    let mut client = Client::connect(usher.address()).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    line.write("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
    client.head().await.expect("a head");
    client.reset();
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 0.0).await;
    drop(line);
    let samples = usher.stop().await;
    let expected = [
        "availability 1 1",
        "hasty-latency-1us 0 2",
        "latency-1h 1 1",
        // It left later than it was promised the end.
        "whole-latency-1us-completion 0 2",
    ];
    assert_eq!(counted(&samples, "everyone"), expected.map(str::to_owned));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_head_counts_where_it_had_waited_too_long() {
    let (origin, usher, mut client) = promised().await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    client.reset();
    usher.reaches("usher_requests_in_flight{audience=\"everyone\"}", 0.0).await;
    drop(line);
    let samples = usher.stop().await;
    let expected = ["hasty-latency-1us 0 1", "whole-latency-1us-completion 0 1"];
    assert_eq!(counted(&samples, "everyone"), expected.map(str::to_owned));
}
