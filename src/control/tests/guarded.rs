//! Who may ask the control port, and what is written down of those who may not.

use std::path::Path;

use super::*;
use crate::{
    config::{Role, TokenSource},
    name::Name,
};

const VIEWER: &str = "a-viewers-token-0123456789";
const OPERATOR: &str = "an-operators-token-0123456789";

fn token(name: &str, role: Role, path: &Path) -> Token {
    let source = TokenSource::File(path.to_owned());
    Token { name: Name::parse(name).expect("a name"), role, source }
}

/// The ports with a viewer and an operator, their files and the audit's.
async fn with_tokens(directory: &Path) -> Ports {
    let file = |name: &str, text: &str| {
        let path = directory.join(name);
        std::fs::write(&path, text).expect("it can be written");
        path
    };
    let tokens = [
        token("dashboard", Role::Viewer, &file("viewer", VIEWER)),
        token("oncall", Role::Operator, &file("operator", OPERATOR)),
    ];
    Ports::guarded(&tokens, Some(directory.join("audit.json"))).await
}

async fn ask_as(ports: &Ports, method: &str, path: &str, token: &str, more: &str) -> Answer {
    let fields =
        if token.is_empty() { String::new() } else { format!("authorization: Bearer {token}\r\n") };
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: usher.example\r\n{fields}connection: close\r\n{more}\r\n"
    );
    send(ports.control, &request).await
}

#[tokio::test]
async fn with_tokens_each_may_what_its_role_allows() {
    let directory = tempfile::tempdir().expect("a directory");
    let ports = with_tokens(directory.path()).await;
    for (token, get, post) in [
        ("", 401, 401),
        ("an-unknown-token-0123456789", 401, 401),
        (VIEWER, 200, 403),
        (OPERATOR, 200, 200),
    ] {
        for path in ["/api/v1/status", "/api/v1/audiences", "/api/v1/pools", "/api/v1/config"] {
            assert_eq!(ask_as(&ports, "GET", path, token, "").await.status, get, "{token} {path}");
        }
        let reload = ask_as(&ports, "POST", "/api/v1/reload", token, "").await;
        assert_eq!(reload.status, post, "{token}");
        for path in ["/live", "/ready"] {
            assert_eq!(ask_as(&ports, "GET", path, token, "").await.status, 200, "{token} {path}");
        }
        let nothing = ask_as(&ports, "GET", "/nothing", token, "").await;
        assert_eq!(nothing.status, 404, "{token}");
    }
    let missing = ask_as(&ports, "GET", "/api/v1/status", "", "").await;
    assert!(missing.head.contains("www-authenticate: Bearer realm=\"usher\""), "{}", missing.head);
    assert!(missing.body.contains("$USHER_TOKEN or --token-file"), "{}", missing.body);
    let refused = ask_as(&ports, "POST", "/api/v1/reload", VIEWER, "").await;
    assert!(refused.body.contains("This token is a viewer's"), "{}", refused.body);
}

#[tokio::test]
async fn no_page_of_another_site_has_anything_done_whatever_it_shows() {
    let directory = tempfile::tempdir().expect("a directory");
    let guarded = with_tokens(directory.path()).await;
    let open = Ports::open().await;
    for ports in [&guarded, &open] {
        let host =
            if ports.guard.keys.are_asked_for() { "usher.example" } else { "localhost:9900" };
        for (fields, status) in [
            ("origin: https://evil.example", 403),
            ("origin: null", 403),
            ("origin: http://localhost:3000", 403),
            ("sec-fetch-site: cross-site", 403),
            ("sec-fetch-site: same-site", 403),
            ("sec-fetch-site: same-origin", 200),
            ("sec-fetch-site: none", 200),
            (&*format!("origin: http://{host}"), 200),
        ] {
            let request = format!(
                "POST /api/v1/reload HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {OPERATOR}\
                 \r\nconnection: close\r\n{fields}\r\n\r\n"
            );
            assert_eq!(send(ports.control, &request).await.status, status, "{host} {fields}");
        }
    }
}

#[tokio::test]
async fn a_token_that_was_changed_counts_at_the_next_look() {
    let directory = tempfile::tempdir().expect("a directory");
    let ports = with_tokens(directory.path()).await;
    let path = directory.path().join("operator");
    let rotated = "another-token-0123456789";
    std::fs::write(&path, rotated).expect("it can be written");
    ports.guard.keys.renew(&[token("oncall", Role::Operator, &path)]);
    for (token, status) in [(OPERATOR, 401), (rotated, 200), (VIEWER, 401)] {
        assert_eq!(ask_as(&ports, "GET", "/api/v1/status", token, "").await.status, status);
    }
}

#[tokio::test]
async fn orders_have_a_body_of_json_and_of_a_size() {
    let ports = Ports::open().await;
    let post = async |kind: &str, body: &str| {
        let request = format!(
            "POST /api/v1/reload HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        send(ports.control, &request).await
    };
    let json = "application/json";
    for (kind, body, status) in [
        (json, "", 200),
        (json, r#"{"operator":"alice","reason":"new pool"}"#, 200),
        ("text/plain", r#"{"reason":"x"}"#, 400),
        (json, r#"{"raeson":"x"}"#, 400),
        (json, r#"{"reason":"two\nlines"}"#, 400),
        (json, &format!(r#"{{"reason":"{}"}}"#, "x".repeat(20_000)), 413),
    ] {
        assert_eq!(post(kind, body).await.status, status, "{body:.40}");
    }
    let asked = ports.stand.asked.lock().clone();
    assert_eq!(asked.len(), 2);
    assert_eq!(
        (asked[1].name().as_str(), asked[1].why.reason.as_deref()),
        ("alice (loopback)", Some("new pool"))
    );
}

#[tokio::test]
async fn what_was_refused_is_written_down() {
    let directory = tempfile::tempdir().expect("a directory");
    let ports = with_tokens(directory.path()).await;
    ask_as(&ports, "POST", "/api/v1/reload", "an-unknown-token-0123456789", "").await;
    ask_as(&ports, "POST", "/api/v1/reload", VIEWER, "").await;
    ask_as(&ports, "POST", "/api/v1/reload", OPERATOR, "origin: https://evil.example\r\n").await;
    let audit = std::fs::read_to_string(directory.path().join("audit.json")).expect("a file");
    let lines: Vec<Value> =
        audit.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told: Vec<_> = lines.iter().map(|it| (it["who"].as_str(), it["detail"].as_str())).collect();
    assert_eq!(told.len(), 3, "{audit}");
    for ((who, detail), (expected, status)) in
        told.iter().zip([("nobody", "401"), ("dashboard", "403"), ("nobody", "403")])
    {
        assert_eq!(*who, Some(expected));
        assert!(detail.is_some_and(|detail| detail.starts_with(status)), "{detail:?}");
    }
    assert!(
        lines.iter().all(|it| it["action"] == "POST /api/v1/reload" && it["result"] == "refused")
    );
    assert!(
        lines.iter().all(|it| it["from"].as_str().is_some_and(|it| it.starts_with("127.0.0.1:")))
    );
    assert!(!audit.contains("token-0123456789"), "no token is ever written down");
}
