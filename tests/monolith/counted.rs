//! Every request reaches its own pool, and everything that counts agrees on what there was.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Write,
    process::{Command, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use super::{
    ledger::{Entry, Ledger},
    mixed::{self, Done, ROUND},
    shop::Shop,
    visitor::Visitor,
};
use crate::support::{binary, usher::Samples};

const VISITORS: usize = 8;
const ROUNDS: usize = 7;

/// How many visitors leave before they have their answer.
const LEAVERS: u64 = 5;

#[tokio::test]
async fn every_request_reaches_its_own_pool_and_all_counters_add_up_to_what_was_sent() {
    let mut shop = Shop::open("").await;
    let mut done = mixed::send(shop.usher.clients, VISITORS, ROUNDS).await;
    leave(&shop, &mut done).await;
    let sent = done.ledger.sum(|_| true);
    assert!(sent >= (VISITORS * ROUNDS * ROUND) as u64);

    // What is counted when an answer's last byte has gone may be a moment behind the client.
    let all = |samples: &Samples| samples.sum("usher_requests_total", &[]) >= sent as f64;
    shop.usher.when("all requests are counted", all).await;
    let text = curl(&format!("http://{}/metrics", shop.usher.metrics));
    let samples = Samples::parse(&text);
    assert_eq!(Ledger::counted(&samples), done.ledger);
    check_the_rest(&samples, &done.ledger);
    promtool(&text);
    check_status(&shop);

    shop.usher.signal(Signal::TERM);
    assert_eq!(shop.usher.ended().code(), Some(0), "{}", shop.usher.log());
    let log = shop.usher.access_log();
    assert_eq!(Ledger::logged(&log), done.ledger);
    check_log(&log, &shop, &done);
}

/// Visitors who ask for much and leave with little.
async fn leave(shop: &Shop, done: &mut Done) {
    let visitor = Visitor::new(shop.usher.clients);
    for _ in 0..LEAVERS {
        let request = "GET /bytes/50000000 HTTP/1.1\r\nHost: shop.example\r\n\r\n";
        let head = visitor.leave_within(request).await;
        assert_eq!((head.status, head.field("x-pool")), (200, Some("customer")));
        done.request_ids.insert(head.field("x-request-id").expect("an id").to_owned());
        let text = |text: &str| text.to_owned();
        done.ledger.enter(Entry {
            audience: text("customer"),
            pool: text("customer"),
            status: text("none"),
            outcome: text("abandoned"),
        });
    }
}

/// What follows from how the requests ended.
fn check_the_rest(samples: &Samples, ledger: &Ledger) {
    let faults = |name: &str| samples.sum("usher_faults_total", &[&format!("fault=\"{name}\"")]);
    let with = |status: &str| ledger.sum(|entry| entry.status == status) as f64;
    assert_eq!(faults("ambiguous_path"), with("400"));
    assert_eq!(faults("not_admitted"), with("403"));
    assert_eq!(faults("sendfile_answer"), with("502"));
    assert_eq!(faults("client_left"), LEAVERS as f64);
    assert_eq!(
        samples.sum("usher_faults_total", &[]),
        ledger.sum(|it| it.outcome != "served") as f64
    );
    for audience in ["customer", "driver", "restaurant", "admin", "webhooks"] {
        let label = format!("audience=\"{audience}\"");
        let begun = |entry: &Entry| entry.outcome == "served" || entry.outcome == "abandoned";
        let answered = ledger.sum(|entry| entry.audience == audience && begun(entry)) as f64;
        for histogram in ["usher_first_byte_seconds", "usher_request_duration_seconds"] {
            let samples = samples.sum(&format!("{histogram}_count"), &[&label]);
            assert_eq!(samples, answered, "{histogram} of {audience}");
        }
        assert_eq!(samples.sum("usher_requests_in_flight", &[&label]), 0.0);
    }
    for pool in ["customer", "driver", "restaurant", "admin"] {
        let label = format!("pool=\"{pool}\"");
        let forwarded = ledger.sum(|entry| entry.pool == pool && entry.outcome != "refused");
        let leases = samples.sum("usher_upstream_seconds_count", &[&label]);
        assert_eq!(leases, forwarded as f64, "leases of {pool}");
        assert_eq!(samples.sum("usher_pool_in_flight", &[&label]), 0.0, "{pool}");
    }
}

/// `usher status`, for people and for programs.
fn check_status(shop: &Shop) {
    let control = shop.usher.control.to_string();
    let screen = binary::said(&["status", "--control", &control]);
    let text = String::from_utf8(screen.stdout).expect("text");
    assert!(screen.status.success(), "{text}");
    let line = |name: &str, words: &str| {
        let line = text.lines().find(|line| line.starts_with(name) && line.contains(words));
        assert!(line.is_some(), "no line of {name} says {words}:\n{text}");
    };
    line("customer", "2 of 2 up");
    line("customer", "0/6");
    for pool in ["driver", "restaurant", "admin"] {
        line(pool, "1 of 1 up");
        line(pool, "0/3");
    }
    line("admin", "99.5%, 95% in 2s");
    line("driver", "99.9%, 99% in 300ms");

    let json = binary::said(&["status", "--control", &control, "--format", "json"]);
    let status: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    let pools = status["pools"].as_array().expect("a list");
    let endpoints = pools.iter().flat_map(|pool| pool["endpoints"].as_array().expect("a list"));
    let addresses: BTreeSet<&str> = endpoints
        .filter(|endpoint| {
            // Some of what is asked is answered 500, and it may have been the last.
            let error = &endpoint["last_error"];
            endpoint["state"] == "up" && (error.is_null() || error == "answered 500")
        })
        .map(|endpoint| endpoint["address"].as_str().expect("an address"))
        .collect();
    let pumas: BTreeSet<&str> = shop.pumas.iter().map(|puma| &*puma.address).collect();
    assert_eq!(addresses, pumas, "{:#}", status["pools"]);
}

/// One line for each request, whose endpoint belongs to its pool.
fn check_log(log: &str, shop: &Shop, done: &Done) {
    let addresses: Vec<&str> = shop.pumas.iter().map(|puma| &*puma.address).collect();
    let endpoints = BTreeMap::from([
        ("customer", &addresses[..2]),
        ("driver", &addresses[2..3]),
        ("restaurant", &addresses[3..4]),
        ("admin", &addresses[4..]),
        ("none", &[]),
    ]);
    let mut ids = BTreeSet::new();
    let mut asked = BTreeSet::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        ids.insert(line["request_id"].as_str().expect("an id").to_owned());
        assert_eq!(line["outcome"] == "served", line["fault"].is_null(), "{line}");
        let pool = line["pool"].as_str().expect("a pool");
        match line["endpoint"].as_str() {
            Some(endpoint) => {
                assert!(endpoints[pool].contains(&endpoint), "{line}");
                asked.insert(endpoint.to_owned());
            }
            None => assert_eq!(line["outcome"], "refused", "{line}"),
        }
    }
    assert_eq!(ids, done.request_ids);
    assert_eq!(asked.len(), addresses.len(), "every Puma has had something to do");
}

fn curl(url: &str) -> String {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--fail", url])
        .output()
        .expect("curl can be run");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn promtool(text: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool can be run");
    let mut input = promtool.stdin.take().expect("a pipe");
    input.write_all(text.as_bytes()).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}
