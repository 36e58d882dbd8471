//! What was promised, counted by the real binary: the same numbers in the metrics, the API and
//! `usher slo`, and after a reload, a kill and a restart.

use std::{fs, path::Path};

use serde_json::Value;

use crate::support::{
    binary::{Binary, said},
    client::Client,
    origin::{Origin, PATIENCE, ok},
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

/// Has `good` requests answered well and `bad` ones with a 503.
async fn traffic(binary: &Binary, origin: &Origin, good: usize, bad: usize) {
    let mut client = Client::connect(binary.clients).await;
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let mut line = origin.accept().await;
    for index in 0..good + bad {
        line.read().await;
        if index < good {
            line.write(ok("")).await;
        } else {
            line.write("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n").await;
        }
        client.answer().await;
        if index + 1 < good + bad {
            client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        }
    }
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
