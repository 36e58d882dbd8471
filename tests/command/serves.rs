//! A running binary, its signals and its standard output.

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    binary::{Binary, said},
    client::Client,
    origin::{Origin, ok},
};

/// usher in front of an origin that always answers.
async fn started() -> Binary {
    let origin = Origin::start().await;
    let text = format!(
        "workers: 2\ndrain: {{ grace: 0s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        origin.endpoint()
    );
    origin.serve(|_| ok("here"));
    Binary::start(&text).await
}

#[tokio::test]
async fn hup_reloads_and_where_nothing_has_changed_says_so() {
    let mut usher = started().await;
    let mut client = Client::connect(usher.clients).await;
    assert_eq!(client.get("/").await.text(), "here");
    usher.signal(Signal::HUP);
    usher.says("reloaded: nothing changes").await;
    assert_eq!(client.get("/").await.text(), "here");
    usher.signal(Signal::TERM);
    assert_eq!(usher.ended().code(), Some(0));
    assert!(usher.log().ends_with("stopped\n"), "{}", usher.log());
}

#[tokio::test]
async fn standard_output_is_the_access_logs_and_standard_error_says_where_it_listens() {
    let mut usher = started().await;
    let mut client = Client::connect(usher.clients).await;
    for _ in 0..3 {
        client.get("/orders?token=secret").await;
    }
    usher.signal(Signal::INT);
    assert_eq!(usher.ended().code(), Some(0));
    let log = usher.access_log();
    let lines: Vec<Value> =
        log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line["path"] == "/orders" && line["status"] == 200));
    assert!(!log.contains("secret"));
    for said in [
        format!("serving on http://{}\n", usher.clients),
        format!("operators' port on http://{0} (try: usher status --control {0})\n", usher.control),
        format!("metrics on http://{}/metrics\n", usher.metrics),
    ] {
        assert!(usher.log().contains(&said), "{}", usher.log());
    }
}

#[tokio::test]
async fn status_finds_the_control_port_in_the_configuration_or_is_told() {
    let usher = started().await;
    let control = usher.control.to_string();
    let told = said(&["status", "--control", &control]);
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    let screen = String::from_utf8(told.stdout).expect("text");
    assert!(screen.contains("1 of 1 up") && screen.contains("everyone"), "{screen}");
    let json = said(&["status", "--control", &control, "--format", "json"]);
    let status: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(status["config"]["path"], usher.config().display().to_string());
    // Its own configuration says port 0: nobody can be asked there.
    let config = usher.config().display().to_string();
    assert_eq!(said(&["status", "--config", &config]).status.code(), Some(1));
    // The port for clients answers too, but not as usher does to operators.
    let clients = usher.clients.to_string();
    let wrong = move || said(&["status", "--control", &clients]);
    let wrong = tokio::task::spawn_blocking(wrong).await.expect("it runs");
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
}
