//! What a reload cannot change: it says so until the file is as it was, or another process serves.
//!
//! Transport: HTTP/1.1 in plain text, and no more of it than one request.

use std::fs;

use crate::{
    kit::{Shop, gone},
    support::{
        binary::{Binary, PORTS, said},
        client::Client,
        origin::PATIENCE,
        usher::Samples,
    },
};

/// What is written otherwise, instead of what, and what is said of it.
const FIXED: &[(&str, &str, &str)] = &[
    ("control: { bind: 127.0.0.1:0 }", "control: { bind: 127.0.0.1:1 }", "control"),
    ("control: { bind", "control: { audit: { path: audit.json }, bind", "control"),
    ("metrics: { bind: 127.0.0.1:0 }", "metrics: off", "metrics"),
    ("workers: 1", "workers: 2", "workers"),
    ("access_log: off", "access_log: { path: access.json }", "access_log"),
    ("workers: 1", "workers: 1\nwhy: off", "why"),
    ("workers: 1", "workers: 1\nslo_source: { prometheus: http://127.0.0.1:1 }", "slo_source"),
    ("workers: 1", "workers: 1\nstate_dir: state", "state_dir"),
    (
        "pool: rails }",
        "pool: rails, slo: { latency: { within: 123ms, target: 99% } } }",
        "a bucket edge of the histograms for a new `within`",
    ),
];

fn config(endpoint: &str) -> String {
    format!(
        "{PORTS}access_log: off\nworkers: 1\ndrain: {{ grace: 0s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n"
    )
}

/// Puts `text` in the place of the configuration, all at once.
fn put(usher: &Binary, text: &str) {
    let beside = usher.directory().join("beside.yaml");
    fs::write(&beside, text).expect("it can be written");
    fs::rename(beside, usher.config()).expect("it can be put there");
}

/// What a command says of `usher`, which has to do what it is told.
fn ask(usher: &Binary, arguments: &[&str]) -> String {
    let output = said(&[arguments, &["--control", &usher.control.to_string()]].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn status(usher: &Binary) -> serde_json::Value {
    serde_json::from_str(&ask(usher, &["status", "--format", "json"])).expect("JSON")
}

/// What is written and waits for a restart, as the status has it.
fn waiting(usher: &Binary) -> Vec<String> {
    let status = status(usher);
    let lines = status["config"]["at_restart"].as_array().expect("lines").iter();
    lines.map(|line| line.as_str().expect("text").to_owned()).collect()
}

/// What `usher reload` says where it is the one that puts `text` to use: usher looks at the file by
/// itself as well, and may be first.
fn reloaded(usher: &Binary, before: &str, text: &str) -> String {
    for _ in 0..20 {
        put(usher, text);
        let said = ask(usher, &["reload"]);
        if said.starts_with("generation ") {
            return said;
        }
        assert_eq!(said, "nothing changes\n");
        put(usher, before);
        ask(usher, &["reload"]);
    }
    panic!("the reload has never been first:\n{}", usher.log());
}

/// Waits until `text` stands behind the first `heard` bytes of the log.
async fn says_behind(usher: &Binary, heard: usize, text: &str) {
    let said = async {
        while !usher.log()[heard..].contains(text) {
            tokio::task::yield_now().await;
        }
    };
    let said = tokio::time::timeout(PATIENCE, said).await;
    said.unwrap_or_else(|_late| panic!("never: {text}\n{}", usher.log()));
}

#[tokio::test]
async fn what_takes_a_restart_says_so_in_the_answer_the_log_and_the_status() {
    let shop = Shop::open("shop").await;
    let text = config(&shop.address.to_string());
    let usher = Binary::start_whole(&text).await;
    let documented = include_str!("../../docs/lifecycle.md");
    let (_, documented) =
        documented.split_once("Takes a restart, and a reload says so").expect("a list");
    let (documented, _) = documented.split_once("\n\n").expect("it ends");
    for (from, to, key) in FIXED {
        assert!(text.contains(from), "{from}");
        let changed = text.replace(from, to);
        let line = format!("{key} takes a restart");
        let heard = usher.log().len();
        let answer = reloaded(&usher, &text, &changed);
        assert!(answer.ends_with(&format!("\n  not applied: {line}\n")), "{answer}");
        assert_eq!(answer.matches("not applied").count(), 1, "{answer}");
        says_behind(&usher, heard, &format!("not applied: {line}\n")).await;
        assert_eq!(waiting(&usher), std::slice::from_ref(&line));
        let problems = status(&usher)["problems"].to_string();
        assert!(problems.contains(&format!("not applied: {line}")), "{problems}");
        let screen = ask(&usher, &["status"]);
        assert!(screen.contains(&format!("not applied: {line}")), "{screen}");
        // It is as it was, and whoever asks finds it where it was.
        assert_eq!(usher.readiness().await, 200);
        let word = key.split('`').nth(1).unwrap_or(key);
        assert!(documented.contains(&format!("`{word}`")), "{word}: {documented}");

        // What is changed next does not make it forgotten.
        let more = changed.replace("capacity: 5", "capacity: 6");
        let answer = reloaded(&usher, &changed, &more);
        assert!(answer.contains("capacity 5 → 6"), "{answer}");
        assert!(answer.ends_with(&format!("\n  not applied: {line}\n")), "{answer}");
        assert_eq!(waiting(&usher), [line]);
        // As it was at the start, it waits for nothing any more.
        let answer = reloaded(&usher, &more, &text);
        assert!(!answer.contains("not applied"), "{answer}");
        assert_eq!(waiting(&usher), [""; 0]);
        assert!(!ask(&usher, &["status"]).contains("not applied"));
    }
    assert_eq!(Client::connect(usher.clients).await.get("/").await.status, 200);
}

#[tokio::test]
async fn what_has_waited_for_a_restart_acts_in_the_process_that_takes_over() {
    let shop = Shop::open("shop").await;
    let text = config(&shop.address.to_string());
    let mut usher = Binary::start_whole(&text).await;
    let within = "slo: { latency: { within: 123ms, target: 99% } }";
    reloaded(&usher, &text, &text.replace("pool: rails }", &format!("pool: rails, {within} }}")));
    assert_eq!(
        waiting(&usher),
        ["a bucket edge of the histograms for a new `within` takes a restart"]
    );
    let served = async |usher: &Binary, edges: f64| {
        assert_eq!(Client::connect(usher.clients).await.get("/").await.status, 200);
        let counted = |samples: &Samples| samples.sum("usher_requests_total", &["served"]) >= 1.0;
        let samples = usher.when("it is counted", counted).await;
        let edge = samples.sum("usher_first_byte_seconds_bucket", &["le=\"0.123\""]);
        assert_eq!(edge > 0.0, edges > 0.0, "{edge}");
    };
    served(&usher, 0.0).await;
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(waiting(&usher), [""; 0]);
    served(&usher, 1.0).await;
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    rustix::process::kill_process(heir, rustix::process::Signal::TERM).expect("it runs");
    gone(heir).await;
}
