//! TLS towards endpoints.

use std::{fs, sync::atomic::Ordering};

use crate::{
    House, said,
    support::{
        authority::Authority,
        client::Client,
        gateway::accept,
        origin::{Origin, ok},
        wire,
    },
    vault::{Vault, der},
};

const FULL: &str = r#"usher_upstream_tls_handshakes_total{pool="rails",result="full"}"#;
const RESUMED: &str = r#"usher_upstream_tls_handshakes_total{pool="rails",result="resumed"}"#;
const FAILED: &str = r#"usher_upstream_tls_handshakes_total{pool="rails",result="failed"}"#;
const APPLIED: &str = "usher_config_reloads_total{result=\"applied\"}";

/// An answer after which the endpoint closes.
const LAST: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\nlast";

/// A directory with `root` as `ca.pem`.
fn believing(root: &Authority) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("ca.pem"), root.root()).expect("it can be written");
    directory
}

#[tokio::test]
async fn answers_come_over_tls_and_sessions_are_resumed() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["rails.internal"]), None).await;
    let tls = "tls: { roots: ca.pem, name: rails.internal }";
    let house = House::open(believing(&root), &vault.address.to_string(), tls).await;
    origin.serve(|asked| match asked.target() {
        "/last" => LAST.to_vec(),
        _ => ok(asked.field("x-forwarded-proto").unwrap_or("-")),
    });
    let mut client = Client::connect(house.usher.address()).await;
    // What the client spoke is what Rails is told, whatever is spoken to Rails.
    let proto = if wire::TLS { "https" } else { "http" };
    assert_eq!(client.get("/").await.text(), proto);
    assert_eq!(client.get("/").await.text(), proto);
    assert_eq!(vault.shaken().len(), 1, "one connection carries both");
    assert_eq!(client.get("/last").await.text(), "last");
    assert_eq!(client.get("/").await.text(), proto);
    let shaken = vault.shaken();
    assert_eq!(shaken[0].name.as_deref(), Some("rails.internal"));
    assert_eq!(shaken[0].protocol.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(shaken.iter().map(|it| it.resumed).collect::<Vec<_>>(), [false, true]);
    let samples = house.usher.samples();
    assert_eq!((samples.get(FULL), samples.get(RESUMED), samples.get(FAILED)), (1.0, 1.0, 0.0));
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn without_a_name_a_certificate_has_to_be_good_for_the_host_or_address_as_it_is_written() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let by_address = Vault::open(&origin, &root.issue(&["127.0.0.1"]), None).await;
    let by_name = Vault::open(&origin, &root.issue(&["localhost"]), None).await;
    origin.serve(|_| ok("here"));
    let of_name = format!("localhost:{}", by_name.address.port());
    for (endpoint, status) in
        [(by_address.address.to_string(), 200), (of_name, 200), (by_name.address.to_string(), 503)]
    {
        let house = House::open(believing(&root), &endpoint, "tls: { roots: ca.pem }").await;
        let mut client = Client::connect(house.usher.address()).await;
        assert_eq!(client.get("/").await.status, status, "{endpoint}");
        drop(client);
        house.usher.stop().await;
    }
    assert_eq!(by_name.shaken()[0].name.as_deref(), Some("localhost"));
    assert_eq!(by_address.shaken()[0].name, None, "an address is never asked for (RFC 6066 §3)");
}

/// Somebody who speaks HTTP, whatever is said to them.
async fn talker() -> std::net::SocketAddr {
    let origin = Origin::start().await;
    let address = origin.address();
    tokio::spawn(async move {
        loop {
            let mut line = origin.accept_for_ever().await;
            line.try_write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
            line.closed().await;
        }
    });
    address
}

/// What a client is told, and what `status` shows, where nothing can come of `tls`.
async fn in_vain(directory: tempfile::TempDir, endpoint: &str, tls: &str, why: &str) {
    let house = House::open(directory, endpoint, tls).await;
    let mut client = Client::connect(house.usher.address()).await;
    let answer = client.get("/").await;
    assert_eq!((answer.status, answer.field("x-usher-fault")), (503, Some("no_endpoint")), "{why}");
    let trouble = house.usher.remote.status().pools[0].endpoints[0].last_error.clone();
    assert!(trouble.as_deref().is_some_and(|it| it.contains(why)), "{why}: {trouble:?}");
    house.usher.reaches(FAILED, 1.0).await;
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn whose_certificate_is_not_believed_gets_no_request() {
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    let origin = Origin::start().await;
    let vault = Vault::open(&origin, &root.issue(&["rails.internal"]), None).await;
    let old = root.issue_with(&["rails.internal"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let expired = Vault::open(&origin, &old, None).await;
    let strict = Vault::open(&origin, &root.issue(&["rails.internal"]), Some(&root)).await;
    let plain = talker().await;
    let tls = "tls: { roots: ca.pem, name: rails.internal }";
    for (believed, endpoint, tls, why) in [
        (&other, vault.address, tls, "UnknownIssuer; `tls.roots` has not signed its certificate"),
        (
            &root,
            vault.address,
            "tls: { roots: ca.pem, name: other.internal }",
            "write the name that it is good for as `tls.name`",
        ),
        (&root, expired.address, tls, "renew its certificate"),
        (&root, plain, tls, "it may not speak TLS at this port"),
    ] {
        in_vain(believing(believed), &endpoint.to_string(), tls, why).await;
    }
    // In TLS 1.3 that is only said once usher has its side of the handshake done.
    let house = House::open(believing(&root), &strict.address.to_string(), tls).await;
    let mut client = Client::connect(house.usher.address()).await;
    let answer = client.get("/").await;
    assert!((502..=503).contains(&answer.status), "{}", answer.status);
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn usher_shows_its_own_certificate_and_a_renewed_one_from_then_on() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["rails.internal"]), Some(&root)).await;
    let directory = believing(&root);
    let renew = |directory: &std::path::Path| {
        let issued = root.issue_client("usher");
        let both = [&*issued.cert, &*issued.key].concat();
        fs::write(directory.join("new"), both).expect("it can be written");
        fs::rename(directory.join("new"), directory.join("usher.pem")).expect("it is in its place");
        der(&issued.cert).to_vec()
    };
    let first = renew(directory.path());
    let tls = "tls: { roots: ca.pem, name: rails.internal, \
               certificate: { cert: usher.pem, key: usher.pem } }";
    let house = House::open(directory, &vault.address.to_string(), tls).await;
    origin.serve(|_| ok("here"));
    let mut client = Client::connect(house.usher.address()).await;
    assert_eq!(client.get("/").await.text(), "here");
    assert_eq!(vault.shaken()[0].client.as_ref(), Some(&first));
    let second = renew(house.directory.path());
    house.usher.reaches(APPLIED, 1.0).await;
    assert_eq!(client.get("/").await.text(), "here");
    let shaken = vault.shaken();
    assert_eq!(shaken.len(), 2, "the connection with the old one is not used again");
    assert_eq!(shaken[1].client.as_ref(), Some(&second));
    assert!(!shaken[1].resumed, "nor is its session");
    let expires = "usher_upstream_tls_certificate_expires_timestamp_seconds\
                   {pool=\"rails\",certificate=\"CN=usher\"}";
    assert!(house.usher.samples().get(expires) > 0.0);
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn other_roots_are_believed_from_then_on() {
    let (root, other) = (Authority::new("root"), Authority::new("other"));
    let origin = Origin::start().await;
    let vault = Vault::open(&origin, &root.issue(&["rails.internal"]), None).await;
    let tls = "tls: { roots: ca.pem, name: rails.internal }, ejection: off";
    let house = House::open(believing(&root), &vault.address.to_string(), tls).await;
    origin.serve(|_| ok("here"));
    let mut client = Client::connect(house.usher.address()).await;
    assert_eq!(client.get("/").await.status, 200);
    let ca = house.directory.path().join("ca.pem");
    fs::write(&ca, other.root()).expect("it can be written");
    house.usher.reaches(APPLIED, 1.0).await;
    assert_eq!(client.get("/").await.status, 503);
    fs::write(&ca, other.root() + &root.root()).expect("it can be written");
    house.usher.reaches(APPLIED, 2.0).await;
    assert_eq!(client.get("/").await.status, 200);
    drop(client);
    house.usher.stop().await;
}

#[tokio::test]
async fn an_answer_that_is_cut_without_a_word_is_not_whole() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["rails.internal"]), None).await;
    let tls = "tls: { roots: ca.pem, name: rails.internal }";
    let house = House::open(believing(&root), &vault.address.to_string(), tls).await;
    for cut in [false, true] {
        vault.cuts.store(cut, Ordering::Relaxed);
        let mut client = Client::connect(house.usher.address()).await;
        client.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
        let mut line = origin.accept().await;
        line.read().await;
        // Its end is all that tells where it ends.
        line.write("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nas it is").await;
        drop(line);
        let answer = client.answer().await;
        assert_eq!((answer.text(), answer.whole), ("as it is", !cut));
    }
    house.usher.stop().await;
}

#[tokio::test]
async fn a_tunnel_leads_through_tls() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["rails.internal"]), None).await;
    let tls = "tls: { roots: ca.pem, name: rails.internal }";
    let house = House::open(believing(&root), &vault.address.to_string(), tls).await;
    let mut client = Client::connect(house.usher.address()).await;
    client
        .send(
            "GET /cable HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    let mut line = origin.accept().await;
    // Over HTTP/2 a client has no key; usher has one of its own then.
    let key = line.read().await.field("sec-websocket-key").map(accept);
    line.write(format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n\x01\x05hello",
        key.expect("a key")
    ))
    .await;
    assert_eq!(client.head().await.expect("a head").status, 101);
    assert_eq!(client.exactly(7).await.expect("a frame"), b"\x01\x05hello");
    client.send(b"\x81\x82\0\0\0\0hi").await;
    assert_eq!(line.read_exactly(8).await.expect("a frame"), b"\x81\x82\0\0\0\0hi");
    drop((client, line));
    house.usher.stop().await;
}

#[tokio::test]
async fn checks_speak_it_too_unless_they_are_plain() {
    const UP: &str = r#"usher_pool_endpoints{pool="rails",state="up"}"#;
    const DOWN: &str = r#"usher_pool_endpoints{pool="rails",state="down"}"#;
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["rails.internal"]), None).await;
    let plain = origin.address().port();
    origin.serve(|_| ok("here"));
    let tls = "tls: { roots: ca.pem, name: rails.internal }";
    for (health, state) in [
        ("interval: 100ms", UP),
        // In plain text nobody is understood at that port.
        ("interval: 100ms, plain: on, fall: 1", DOWN),
        (&format!("interval: 100ms, plain: on, port: {plain}"), UP),
    ] {
        let pool = format!("{tls}, health: {{ {health} }}");
        let endpoint = vault.address.to_string();
        let house = House::open(believing(&root), &endpoint, &pool).await;
        let before = vault.shaken().len();
        house.usher.reaches(state, 1.0).await;
        if health == "interval: 100ms" {
            let checked = async {
                while vault.shaken().len() == before {
                    tokio::task::yield_now().await;
                }
            };
            checked.await;
        }
        house.usher.stop().await;
    }
    let wrong = format!("{tls}, health: {{ interval: 100ms, fall: 1 }}");
    let house =
        House::open(believing(&Authority::new("other")), &vault.address.to_string(), &wrong).await;
    house.usher.reaches(DOWN, 1.0).await;
    let reason = house.usher.remote.status().pools[0].endpoints[0].reason.clone();
    assert!(reason.as_deref().is_some_and(|it| it.contains("UnknownIssuer")), "{reason:?}");
    house.usher.stop().await;
}

#[tokio::test]
async fn any_certificate_is_taken_only_where_that_is_written_and_check_warns_of_it() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["rails.internal"]), None).await;
    origin.serve(|_| ok("here"));
    let directory = tempfile::tempdir().expect("a directory");
    let unverified = "tls: { dangerously_unverified: on }";
    let said = said(directory.path(), "127.0.0.1:1", unverified);
    assert_eq!(said.len(), 1);
    assert!(said[0].starts_with("Warning: any certificate is taken"), "{said:?}");
    let house = House::open(directory, &vault.address.to_string(), unverified).await;
    let mut client = Client::connect(house.usher.address()).await;
    assert_eq!(client.get("/").await.text(), "here");
    drop(client);
    house.usher.stop().await;
}

#[test]
fn what_cannot_be_honoured_is_an_error() {
    let root = Authority::new("root");
    let directory = believing(&root);
    let soon = root.issue_with(&[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    soon.write(directory.path(), "old");
    for (endpoint, tls, complaint) in [
        ("127.0.0.1:1", "tls: { roots: nowhere.pem }", "Error: there is no file"),
        ("127.0.0.1:1", "tls: { roots: said.yaml }", "there is no certificate in it"),
        ("127.0.0.1:1", "tls: { name: \"a b\", roots: ca.pem }", "Error: this is no name"),
        ("unix:/run/puma.sock", "tls: { roots: ca.pem }", "Error: no certificate can be good for"),
        ("127.0.0.1:1", "tls: { roots: ca.pem, certificate: { cert: ca.pem } }", "Error: `key`"),
        (
            "127.0.0.1:1",
            "tls: { roots: ca.pem, certificate: { cert: old.crt, key: old.key } }",
            "Warning: the certificate of `` ended",
        ),
        ("127.0.0.1:1", "health: { plain: on }", "Warning: `plain` has no effect"),
    ] {
        let said = said(directory.path(), endpoint, tls);
        assert!(said.iter().any(|it| it.contains(complaint)), "{tls}: {said:?}");
    }
    assert!(said(directory.path(), "127.0.0.1:1", "tls: { roots: ca.pem }").is_empty());
}
