//! What is written down of upgrades: who, why, what served before and what serves now.
//!
//! Transport: HTTP/1.1 in plain text, and no more of it than one request.

use std::{fs, os::unix::fs::PermissionsExt};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::{
    kit::{Shop, stopped},
    support::{
        binary::{Binary, usher},
        client::Client,
        origin::PATIENCE,
    },
};

/// The lines of the audit.
fn audit(usher: &Binary) -> Vec<Value> {
    let text = fs::read_to_string(usher.directory().join("audit.json")).expect("an audit");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The line of this number, once it is there.
async fn line(usher: &Binary, number: usize) -> Value {
    let written = async {
        loop {
            if let Some(line) = audit(usher).into_iter().nth(number) {
                return line;
            }
            tokio::task::yield_now().await;
        }
    };
    let written = tokio::time::timeout(PATIENCE, written).await;
    written.unwrap_or_else(|_late| panic!("no line {number}:\n{}", usher.log()))
}

/// What `usher upgrade` exits with when alice asks for it.
fn upgrade(usher_process: &Binary, why: &str) -> Option<i32> {
    let control = usher_process.control.to_string();
    let mut command = usher(&["upgrade", "--control", &control, "--reason", why]);
    command.env("USER", "alice").env_remove("SUDO_USER");
    command.output().expect("the binary runs").status.code()
}

#[tokio::test]
async fn every_upgrade_is_written_down_and_so_is_every_one_that_failed() {
    let shop = Shop::open("shop").await;
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
         control: {{ bind: 127.0.0.1:0, audit: {{ path: audit.json }} }}\n\
         metrics: {{ bind: 127.0.0.1:0 }}\naccess_log: off\nworkers: 1\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{}], capacity: 5 }} }}\n",
        shop.address
    );
    let usher = Binary::start_whole(&text).await;
    let first = i64::from(usher.pid().as_raw_nonzero().get());
    let version = env!("CARGO_PKG_VERSION");

    let ends = usher.directory().join("ends");
    fs::write(&ends, "#!/bin/sh\nexit 7\n").expect("it can be written");
    fs::set_permissions(&ends, fs::Permissions::from_mode(0o755)).expect("it is ours");
    usher.replace(&ends);
    assert_eq!(upgrade(&usher, "a try"), Some(1));
    let refused = line(&usher, 0).await;
    let serves = json!({ "version": version, "pid": first });
    assert_eq!((&refused["before"], &refused["after"]), (&serves, &Value::Null), "{refused}");
    assert_eq!((&refused["action"], &refused["result"]), (&json!("upgrade"), &json!("refused")));
    assert_eq!((&refused["operator"], &refused["why"]), (&json!("alice"), &json!("a try")));
    let detail = refused["detail"].as_str().expect("why not");
    assert!(detail.contains("ended before it was ready (exit status: 7)"), "{detail}");

    // By a signal, and then by the port of the process that has taken over: the file goes on.
    usher.replace(env!("CARGO_BIN_EXE_usher").as_ref());
    usher.signal(Signal::USR2);
    let by_signal = line(&usher, 1).await;
    let heir = by_signal["after"]["pid"].as_i64().expect("a process");
    usher.will_end(pid(heir));
    assert_eq!(Client::connect(usher.clients).await.get("/").await.status, 200);
    assert_eq!(upgrade(&usher, "a newer one"), Some(0));
    let by_port = line(&usher, 2).await;
    let last = by_port["after"]["pid"].as_i64().expect("a process");
    usher.will_end(pid(last));

    for (line, who, operator, why, before) in [
        (&by_signal, "signal", Value::Null, Value::Null, first),
        (&by_port, "loopback", json!("alice"), json!("a newer one"), heir),
    ] {
        let serves = json!({ "version": version, "pid": before });
        assert_eq!((&line["who"], &line["before"]), (&json!(who), &serves), "{line}");
        assert_eq!((&line["operator"], &line["why"]), (&operator, &why), "{line}");
        assert_eq!((&line["action"], &line["result"]), (&json!("upgrade"), &json!("done")));
        assert_eq!((&line["after"]["version"], &line["detail"]), (&json!(version), &Value::Null));
        assert!(line["after"]["pid"] != line["before"]["pid"], "{line}");
        let from = line["from"].as_str().unwrap_or_default();
        assert_eq!(from.starts_with("127.0.0.1:"), who == "loopback", "{line}");
        in_the_log_too(&usher, line, who).await;
    }
    assert_eq!(audit(&usher).len(), 3, "one for each");
    stopped(pid(last)).await;
}

/// The log for people has the line of the audit as well, for whoever has no file.
async fn in_the_log_too(usher: &Binary, line: &Value, who: &str) {
    let told = format!("after={:?} result=\"done\"", line["after"].to_string());
    usher.says(&told).await;
    let log = usher.log();
    let said = log.lines().find(|said| said.contains(&told)).expect("it was said");
    assert!(said.contains(&format!("audit who=\"{who}\" ")), "{said}");
    assert!(said.contains("action=\"upgrade\""), "{said}");
}

fn pid(number: i64) -> rustix::process::Pid {
    let number = i32::try_from(number).expect("a process id");
    rustix::process::Pid::from_raw(number).expect("a process id")
}
