//! Sessions of TLS when another binary takes over.
//!
//! Transport: TLS itself, and HTTP/1.1 inside.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    os::{
        fd::OwnedFd,
        unix::{fs::PermissionsExt, net::UnixStream},
    },
    path::Path,
    process::Command,
    sync::Arc,
};

use rustix::process::Signal;
use rustls::{ClientConfig, HandshakeKind, SupportedProtocolVersion, version};
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::{
    kit::{Shop, gone, stopped},
    support::{
        authority::{shared, shared_client_speaking},
        binary::{Binary, ports, said},
        client::Client,
        usher::Samples,
        wire::Wire,
    },
    upgrade::config,
};

use HandshakeKind::{Full, Resumed};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// How a client of `config` shakes hands at `address` now; it is answered then.
async fn kind(address: SocketAddr, config: &Arc<ClientConfig>) -> HandshakeKind {
    let socket = TcpStream::connect(address).await.expect("usher accepts");
    let wire = Wire::within_tls(socket, config, "shop.example").await.expect("hands");
    let mut client = Client::on(wire);
    // Tickets come with the first answer at the latest.
    assert_eq!(client.get("/").await.status, 200);
    let Wire::Tls(stream) = &client.stream else { panic!("it speaks TLS") };
    stream.get_ref().1.handshake_kind().expect("it is over")
}

/// A program in the place of the binary, that runs it otherwise or does something else.
fn replace(usher: &Binary, name: &str, text: &str) {
    let path = usher.directory().join(name);
    fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("it can be written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("it is ours");
    usher.replace(&path);
}

#[tokio::test]
async fn sessions_go_on_with_the_process_that_takes_over() {
    let shop = Shop::open("shop").await;
    let mut usher = Binary::start(&config(&shop.address.to_string())).await;
    let clients = VERSIONS.map(shared_client_speaking);
    for client in &clients {
        assert_eq!(kind(usher.clients, client).await, Full);
        assert_eq!(kind(usher.clients, client).await, Resumed);
    }
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    for client in &clients {
        // By a ticket of the old process, and then by one of the new one.
        assert_eq!(kind(usher.clients, client).await, Resumed);
        assert_eq!(kind(usher.clients, client).await, Resumed);
    }
    let hands = |samples: &Samples, result: &str| {
        samples.sum("usher_tls_handshakes_total", &[&format!("\"{result}\"")])
    };
    // Those count as well that the old process has shaken, which has no listener any more.
    let samples = usher.when("all are counted", |samples| hands(samples, "resumed") == 6.0).await;
    assert_eq!((hands(&samples, "full"), hands(&samples, "failed")), (2.0, 0.0));
    stopped(heir).await;
}

#[tokio::test]
async fn sessions_outlive_several_upgrades_and_whoever_comes_anew_has_some_as_well() {
    let shop = Shop::open("shop").await;
    let mut usher = Binary::start(&config(&shop.address.to_string())).await;
    let first = shared_client_speaking(&version::TLS13);
    assert_eq!(kind(usher.clients, &first).await, Full);
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    let second = shared_client_speaking(&version::TLS13);
    assert_eq!(kind(usher.clients, &second).await, Full);
    let newest = usher.upgrade().expect("the same binary serves");
    gone(heir).await;
    assert_eq!(kind(usher.clients, &first).await, Resumed);
    assert_eq!(kind(usher.clients, &second).await, Resumed);
    stopped(newest).await;
}

/// The new process is started with another configuration, which the old one never reads: so it
/// hands over keys for what it asks of clients itself.
#[tokio::test]
async fn no_session_goes_on_where_the_new_process_asks_its_clients_for_more() {
    let shop = Shop::open("shop").await;
    let root = shared().join("root.crt");
    for more in [
        "lowest: 1.3".to_owned(),
        format!("clients: {{ roots: {}, verify: optional }}", root.display()),
    ] {
        let text = config(&shop.address.to_string());
        let mut usher = Binary::start(&text).await;
        let client = shared_client_speaking(&version::TLS13);
        assert_eq!(kind(usher.clients, &client).await, Full);
        assert_eq!(kind(usher.clients, &client).await, Resumed);
        let other = usher.directory().join("other.yaml");
        let ports = ports().replace("hosts: any", &format!("hosts: any, {more}"));
        assert!(ports.contains(&more));
        fs::write(&other, format!("{ports}{text}")).expect("it can be written");
        let program = env!("CARGO_BIN_EXE_usher");
        replace(&usher, "another", &format!("exec {program} run --config {}", other.display()));
        let heir = usher.upgrade().expect("it serves");
        assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
        assert_eq!(kind(usher.clients, &client).await, Full, "{more}");
        assert_eq!(kind(usher.clients, &client).await, Resumed, "{more}");
        assert!(!usher.log().contains("WARN"), "it is nobody's fault: {}", usher.log());
        stopped(heir).await;
    }
}

/// Hears all that the old process tells, keeps it in a file, and gives up.
const LISTENER: &str = r#"exec 3<&0
read -r hello <&3
echo '{"say":"built","usher":"9.9.9","pid":'$$'}' >&3
read -r state <&3
printf '%s' "$state" > "$(dirname "$0")/told.json"
tr '\0' '\n' < /proc/$$/environ > "$(dirname "$0")/environ"
tr '\0' '\n' < /proc/$$/cmdline > "$(dirname "$0")/cmdline"
echo '{"say":"failed","why":"it has heard enough"}' >&3"#;

#[tokio::test]
async fn an_upgrade_that_fails_leaves_sessions_as_they_are_and_shows_no_key() {
    let shop = Shop::open("shop").await;
    let text = config(&shop.address.to_string());
    let mut usher = Binary::start(&text.replace("access_log: off\n", "")).await;
    let clients = VERSIONS.map(shared_client_speaking);
    for client in &clients {
        assert_eq!(kind(usher.clients, client).await, Full);
    }
    replace(&usher, "listener", LISTENER);
    let refused = usher.upgrade().expect_err("it gives up");
    assert!(refused.contains("it has heard enough"), "{refused}");
    for client in &clients {
        assert_eq!(kind(usher.clients, client).await, Resumed);
    }
    let file = |name: &str| {
        fs::read_to_string(usher.directory().join(name)).unwrap_or_else(|error| panic!("{error}"))
    };
    let told: Value = serde_json::from_str(&file("told.json")).expect("JSON");
    let kept = &told["sections"]["tickets"][0];
    assert_eq!(kept["listener"], "127.0.0.1:0");
    let secret = kept["keys"][0]["secret"].as_str().expect("a key").to_owned();
    assert_eq!(secret.len(), 44, "256 bits");
    let control = usher.control.to_string();
    let status = said(&["status", "--format", "json", "--control", &control]);
    let mut shown = vec![
        ("the answer", refused),
        ("the status", String::from_utf8(status.stdout).expect("text")),
        ("the environment", file("environ")),
        ("the command line", file("cmdline")),
    ];
    for path in ["/api/v1/config", "/api/v1/pools", "/metrics"] {
        let port = if path == "/metrics" { usher.metrics } else { usher.control };
        let mut client = Client::plain(port).await;
        client.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200, "{path}");
        shown.push((path, answer.text().to_owned()));
    }
    usher.signal(Signal::TERM);
    usher.signal(Signal::INT);
    assert_eq!(usher.ended().code(), Some(0), "{}", usher.log());
    shown.extend([("the log", usher.log()), ("the access log", usher.access_log())]);
    assert!(shown.iter().any(|(_, text)| text.contains("USHER_HANDOVER=stdin")));
    for (place, text) in shown {
        assert!(!text.is_empty() && !text.contains(&secret), "{place}: {text}");
    }
}

/// Starts usher as the process that takes over from this one, which tells it `sections`.
async fn taking_over(text: &str, sections: Value) -> Binary {
    let (ours, theirs) = UnixStream::pair().expect("two ends");
    std::thread::spawn(move || {
        let mut lines = BufReader::new(ours.try_clone().expect("a descriptor")).lines();
        let say = |message: Value| writeln!(&ours, "{message}").expect("it listens");
        let mut hear = |what: &str| {
            let line = lines.next().expect("it speaks").expect("it speaks");
            assert!(line.contains(what), "{line}");
        };
        say(json!({ "say": "hello", "handover": 1, "usher": "0.0.9", "pid": 1, "sockets": [] }));
        hear("built");
        say(json!({ "say": "state", "sections": sections }));
        hear("ready");
    });
    let by = |program: &Path| {
        let mut command = Command::new(program);
        command.stdin(OwnedFd::from(theirs)).env("USHER_HANDOVER", "stdin");
        command
    };
    let binary = Binary::start_by(&format!("{}{text}", ports()), by).await;
    binary.unwrap_or_else(|log| panic!("usher did not start:\n{log}"))
}

/// A binary of before keys were handed over says nothing of them, a later one may say other things.
#[tokio::test]
async fn what_another_version_says_of_keys_is_passed_over() {
    let shop = Shop::open("shop").await;
    let later = json!([{ "listener": "127.0.0.1:0", "policy": "of tomorrow", "seal": "a seal",
                         "keys": [{ "made": 1, "name": "", "secret": "hush" }] }]);
    let nonsense = json!([{ "listener": 7, "keys": "hush" }]);
    for (sections, warning) in [
        (json!({}), None),
        (json!({ "tickets": later }), None),
        (json!({ "tickets": nonsense }), Some("this part of the old usher begins anew")),
        (json!({ "keys": nonsense }), Some("the old usher knows something that this one does not")),
    ] {
        let usher = taking_over(&config(&shop.address.to_string()), sections).await;
        let client = shared_client_speaking(&version::TLS13);
        assert_eq!(kind(usher.clients, &client).await, Full);
        assert_eq!(kind(usher.clients, &client).await, Resumed);
        let log = usher.log();
        assert_eq!(log.contains("WARN"), warning.is_some(), "{log}");
        assert!(warning.is_none_or(|warning| log.contains(warning)), "{log}");
        assert!(!log.contains("hush"), "{log}");
    }
}
