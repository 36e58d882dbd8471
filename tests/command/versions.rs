//! Which versions come, as the real binary tells it, and whom a least one would lock out.

use std::{fs, process::Output};

use serde_json::Value;

use crate::support::{
    binary::{Binary, said},
    client::Client,
    origin::{Origin, PATIENCE, ok},
};

fn configuration(endpoint: &str, versions: &str) -> String {
    format!(
        "versions: {{ from: [{{ header: X-App-Version }}] }}\n\
         trusted_proxies: [127.0.0.0/8]\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences:\n\
         - {{ name: legacy, match: [{{ version: \"<3\" }}], pool: rails }}\n\
         - {{ name: customer, pool: rails{versions} }}\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n"
    )
}

/// What `usher versions` with `arguments` says: its exit code, and all of its text.
fn told(binary: &Binary, arguments: &[&str]) -> (Option<i32>, String) {
    let control = binary.control.to_string();
    let words = ["versions", "--control", &control].into_iter().chain(arguments.iter().copied());
    let Output { status, stdout, stderr } = said(&words.collect::<Vec<_>>());
    (status.code(), String::from_utf8([stdout, stderr].concat()).expect("text"))
}

async fn asks(binary: &Binary, client: u8, version: &str) -> u16 {
    let mut connection = Client::connect(binary.clients).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.{client}\r\n\
         X-App-Version: {version}\r\n\r\n"
    );
    connection.send(&request).await;
    connection.answer().await.status
}

#[tokio::test]
async fn versions_are_told_with_whom_a_least_one_would_lock_out_also_after_a_reload() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("fine"));
    let binary = Binary::start(&configuration(&endpoint, "")).await;
    let (code, text) = told(&binary, &["--if-min", "5.2", "--at-most", "50%"]);
    assert_eq!(code, Some(4), "nothing came: {text}");
    for client in 0..40 {
        assert_eq!(asks(&binary, client, if client < 10 { "5.1" } else { "5.2.0" }).await, 200);
    }
    assert_eq!(asks(&binary, 0, "").await, 200);
    assert_eq!(asks(&binary, 0, "2.9").await, 200);
    let (code, text) = told(&binary, &["--audience", "customer", "--if-min", "5.2"]);
    assert_eq!(code, Some(0), "{text}");
    let locked_out = "and 10 of 41 requests (24.4%)";
    assert!(text.contains("min 5.2 would lock out") && text.contains(locked_out), "{text}");

    let from = fs::read_to_string(binary.config()).expect("a configuration");
    let versions = ", versions: { min: 5.2, unknown: refuse }";
    let to = from.replace("customer, pool: rails", &format!("customer, pool: rails{versions}"));
    fs::write(binary.config(), to).expect("written");
    let control = binary.control.to_string();
    let reloaded = said(&["reload", "--control", &control]);
    let reloaded = String::from_utf8_lossy(&reloaded.stdout).into_owned();
    assert!(reloaded.contains("audience customer: app versions changed"), "{reloaded}");
    assert_eq!(asks(&binary, 0, "5.1").await, 426);
    let arguments = ["--audience", "customer", "--if-min", "5.2", "--format", "json"];
    let (code, text) = told(&binary, &arguments);
    let view: Value = serde_json::from_str(&text).expect("JSON");
    let customer = &view["audiences"][0];
    assert_eq!(
        (code, &customer["min"], &customer["requests"]),
        (Some(0), &"5.2".into(), &42.into())
    );
    assert_eq!(customer["if_min"]["requests"], 12, "{text}");
    let clients = |value: &Value| value["clients"].as_u64().expect("a number");
    assert!((37..=43).contains(&clients(customer)), "{text}");
    assert!((9..=11).contains(&clients(&customer["if_min"])), "{text}");
    assert_eq!(customer["versions"][0]["version"], "5.2");
    assert_eq!(customer["versions"][2]["band"], "none");
    let logged = async {
        let log = || binary.access_log();
        let has = |version: &str| log().contains(&format!("\"app_version\":\"{version}\""));
        while !["5.1", "5.2", "2.9", "none"].into_iter().all(has) {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(PATIENCE, logged).await;
    assert!(in_time.is_ok(), "{}", binary.access_log());
}

#[tokio::test]
async fn a_share_that_is_too_large_and_a_question_that_is_wrong_have_exit_codes() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("fine"));
    let binary = Binary::start(&configuration(&endpoint, "")).await;
    for client in 0..8 {
        assert_eq!(asks(&binary, client, if client < 2 { "5.1" } else { "5.2" }).await, 200);
    }
    for (most, code) in [("15%", 3), ("35%", 0)] {
        let arguments = ["--audience", "customer", "--if-min", "5.2", "--at-most", most];
        assert_eq!(told(&binary, &arguments).0, Some(code), "{most}");
    }
    for (arguments, code, complaint) in [
        (&["--audience", "nobody"][..], 1, "there is no audience `nobody`"),
        (&["--if-min", "newest"], 2, "write numbers with dots"),
        (&["--at-most", "1%"], 2, "--if-min"),
    ] {
        let (code_was, text) = told(&binary, arguments);
        assert!(code_was == Some(code) && text.contains(complaint), "{arguments:?}: {text}");
    }
    let control = binary.control.to_string();
    let address = ["--control", &control, "--if-min", "5.2", "--at-most", "99%"];
    let all = said(&["versions"].into_iter().chain(address).collect::<Vec<_>>());
    assert_eq!(all.status.code(), Some(4), "nobody asked for `legacy`");
}

/// Requests of all of `customer`'s versions, by what came: `5.1 3, none 1`.
fn came(binary: &Binary) -> String {
    let (code, text) = told(binary, &["--audience", "customer", "--format", "json"]);
    let view: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{code:?} {text}"));
    let versions = view["audiences"][0]["versions"].as_array().expect("a list").iter();
    let each = versions.map(|it| {
        let (version, requests) = (it["version"].as_str(), it["requests"].as_u64());
        format!("{} {}", version.expect("text"), requests.expect("a number"))
    });
    each.collect::<Vec<_>>().join(", ")
}

/// Waits until that is what came.
async fn shows(binary: &Binary, expected: &str) {
    let shown = async {
        while came(binary) != expected {
            tokio::task::yield_now().await;
        }
    };
    let shown = tokio::time::timeout(PATIENCE, shown).await;
    assert!(shown.is_ok(), "{} instead of {expected}: {}", came(binary), binary.log());
}

#[tokio::test]
async fn which_versions_came_is_known_in_the_processes_that_take_over() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("fine"));
    let mut binary = Binary::start(&configuration(&endpoint, "")).await;
    for client in 0..3 {
        assert_eq!(asks(&binary, client, "5.1").await, 200);
    }
    let version =
        |version| format!("GET / HTTP/1.1\r\nHost: a\r\nX-App-Version: {version}\r\n\r\n");
    let mut open = Client::connect(binary.clients).await;
    open.send(version("")).await;
    assert_eq!(open.answer().await.status, 200);
    binary.upgrade().expect("the same binary serves");
    shows(&binary, "5.1 3, none 1").await;
    assert_eq!(asks(&binary, 7, "5.2").await, 200);
    // The old process answers once more, on what is open, and says so.
    open.send(version("5.3")).await;
    let last = open.answer().await;
    assert_eq!((last.status, last.field("connection")), (200, Some("close")));
    shows(&binary, "5.3 1, 5.2 1, 5.1 3, none 1").await;
    assert!(binary.first_ended().await.success(), "{}", binary.log());
    binary.says("the old usher has finished what it had begun").await;
    binary.upgrade().expect("the same binary serves");
    assert_eq!(asks(&binary, 7, "5.2").await, 200);
    shows(&binary, "5.3 1, 5.2 2, 5.1 3, none 1").await;
    let (_, text) = told(&binary, &["--audience", "customer", "--if-min", "5.2"]);
    assert!(text.contains("min 5.2 would lock out 3 of "), "{text}");
}

#[tokio::test]
async fn which_versions_came_is_known_after_a_restart_where_there_is_a_state_directory() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    origin.serve(|_| ok("fine"));
    let state = tempfile::tempdir().expect("a directory");
    let file = state.path().join("versions.json");
    let text = configuration(&endpoint, "") + &format!("state_dir: {}\n", state.path().display());
    for round in 1..=3 {
        let mut binary = Binary::start(&text).await;
        for client in 0..4 {
            assert_eq!(asks(&binary, client, "5.1").await, 200);
        }
        shows(&binary, &format!("5.1 {}", 4 * round)).await;
        let (_, told) = told(&binary, &["--audience", "customer", "--if-min", "5.2"]);
        assert!(told.contains("lock out 4 of 4 clients"), "they are the same ones: {told}");
        binary.signal(rustix::process::Signal::TERM);
        assert!(binary.ended().success(), "{}", binary.log());
    }
    let kept = fs::read_to_string(&file).expect("it was written");
    assert!(!kept.contains("192.0.2."), "nothing in it says who came: {kept}");
    fs::write(&file, &kept[..kept.len() / 2]).expect("it can be written");
    let binary = Binary::start(&text).await;
    assert_eq!(asks(&binary, 0, "5.1").await, 200);
    shows(&binary, "5.1 1").await;
    binary.says("versions of apps are counted anew").await;
    assert!(state.path().join("versions.json.broken").exists());
}
