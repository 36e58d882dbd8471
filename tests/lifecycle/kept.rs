//! What operators have ordered, in a `state_dir` that passes from one process to the next.
//!
//! Transport: HTTP/1.1 in plain text, and no more of it than one request.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, FileType, Mode, mknodat},
    process::Signal,
};
use serde_json::{Value, json};
use tokio::task::spawn_blocking;

use crate::{
    kit::stopped,
    support::{
        binary::{Binary, PORTS, said},
        client::{Answer, Client},
        origin::{Line, Origin, PATIENCE, ok},
    },
    upgrade::config,
};

/// A configuration of one pool, whose usher keeps what it knows in `state`.
fn kept_in(state: &Path, endpoint: &str) -> String {
    // The old process may live as long as a test keeps it.
    let text = config(endpoint).replace("requests: 10s", "requests: 60s");
    text + &format!("state_dir: {}\n", state.display())
}

/// Has `usher` do what it is told.
fn tell(usher: &Binary, arguments: &[&str]) -> String {
    let told = said(&[arguments, &["--control", &usher.control.to_string()]].concat());
    assert_eq!(told.status.code(), Some(0), "{told:?}");
    String::from_utf8(told.stdout).expect("text")
}

fn status(usher: &Binary) -> Value {
    serde_json::from_str(&tell(usher, &["status", "--format", "json"])).expect("JSON")
}

/// What is in force: which verb, of what, by whom, why, and for how many seconds still.
fn in_force(usher: &Binary) -> Vec<([String; 4], Option<u64>)> {
    let view = status(usher);
    let verbs = view["verbs"].as_array().expect("verbs").iter();
    let told = |verb: &Value| {
        let texts = ["verb", "target", "by", "reason"].map(|key| verb[key].to_string());
        (texts, verb["seconds_left"].as_u64())
    };
    verbs.map(told).collect()
}

/// Asserts that the same is in force as before, and goes on for as long as it had to.
fn assert_goes_on(usher: &Binary, before: &[([String; 4], Option<u64>)]) {
    let now = in_force(usher);
    assert_eq!(now.len(), before.len(), "{now:?}");
    for ((verb, left), (was, had)) in now.iter().zip(before) {
        assert_eq!(verb, was);
        // Times are kept in whole seconds, rounded up; and the test takes some itself.
        let (left, had) = (left.expect("its time is known"), had.expect("its time is known"));
        assert!(left <= had + 2 && left + 300 > had, "{verb:?}: {left} of {had}");
    }
}

/// Which file the verbs lie in: whoever writes them makes a new one.
fn inode(state: &Path) -> u64 {
    fs::metadata(state.join("verbs.json")).expect("it is there").ino()
}

fn file(state: &Path) -> String {
    fs::read_to_string(state.join("verbs.json")).expect("it is there")
}

/// A request that `usher` works on until the test answers it.
async fn under_way(usher: &Binary, origin: &Origin) -> (Client, Line) {
    let mut client = Client::connect(usher.clients).await;
    client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let mut line = origin.accept().await;
    line.read().await;
    (client, line)
}

async fn answered((mut client, mut line): (Client, Line)) {
    line.write(ok("late")).await;
    assert_eq!(client.answer().await.text(), "late");
}

#[tokio::test]
async fn what_is_ordered_outlives_an_upgrade_and_then_a_restart() {
    let (origin, state) = (Origin::start().await, tempfile::tempdir().expect("a directory"));
    let (endpoint, state) = (origin.endpoint(), state.path());
    let text = kept_in(state, &endpoint);
    let mut usher = Binary::start(&text).await;
    // As long as it is not answered, the old process lives.
    let request = under_way(&usher, &origin).await;
    tell(&usher, &["pause", "everyone", "--for", "1h", "--reason", "the database moves"]);
    tell(&usher, &["maintenance", "pool:rails", "--for", "2h"]);
    tell(&usher, &["drain", &endpoint, "--last", "--for", "3h", "--reason", "it is ill"]);
    let before = in_force(&usher);
    assert_eq!(before.len(), 3, "{before:?}");
    let heir = usher.upgrade().expect("the same binary serves");
    assert_goes_on(&usher, &before);
    // From here on the directory is the new one's, whatever the old one still knows and does.
    tell(&usher, &["resume", "everyone"]);
    tell(&usher, &["maintenance", "everyone", "--for", "30m", "--reason", "later"]);
    let (after, written, which) = (in_force(&usher), file(state), inode(state));
    assert!(written.contains("later") && !written.contains("the database moves"), "{written}");
    answered(request).await;
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert_eq!((file(state), inode(state)), (written, which), "the old one has left it alone");
    stopped(heir).await;
    let again = Binary::start(&text).await;
    assert_goes_on(&again, &after);
    let log = usher.log() + &again.log();
    assert!(!log.contains("ERROR"), "{log}");
}

/// What is kept elsewhere, or was not kept at all, is kept where the new configuration says; what
/// lay there is of another time.
#[tokio::test]
async fn the_new_process_keeps_what_it_was_handed_where_its_own_configuration_says() {
    let (origin, state) = (Origin::start().await, tempfile::tempdir().expect("a directory"));
    let (endpoint, state) = (origin.endpoint(), state.path());
    let stale = json!({ "version": 1, "verbs": [
        { "verb": "maintenance", "kind": "audience", "target": "everyone", "since": 1 } ] });
    fs::write(state.join("verbs.json"), stale.to_string()).expect("it can be written");
    let mut usher = Binary::start(&config(&endpoint)).await;
    tell(&usher, &["pause", "pool:rails", "--for", "1h", "--reason", "the database moves"]);
    let before = in_force(&usher);
    let text = kept_in(state, &endpoint);
    fs::write(usher.config(), format!("{PORTS}{text}")).expect("it can be written");
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert_goes_on(&usher, &before);
    let kept = async {
        while !file(state).contains("the database moves") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, kept).await.expect("it is written down");
    stopped(heir).await;
    assert_goes_on(&Binary::start(&text).await, &before);
}

/// Is told what the old process knows, says once the test lets it what stands in a pipe, and stays.
const HEIR: &str = r#"#!/bin/sh
exec 3<&0
read -r hello <&3
echo '{"say":"built","usher":"9.9.9","pid":'$$'}' >&3
read -r state <&3
read -r last < "$(dirname "$0")/pipe"
echo "$last" >&3
exec cat <&3 >/dev/null
"#;

/// An upgrade whose new process has been told all, and has not said yet what becomes of it.
struct Window {
    upgrade: tokio::task::JoinHandle<std::process::Output>,
    pipe: File,
}

// === impl Window ===

impl Window {
    async fn open(usher: &Binary) -> Self {
        let (pipe, heir) = (usher.directory().join("pipe"), usher.directory().join("heir"));
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        fs::write(&heir, HEIR).expect("it can be written");
        fs::set_permissions(&heir, fs::Permissions::from_mode(0o755)).expect("it is ours");
        usher.replace(&heir);
        let control = usher.control.to_string();
        let upgrade = move || said(&["upgrade", "--format", "json", "--control", &control]);
        let upgrade = spawn_blocking(upgrade);
        // It is open once somebody reads it, who has been told all then.
        let opened = spawn_blocking(move || File::options().write(true).open::<PathBuf>(pipe));
        let opened = tokio::time::timeout(PATIENCE, opened).await.expect("it is read in time");
        Self { upgrade, pipe: opened.expect("no panic").expect("a pipe") }
    }

    /// Has the new process say `last`, and returns what the upgrade has come to.
    async fn close(mut self, last: &Value) -> Value {
        writeln!(self.pipe, "{last}").expect("it is read");
        drop(self.pipe);
        let upgraded = self.upgrade.await.expect("no panic");
        serde_json::from_slice(&upgraded.stdout).expect("JSON")
    }
}

/// Orders something at the control port, and leaves the answer to come.
async fn order(usher: &Binary, path: &str, body: &Value) -> Client {
    let mut client = Client::plain(usher.control).await;
    let body = body.to_string();
    let head = format!(
        "POST /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    client.send(head + &body).await;
    // The house works on one thing after the other: it has read the order when these are answered.
    for _ in 0..10 {
        let mut other = Client::plain(usher.control).await;
        other.send("GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert_eq!(other.answer().await.status, 200);
    }
    client
}

fn detail(answer: &Answer) -> String {
    let problem: Value = serde_json::from_slice(&answer.body).expect("JSON");
    problem["detail"].as_str().expect("a detail").to_owned()
}

/// What is ordered when the successor has been told what is in force, and does not serve yet, would
/// be forgotten if it were carried out.
#[tokio::test]
async fn an_order_in_the_middle_of_an_upgrade_is_not_answered_as_done_and_lost() {
    let (origin, state) = (Origin::start().await, tempfile::tempdir().expect("a directory"));
    let state = state.path();
    let mut usher = Binary::start(&kept_in(state, &origin.endpoint())).await;
    tell(&usher, &["pause", "pool:rails", "--for", "1h"]);
    let before = file(state);
    let window = Window::open(&usher).await;
    let mut waiting = order(&usher, "pause", &json!({ "target": "everyone" })).await;
    let note = json!({ "from": "2026-01-01T00:00:00Z", "until": "2026-01-01T01:00:00Z",
                       "reason": "a database moved" });
    let refused = order(&usher, "gate/annotate", &note).await.answer().await;
    assert_eq!((refused.status, detail(&refused).contains("taking over")), (400, true));
    let view = window.close(&json!({ "say": "ready" })).await;
    assert_eq!(view["result"], "upgraded", "{view}");
    let answer = waiting.answer().await;
    assert_eq!((answer.status, detail(&answer).contains("say it once more")), (409, true));
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert_eq!(file(state), before);
}

#[tokio::test]
async fn an_order_in_the_middle_of_an_upgrade_that_fails_is_carried_out_and_kept() {
    let (origin, state) = (Origin::start().await, tempfile::tempdir().expect("a directory"));
    let (endpoint, state) = (origin.endpoint(), state.path());
    let mut usher = Binary::start(&kept_in(state, &endpoint)).await;
    tell(&usher, &["pause", "pool:rails", "--for", "1h"]);
    let window = Window::open(&usher).await;
    let body = json!({ "target": "everyone", "for": "1h" });
    let mut waiting = order(&usher, "pause", &body).await;
    let view = window.close(&json!({ "say": "failed", "why": "it is too late" })).await;
    assert_eq!(view["result"], "refused", "{view}");
    let answer = waiting.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    // The directory is this process's again.
    tell(&usher, &["drain", &endpoint, "--last", "--for", "2h"]);
    let before = in_force(&usher);
    assert_eq!(before.len(), 3);
    usher.signal(Signal::KILL);
    usher.ended();
    assert_goes_on(&Binary::start(&kept_in(state, &endpoint)).await, &before);
}
