//! What was promised, counted by the real binary: the same numbers in the metrics, the API and
//! `usher slo`, and after a reload, a kill and a restart.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{
    binary::{Binary, said},
    client::Client,
    origin::{Line, Origin, PATIENCE},
};

/// Answers each request with the status that its path names.
async fn monolith() -> Origin {
    Origin::start().await
}

fn configuration(origin: &Origin, state_dir: &Path, target: &str) -> String {
    format!(
        "access_log: off\n\
         state_dir: {}\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences:\n\
         - {{ name: customer, pool: rails, \
              slo: {{ availability: {target}, latency: {{ within: 1h, target: 90% }} }} }}\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        state_dir.display(),
        origin.endpoint(),
    )
}

/// What the monolith answers. It closes its connections, so that each request has one of its own,
/// whichever process serves it.
const GOOD: &str = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
const BAD: &str = "HTTP/1.1 503 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

/// Has `good` requests answered well and `bad` ones with a 503.
async fn traffic(binary: &Binary, origin: &Origin, good: usize, bad: usize) {
    for index in 0..good + bad {
        let answer = if index < good { GOOD } else { BAD };
        finished(begun(binary, origin).await, answer).await;
    }
}

/// A request that the monolith has begun and not answered.
async fn begun(binary: &Binary, origin: &Origin) -> (Client, Line) {
    let mut client = Client::connect(binary.clients).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    (client, line)
}

async fn finished((mut client, mut line): (Client, Line), answer: &str) {
    line.write(answer).await;
    client.answer().await;
}

/// Good and bad events of the promise `slo` in the metrics.
async fn in_metrics(binary: &Binary, slo: &str) -> [f64; 2] {
    let samples = binary.samples().await;
    let of = |result: &str| {
        let labels = format!(r#"slo="{slo}",arm="stable",result="{result}""#);
        samples.get(&format!(r#"usher_slo_events_total{{audience="customer",{labels}}}"#))
    };
    ["good", "bad"].map(of)
}

/// What `usher slo` says of both promises.
fn shown(binary: &Binary) -> Vec<Value> {
    let output = said(&["slo", "--format", "json", "--control", &binary.control.to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let view: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    view["promises"].as_array().expect("promises").clone()
}

/// Waits until `usher slo` shows `good` and `bad` events for availability.
async fn shows(binary: &Binary, good: u64, bad: u64) -> Value {
    let reached = async {
        loop {
            let view = shown(binary);
            if (view[0]["good"].as_u64(), view[0]["bad"].as_u64()) == (Some(good), Some(bad)) {
                return view[0].clone();
            }
            tokio::task::yield_now().await;
        }
    };
    match tokio::time::timeout(PATIENCE, reached).await {
        Ok(view) => view,
        Err(_late) => panic!("never {good} and {bad}: {:#?}\n{}", shown(binary), binary.log()),
    }
}

/// Waits until what is kept in `state_dir` holds so many events of one promise.
async fn kept(state_dir: &Path, events: i64) {
    let counts = || -> i64 {
        let files = fs::read_dir(state_dir.join("slo")).expect("a directory").flatten();
        let json = files.filter(|file| file.path().extension().is_some_and(|it| it == "json"));
        let sum = |text: String| -> i64 {
            let file: Value = serde_json::from_str(&text).expect("never torn");
            let counts = file["promises"][0]["rings"][3]["counts"].as_array().cloned();
            counts.into_iter().flatten().filter_map(|it| it.as_i64()).filter(|it| *it > 0).sum()
        };
        json.filter_map(|file| fs::read_to_string(file.path()).ok()).map(sum).sum()
    };
    let reached = async {
        while counts() != events {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.expect("it is written within seconds");
}

#[tokio::test]
async fn what_is_counted_is_the_same_everywhere_and_survives_reload_kill_and_restart() {
    let state = tempfile::tempdir().expect("a directory");
    let origin = monolith().await;
    let text = configuration(&origin, state.path(), "99%");
    let first = Binary::start(&text).await;
    traffic(&first, &origin, 97, 3).await;
    let view = shows(&first, 97, 3).await;
    assert_eq!(in_metrics(&first, "availability").await, [97.0, 3.0]);
    assert_eq!(in_metrics(&first, "latency-1h").await, [97.0, 3.0]);
    // 3 of 100 are bad where 1 is allowed.
    assert!((view["budget_left"].as_f64().expect("events") + 2.0).abs() < 1e-9, "{view}");
    assert!((view["windows"][0]["burn"].as_f64().expect("events") - 3.0).abs() < 1e-9);
    assert_eq!(view["causes"][0]["cause"], "status_5xx");
    let left = r#"usher_slo_budget_left_ratio{audience="customer",slo="availability"}"#;
    assert!((first.samples().await.get(left) + 2.0).abs() < 1e-9);

    // Another target keeps the history.
    let laxer = configuration(&origin, state.path(), "90%");
    fs::write(first.config(), format!("{}{laxer}", crate::support::binary::PORTS))
        .expect("written");
    let output = said(&["reload", "--control", &first.control.to_string()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    traffic(&first, &origin, 9, 1).await;
    let view = shows(&first, 106, 4).await;
    assert!((view["budget_left"].as_f64().expect("events") - (1.0 - 4.0 / 11.0)).abs() < 1e-9);

    // Killed, once it has written down what it knows.
    kept(state.path(), 110).await;
    drop(first);
    let mut second = Binary::start(&text).await;
    shows(&second, 106, 4).await;
    assert_eq!(in_metrics(&second, "availability").await, [0.0, 0.0], "counters begin at 0");
    traffic(&second, &origin, 5, 0).await;
    // Stopped, it loses nothing.
    second.signal(rustix::process::Signal::TERM);
    assert!(second.ended().success(), "{}", second.log());
    let third = Binary::start(&text).await;
    let view = shows(&third, 111, 4).await;
    let human = said(&["slo", "--control", &third.control.to_string()]);
    let human = String::from_utf8_lossy(&human.stdout).into_owned();
    assert!(human.contains("customer  availability") && human.contains("4 status_5xx"), "{human}");
    assert!(view["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{view}");
}

#[tokio::test]
async fn two_processes_with_one_state_directory_count_nothing_twice() {
    let state = tempfile::tempdir().expect("a directory");
    let origin = monolith().await;
    let text = configuration(&origin, state.path(), "99%");
    let mut old = Binary::start(&text).await;
    traffic(&old, &origin, 10, 2).await;
    kept(state.path(), 12).await;
    let new = Binary::start(&text).await;
    shows(&new, 10, 2).await;
    traffic(&new, &origin, 5, 0).await;
    // The old one still serves what it had begun.
    traffic(&old, &origin, 1, 1).await;
    shows(&new, 16, 3).await;
    old.signal(rustix::process::Signal::TERM);
    assert!(old.ended().success(), "{}", old.log());
    kept(state.path(), 19).await;
    shows(&new, 16, 3).await;
    let files = fs::read_dir(state.path().join("slo")).expect("a directory");
    assert!(files.count() <= 4);
    drop(new);
    let after = Binary::start(&text).await;
    shows(&after, 16, 3).await;
}

/// Two hand-overs, the second before the first process has ended: everything is counted once, all
/// the time and at the end.
async fn hand_over_twice(text: &str, origin: &Origin) -> Binary {
    let mut usher = Binary::start(text).await;
    traffic(&usher, origin, 10, 2).await;
    let in_first = begun(&usher, origin).await;
    let also_in_first = begun(&usher, origin).await;
    usher.upgrade().expect("the same binary serves");
    shows(&usher, 10, 2).await;
    traffic(&usher, origin, 5, 1).await;
    shows(&usher, 15, 3).await;
    // What the first one still finishes is heard of.
    finished(in_first, GOOD).await;
    shows(&usher, 16, 3).await;
    let in_second = begun(&usher, origin).await;
    let last = usher.upgrade().expect("the same binary serves");
    shows(&usher, 16, 3).await;
    finished(also_in_first, BAD).await;
    assert!(usher.first_ended().await.success(), "{}", usher.log());
    shows(&usher, 16, 4).await;
    finished(in_second, GOOD).await;
    shows(&usher, 17, 4).await;
    usher.says("the old usher has finished what it had begun").await;
    traffic(&usher, origin, 1, 0).await;
    let view = shows(&usher, 18, 4).await;
    assert_eq!(in_metrics(&usher, "availability").await, [18.0, 4.0]);
    assert_eq!(view["causes"][0]["count"], 4, "{view}");
    assert_eq!(view["windows"][0]["bad"], 4, "{view}");
    let log = usher.log();
    assert!(!log.contains("ERROR") && !log.contains("WARN"), "{log}");
    // Once the one in the middle has gone as well, its counts have changed hands.
    let gone = |log: &str| log.matches("the old usher has finished").count() >= 2;
    let both = async {
        while !gone(&usher.log()) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, both).await.expect("both have ended");
    shows(&usher, 18, 4).await;
    assert!(crate::support::binary::lives(last));
    usher
}

#[tokio::test]
async fn budgets_go_on_over_hand_overs_without_a_state_directory() {
    let (nowhere, origin) = (Path::new("/nowhere"), monolith().await);
    let text = configuration(&origin, nowhere, "99%").replace("state_dir: /nowhere\n", "");
    let usher = hand_over_twice(&text, &origin).await;
    traffic(&usher, &origin, 1, 1).await;
    shows(&usher, 19, 5).await;
}

#[tokio::test]
async fn budgets_go_on_over_hand_overs_with_a_state_directory_and_over_a_kill_after_them() {
    let (state, origin) = (tempfile::tempdir().expect("a directory"), monolith().await);
    let text = configuration(&origin, state.path(), "99%");
    let usher = hand_over_twice(&text, &origin).await;
    kept(state.path(), 22).await;
    // Dropping it kills whoever serves.
    drop(usher);
    let after = Binary::start(&text).await;
    shows(&after, 18, 4).await;
    kept(state.path(), 22).await;
    // Each file of those that have ended has been taken in, once.
    let files = fs::read_dir(state.path().join("slo")).expect("a directory").flatten();
    let json = files.filter(|file| file.path().extension().is_some_and(|it| it == "json"));
    assert_eq!(json.count(), 1);
}

#[tokio::test]
async fn a_process_that_is_killed_while_it_drains_loses_its_last_seconds_and_no_more() {
    for with_state in [false, true] {
        let (state, origin) = (tempfile::tempdir().expect("a directory"), monolith().await);
        let mut text = configuration(&origin, state.path(), "99%");
        if !with_state {
            text = text.replace("state_dir:", "# state_dir:");
        }
        let mut usher = Binary::start(&text).await;
        traffic(&usher, &origin, 10, 2).await;
        let (finishes, hangs) = (begun(&usher, &origin).await, begun(&usher, &origin).await);
        usher.upgrade().expect("the same binary serves");
        traffic(&usher, &origin, 3, 0).await;
        finished(finishes, BAD).await;
        shows(&usher, 13, 3).await;
        usher.signal(rustix::process::Signal::KILL);
        usher.first_ended().await;
        drop(hangs);
        usher.says("the old usher has finished what it had begun").await;
        shows(&usher, 13, 3).await;
        traffic(&usher, &origin, 1, 0).await;
        shows(&usher, 14, 3).await;
        if with_state {
            kept(state.path(), 17).await;
            shows(&usher, 14, 3).await;
        }
    }
}

#[tokio::test]
async fn what_was_decided_at_the_gate_holds_in_the_process_that_takes_over() {
    for with_state in [false, true] {
        let (state, origin) = (tempfile::tempdir().expect("a directory"), monolith().await);
        let mut text = configuration(&origin, state.path(), "99%");
        if !with_state {
            text = text.replace("state_dir:", "# state_dir:");
        }
        let mut usher = Binary::start(&text).await;
        let control = usher.control.to_string();
        let told = |arguments: &[&str]| {
            let output = said(&[&["gate"], arguments, &["--control", &control]].concat());
            assert!(matches!(output.status.code(), Some(0 | 3)), "{output:?}");
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        traffic(&usher, &origin, 10, 0).await;
        told(&["override", "hold", "--for", "1h", "--reason", "the database moves"]);
        let drains = begun(&usher, &origin).await;
        usher.upgrade().expect("the same binary serves");
        assert!(told(&[]).contains("the database moves"));
        // The old one goes on counting, and writes nothing over what the new one is told.
        told(&["override", "hold", "--for", "1h", "--reason", "it still moves"]);
        finished(drains, BAD).await;
        assert!(usher.first_ended().await.success(), "{}", usher.log());
        shows(&usher, 10, 1).await;
        assert!(told(&[]).contains("it still moves"));
        drop(usher);
        if with_state {
            let after = Binary::start(&text).await;
            let output = said(&["gate", "--control", &after.control.to_string()]);
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("it still moves"), "{text}");
        }
    }
}

#[test]
fn slo_explains_what_counts_without_a_running_usher() {
    let output = said(&["slo", "--explain", "--config", "config/examples/food-delivery.yaml"]);
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && text.contains("/assets/**"), "{text}");
    let output = said(&["slo", "--explain", "--config", "nowhere.yaml"]);
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn the_gate_turns_with_the_budget_and_can_be_overridden_with_a_reason() {
    let state = tempfile::tempdir().expect("a directory");
    let origin = monolith().await;
    let binary = Binary::start(&configuration(&origin, state.path(), "99%")).await;
    let control = binary.control.to_string();
    let gate = |arguments: &[&str]| {
        let all = [&["gate"], arguments, &["--control", &control]].concat();
        let output = said(&all);
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code().expect("an exit code"), text)
    };
    assert_eq!(gate(&[]).0, 4, "no event yet");
    assert_eq!(gate(&["--unknown", "go"]).0, 0);
    assert_eq!(gate(&["--unknown", "hold"]).0, 3);
    traffic(&binary, &origin, 400, 1).await;
    shows(&binary, 400, 1).await;
    assert_eq!(gate(&[]).0, 0, "{}", gate(&[]).1);
    traffic(&binary, &origin, 0, 30).await;
    shows(&binary, 400, 31).await;
    let turned = async {
        while gate(&[]).0 != 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, turned).await.expect("it turns within a second");
    let (_, text) = gate(&["--audience", "customer"]);
    assert!(text.starts_with("hold (frozen)") && text.contains("31 status_5xx"), "{text}");
    assert_eq!(gate(&["--class", "hotfix"]).0, 3);
    let (code, text) = gate(&["--audience", "nobody"]);
    assert!(code == 4 && text.contains("There is no audience `nobody`"), "{code} {text}");
    let (code, text) = gate(&["override", "go", "--for", "1h"]);
    assert!(code == 1 && text.contains("A reason is required"), "{code} {text}");
    let reason = ["--reason", "the mend of it"];
    let (code, text) = gate(&[&["override", "go", "--for", "1h"], &reason[..]].concat());
    assert!(code == 0 && text.contains("the mend of it"), "{code} {text}");
    assert_eq!(gate(&[]).0, 0);
    assert!(binary.log().contains("gate override"), "{}", binary.log());
    assert_eq!(gate(&["end"]).0, 0);
    assert_eq!(gate(&[]).0, 3);
    drop(binary);
    assert_eq!(gate(&[]).0, 4, "no answer is no reason to ship");
}
