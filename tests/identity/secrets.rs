//! Nothing that proves anything is ever shown.

use std::{fs, path::Path};

use rustix::process::Signal;
use serde_json::json;

use crate::{
    support::{
        binary::{Binary, ports, said},
        client::Client,
        origin::{Origin, PATIENCE, ok},
    },
    tokens::{SECRET, of},
};

const RAILS: &str = "5ecret5ecret5ecret5ecret5ecret5ecret5ecret5ecret";

/// A key that was derived elsewhere.
const DERIVED: &str = "d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5d0c5";

/// A cookie that is none.
const COOKIE: &str = "c29tZXRoaW5nIHNlY3JldA==--c2VjcmV0--c2VjcmV0c2VjcmV0";

/// A running usher that reads tokens with the keys below `keys`.
async fn reads(keys: &Path) -> Binary {
    fs::write(keys.join("secret"), SECRET).unwrap();
    fs::write(keys.join("base"), RAILS).unwrap();
    fs::write(keys.join("derived"), DERIVED).unwrap();
    let origin = Origin::start().await;
    let (keys, endpoint) = (keys.display(), origin.endpoint());
    let text = format!(
        "{}workers: 1\ndrain: {{ grace: 0s }}\n\
         identity:\n\
         - jwt: {{ keys: [{{ secret_file: {keys}/secret }}], audience: shop, \
              from: [{{ header: Authorization }}, {{ query: token }}, {{ protocol: bearer. }}] }}\n\
         - rails_cookie: {{ cookie: _s, invalid: refuse, \
              keys: [{{ secret_key_base_file: {keys}/base }}] }}\n\
         audiences:\n\
         - {{ name: vip, pool: rails, match: [{{ user: 42 }}], only: [{{ role: vip }}] }}\n\
         - {{ name: everyone, pool: rails }}\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n",
        ports()
    );
    origin.serve(|_| ok("here"));
    Binary::start_whole(&text).await
}

/// What clients are told who show `token` in every place, and the cookie.
async fn told(usher: &Binary, token: &str) -> String {
    let mut client = Client::connect(usher.clients).await;
    let mut told = String::new();
    for (target, field) in [
        ("/".to_owned(), format!("Authorization: Bearer {token}")),
        (format!("/?token={token}"), "X: y".to_owned()),
        ("/".to_owned(), format!("Sec-WebSocket-Protocol: bearer.{token}")),
        ("/".to_owned(), format!("Cookie: _s={COOKIE}")),
    ] {
        let head = format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n{field}\r\n\r\n");
        client.send(head).await;
        let answer = client.answer().await;
        told += &format!("{answer:?}");
        // What is remembered of a request that usher itself has answered.
        if let Some(id) = answer.field("x-request-id") {
            told += &remembered(usher, id).await;
        }
    }
    told
}

/// What is remembered of a request that was refused; that is settled a moment after its answer.
async fn remembered(usher: &Binary, id: &str) -> String {
    let control = usher.control.to_string();
    let known = async {
        loop {
            let why = says(&["why", "--control", &control, id]);
            if why.contains("refused with") {
                return why;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, known).await.expect("it is remembered in time")
}

/// What usher's own ports show.
async fn shown(usher: &Binary) -> String {
    let mut shown = String::new();
    for (port, path) in [
        (usher.control, "/api/v1/status"),
        (usher.control, "/api/v1/config"),
        (usher.control, "/api/v1/audiences"),
        (usher.metrics, "/metrics"),
    ] {
        let mut operator = Client::plain(port).await;
        operator.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await;
        let answer = operator.answer().await;
        assert_eq!(answer.status, 200, "{path}");
        shown += answer.text();
    }
    let control = usher.control.to_string();
    let config = usher.config().display().to_string();
    for command in [
        &["status", "--control", &control][..],
        &["status", "--format", "json", "--control", &control],
        &["diff", &config, &config],
        &["reload", "--control", &control],
    ] {
        let said = says(command);
        assert!(!said.is_empty(), "{command:?}");
        shown += &said;
    }
    shown
}

/// What a command says.
fn says(arguments: &[&str]) -> String {
    let output = said(arguments);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

fn explained(config: &str, token: &str) -> String {
    let (token, cookie) =
        (format!("Authorization: Bearer {token}"), format!("Cookie: _s={COOKIE}"));
    let request = ["GET", "/", "-H", &token, "-H", &cookie];
    let explained = says(&[&["explain", "-v", "--config", config], &request[..]].concat());
    assert!(explained.contains("identity: "), "{explained}");
    explained
}

/// Every port, log and command that usher has, while it reads good and bad tokens.
#[tokio::test]
async fn keys_and_tokens_stand_in_no_log_status_message_or_dump() {
    let keys = tempfile::tempdir().unwrap();
    let mut usher = reads(keys.path()).await;
    let config = usher.config().display().to_string();
    let (good, bad) = (of("42", &json!({})), of("7", &json!({ "exp": 1 })));
    let mut everything = says(&["check", "--config", &config]);
    for token in [&good, &bad] {
        everything += &told(&usher, token).await;
        everything += &explained(&config, token);
    }
    everything += &shown(&usher).await;
    // What is wrong with a key is told without the key.
    fs::write(keys.path().join("secret"), &SECRET[..20]).unwrap();
    fs::write(keys.path().join("base"), &RAILS[..20]).unwrap();
    fs::write(keys.path().join("derived"), &DERIVED[..20]).unwrap();
    let wrong = says(&["check", "--config", &config]);
    assert!(wrong.contains("a secret has at least 32 bytes"), "{wrong}");
    usher.says("not reloaded").await;
    usher.signal(Signal::TERM);
    assert_eq!(usher.ended().code(), Some(0));
    everything += &[wrong, usher.log(), usher.access_log()].concat();
    let parts = [&good, &bad].into_iter().flat_map(|token| token.split('.'));
    let secrets = parts.filter(|part| part.len() > 40).chain(COOKIE.split("--"));
    for secret in secrets.chain([&SECRET[..20], &RAILS[..20], &DERIVED[..20]]) {
        assert!(!everything.contains(secret), "{secret} is shown in\n{everything}");
    }
    assert!(everything.contains("invalid_identity") && everything.contains("\"expired\""));
}
