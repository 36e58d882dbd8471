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
