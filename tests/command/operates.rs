//! The commands that operators type, against the real binary.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{
    binary::{Binary, usher},
    client::Client,
    origin::{Origin, PATIENCE, ok},
};

const VIEWER: &str = "a-viewers-token-0123456789";
const OPERATOR: &str = "an-operators-token-0123456789";
const PIPELINE: &str = "a-pipelines-token-0123456789";

/// What `usher` with `arguments` and `token` in its environment says about the port at `control`.
fn say(control: &str, token: &str, arguments: &[&str]) -> Output {
    let mut command = usher(arguments);
    command.args(["--control", control]).env("USHER_TOKEN", token).env("USER", "alice");
    command.env_remove("SUDO_USER").output().expect("the binary runs")
}

fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&*output.stdout, &*output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

fn audit(directory: &Path) -> Vec<Value> {
    let text = fs::read_to_string(directory.join("audit.json")).expect("an audit");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn a_command_shows_its_token_and_a_rotated_one_counts_without_a_restart() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("here"));
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str| directory.path().join(name).display().to_string();
    fs::write(file("viewer"), VIEWER).expect("written");
    fs::write(file("operator"), OPERATOR).expect("written");
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\nmetrics: {{ bind: 127.0.0.1:0 }}\n\
         control:\n  bind: 127.0.0.1:0\n  audit: {{ path: {} }}\n  tokens:\n\
         \x20 - {{ name: dashboard, role: viewer, file: {} }}\n\
         \x20 - {{ name: oncall, role: operator, file: {} }}\n\
         \x20 - {{ name: pipeline, role: operator, env: PIPELINE_TOKEN }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n",
        file("audit.json"),
        file("viewer"),
        file("operator"),
    );
    let started = Binary::start_by(&text, |program| {
        let mut command = Command::new(program);
        command.stdin(Stdio::null()).env("PIPELINE_TOKEN", PIPELINE);
        command
    });
    let usher = started.await.expect("it starts");
    let control = usher.control.to_string();
    for (token, arguments, code, expected) in [
        ("", &["status"][..], 1, "401 Unauthorized: This port asks for a token"),
        ("an-unknown-token-0123", &["status"], 1, "401 Unauthorized: This port knows no such"),
        (VIEWER, &["status"], 0, "1 of 1 up"),
        (VIEWER, &["reload"], 1, "403 Forbidden: This token is a viewer's"),
        (PIPELINE, &["reload"], 0, "nothing changes"),
        (OPERATOR, &["reload", "--reason", "a look"], 0, "nothing changes"),
        ("", &["status", "--token-file", &file("viewer")], 0, "1 of 1 up"),
        ("", &["status", "--token-file", &file("nowhere")], 2, "nowhere cannot be read"),
        ("a\nb", &["status"], 2, "USHER_TOKEN holds no token"),
    ] {
        let (code_was, text) = told(&say(&control, token, arguments));
        assert!(code_was == Some(code) && text.contains(expected), "{arguments:?}: {text}");
    }
    let lines = audit(directory.path());
    let last = lines.last().expect("there are some");
    let said = |key: &str| last[key].as_str().unwrap_or_default();
    assert_eq!((said("who"), said("operator"), said("why")), ("oncall", "alice", "a look"));
    assert_eq!((said("action"), said("result")), ("reload", "unchanged"));
    assert_eq!(lines.iter().filter(|line| line["result"] == "refused").count(), 3);

    let rotated = "another-token-0123456789";
    fs::write(file("operator"), rotated).expect("written");
    let counts = async {
        while told(&say(&control, rotated, &["reload"])).0 != Some(0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, counts).await.expect("the new token counts");
    assert_eq!(told(&say(&control, OPERATOR, &["reload"])).0, Some(1), "the old one does not");
}

#[tokio::test]
async fn why_tells_what_became_of_a_request_and_exits_with_1_for_one_that_is_not_known() {
    let usher = Binary::start(
        "workers: 2\naudiences: [{ name: everyone, pool: rails }]\n\
         pools: { rails: { endpoints: [127.0.0.1:1], capacity: 5 } }\n",
    )
    .await;
    let control = usher.control.to_string();
    let answer = Client::connect(usher.clients).await.get("/orders").await;
    let id = answer.field("x-request-id").expect("every made-up answer has one");
    let known = async {
        loop {
            let (code, text) = told(&say(&control, "", &["why", id]));
            if code == Some(0) {
                return text;
            }
            tokio::task::yield_now().await;
        }
    };
    let text = tokio::time::timeout(PATIENCE, known).await.expect("it ends");
    for expected in [
        "GET /orders from 127.0.0.1, ended ",
        "audience: everyone, because it takes what no rule takes (generation 1)\npool: rails\n",
        "attempt 1: 127.0.0.1:1: no connection after ",
        "failed with 503\n",
        "fault: no_endpoint (blame: usher): No connection to the service behind could be made.",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let json = say(&control, "", &["why", id, "--format", "json"]);
    let view: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(view["requests"][0]["request_id"], id);
    let (code, text) = told(&say(&control, "", &["why", "../status"]));
    assert_eq!(code, Some(1));
    assert!(text.starts_with("No request with this id is remembered. Those that"), "{text}");
}

#[tokio::test]
async fn what_operators_type_is_done_shown_written_down_and_ended() {
    let (first, second) = (Origin::start().await, Origin::start().await);
    let endpoints = [first.endpoint(), second.endpoint()];
    let usher = Binary::start(&format!(
        "workers: 2\naudiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        endpoints.join(", ")
    ))
    .await;
    let control = usher.control.to_string();
    let [one, other] = [&*endpoints[0], &*endpoints[1]];
    let check = |arguments: &[&str], code: i32, expected: &str| {
        let (code_was, text) = told(&say(&control, "", arguments));
        assert!(code_was == Some(code) && text.contains(expected), "{arguments:?}: {text}");
    };
    check(
        &["pause", "everyone", "--for", "10m", "--wait", "0s", "--reason", "a look"],
        0,
        "more, by alice (loopback); 0 of at most 1000 requests wait: a look\n",
    );
    check(&["status"], 0, "audience everyone is paused for ");
    let answer = Client::connect(usher.clients).await.get("/").await;
    assert_eq!(answer.field("x-usher-fault"), Some("paused"));
    check(&["resume", "everyone"], 0, "everyone: as usual again\n  before: audience everyone is");
    check(&["resume", "everyone"], 0, "everyone: nothing was in force for it\n");
    check(&["maintenance", "rails", "--allow", "10.0.0.0/8,192.0.2.7"], 0, "192.0.2.7/32 pass");
    let answer = Client::connect(usher.clients).await.get("/").await;
    assert_eq!(answer.field("x-usher-fault"), Some("maintenance"));
    check(&["resume", "pool:rails"], 0, "as usual again");
    check(&["drain", one], 0, "is drained until it is ended, by alice (loopback)");
    check(&["drain", other], 1, "would be answered 503 no_endpoint. `--last` drains it all");
    check(&["undrain", one], 0, "as usual again");
    check(
        &["pause", "evryone"],
        1,
        "There is no audience or pool `evryone`, did you mean `everyone`",
    );
    check(&["pause", "everyone", "--for", "10"], 2, "`for`: `10` is not a duration");
    check(&["drain", one, "--for"], 2, "a value is required");
    // Each change has its line in the log.
    for line in ["action=\"pause\"", "action=\"resume\"", "action=\"drain\""] {
        assert!(usher.log().contains(line), "{line}: {}", usher.log());
    }
}

/// Puts `text` in the place of the configuration, all at once.
fn put(usher: &Binary, text: &str) {
    let beside = usher.directory().join("beside.yaml");
    fs::write(&beside, text).expect("it can be written");
    fs::rename(beside, usher.config()).expect("it can be put there");
}

/// The first line of the audit, of those after the first `known`, about a reload by `who` with this
/// `result`, or with any but a refusal.
async fn reload_by(usher: &Binary, known: usize, who: &str, result: Option<&str>) -> Value {
    let fits = |line: &Value| match result {
        Some(result) => line["who"] == who && line["result"] == result,
        None => line["who"] == who && line["result"] != "refused",
    };
    let told = async {
        loop {
            let lines = audit(usher.directory()).split_off(known);
            let mut reloads = lines.into_iter().filter(|line| line["action"] == "reload");
            if let Some(line) = reloads.find(fits) {
                return line;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, told).await.unwrap_or_else(|_| panic!("{}", usher.log()))
}

/// A reload is asked for by `ask` until it is the one that puts a change to use: usher looks at the
/// file by itself as well, and may be first. Returns the audit's line about it.
async fn done_by(usher: &Binary, who: &str, ask: impl Fn(&Binary)) -> Value {
    let text = fs::read_to_string(usher.config()).expect("it is there");
    for capacity in 6..30 {
        let known = audit(usher.directory()).len();
        put(usher, &text.replace("capacity: 5", &format!("capacity: {capacity}")));
        ask(usher);
        let line = reload_by(usher, known, who, None).await;
        if line["result"] == "done" {
            return line;
        }
    }
    panic!("{who} has never been first:\n{}", usher.log());
}

#[tokio::test]
async fn every_reload_is_written_down_whoever_asked_for_it() {
    let text = "listeners: [{ bind: 127.0.0.1:0 }]\nmetrics: { bind: 127.0.0.1:0 }\n\
         control: { bind: 127.0.0.1:0, audit: { path: audit.json } }\n\
         audiences: [{ name: everyone, pool: rails }]\n\
         pools: { rails: { endpoints: [127.0.0.1:1], capacity: 5 } }\n";
    let usher = Binary::start_whole(text).await;
    let control = usher.control.to_string();
    let by_port = |_: &Binary| {
        assert_eq!(told(&say(&control, "", &["reload", "--reason", "more slots"])).0, Some(0));
    };
    let signal = done_by(&usher, "signal", |usher| usher.signal(Signal::HUP)).await;
    let known = audit(usher.directory()).len();
    put(&usher, text);
    let file = reload_by(&usher, known, "file", Some("done")).await;
    let port = done_by(&usher, "loopback", by_port).await;
    for (line, who, why) in [
        (&signal, "signal", Value::Null),
        (&file, "file", Value::Null),
        (&port, "loopback", "more slots".into()),
    ] {
        let generation = |when: &str| line[when]["generation"].as_u64().expect("a number");
        assert_eq!(generation("after"), generation("before") + 1, "{line}");
        assert_ne!(line["before"]["hash"], line["after"]["hash"], "{line}");
        assert_eq!((&line["why"], &line["result"]), (&why, &"done".into()), "{line}");
        assert!(line["detail"].as_str().is_some_and(|it| it.contains("pool rails")), "{line}");
        // The log for people has the same, for whoever has no file.
        let told = format!("after={:?} result=\"done\"", line["after"].to_string());
        usher.says(&told).await;
        let log = usher.log();
        let said = log.lines().find(|said| said.contains(&told)).expect("it was said");
        assert!(said.contains(&format!("audit who=\"{who}\" ")), "{said}");
        assert!(said.contains("action=\"reload\"") && said.contains("before="), "{said}");
    }
    put(&usher, &text.replace("capacity", "capcity"));
    usher.signal(Signal::HUP);
    let refused = reload_by(&usher, 0, "signal", Some("refused")).await;
    assert_eq!(refused["before"], refused["after"]);
    assert!(refused["detail"].as_str().is_some_and(|it| it.contains("capcity")), "{refused}");
}

#[tokio::test]
async fn every_order_is_written_down_with_what_held_before_and_what_holds_now() {
    let text = "listeners: [{ bind: 127.0.0.1:0 }]\nmetrics: { bind: 127.0.0.1:0 }\n\
         control: { bind: 127.0.0.1:0, audit: { path: audit.json } }\n\
         audiences: [{ name: everyone, pool: rails }]\n\
         pools: { rails: { endpoints: [127.0.0.1:1, 127.0.0.1:2], capacity: 5 } }\n";
    let usher = Binary::start_whole(text).await;
    let control = usher.control.to_string();
    let orders = [
        ("pause", "everyone"),
        ("resume", "everyone"),
        ("maintenance", "pool:rails"),
        ("resume", "pool:rails"),
        ("drain", "127.0.0.1:1"),
        ("undrain", "127.0.0.1:1"),
    ];
    for (verb, target) in orders {
        let why = format!("because of {verb}");
        let begins = ["pause", "maintenance", "drain"].contains(&verb);
        let reason: &[&str] = if begins { &["--reason", &why] } else { &[] };
        let (code, text) = told(&say(&control, "", &[&[verb, target], reason].concat()));
        assert_eq!(code, Some(0), "{text}");
    }
    let (code, _) = told(&say(&control, "", &["pause", "nobody"]));
    assert_eq!(code, Some(1));
    let lines = audit(usher.directory());
    assert_eq!(lines.len(), orders.len() + 1, "one for each");
    for (line, (verb, target)) in lines.iter().zip(orders) {
        let fields = ["who", "operator", "action", "target", "result"].map(|key| &line[key]);
        assert_eq!(fields, ["loopback", "alice", verb, target, "done"], "{line}");
        assert!(line["from"].as_str().is_some_and(|from| from.starts_with("127.0.0.1:")), "{line}");
        let (before, after) = (line["before"].to_string(), line["after"].to_string());
        let (holds, ended) = match verb {
            "resume" | "undrain" => (before, after),
            _ => (after, before),
        };
        assert!(holds.contains("alice") && !ended.contains("alice"), "{line}");
    }
    assert_eq!(lines[0]["why"], "because of pause");
    let refused = &lines[orders.len()];
    assert_eq!((&refused["action"], &refused["result"]), (&"pause".into(), &"refused".into()));
}
