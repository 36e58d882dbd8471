//! Connections to endpoints that serve the requests of more than one worker, where an endpoint
//! wants more than plain HTTP/1.1. `proxy` tells of those that want no more.

use std::fs;

use usher::proxy_protocol::Source;

use crate::{
    House,
    introductions::header,
    support::{
        authority::Authority,
        client::Client,
        origin::{Line, Origin, ok},
    },
    text,
    vault::Vault,
};

const FULL: &str = r#"usher_upstream_tls_handshakes_total{pool="rails",result="full"}"#;
const RESUMED: &str = r#"usher_upstream_tls_handshakes_total{pool="rails",result="resumed"}"#;

/// An usher of two workers in front of `endpoint`, and a client of each: while one is connected,
/// the next is given to the other worker.
async fn two_workers(
    directory: tempfile::TempDir,
    endpoint: &str,
    (more, pool): (&str, &str),
) -> (House, [Client; 2]) {
    // A machine that is busy with other tests makes nothing here too late.
    let patient =
        "timeouts: { connect: 20s, first_byte: 60s, total: 60s }, keep_alive: { idle: 60s }";
    let text = text(endpoint, &format!("{patient}, {pool}"));
    let text =
        text.replace("capacity: 5, ", if pool.contains("capacity") { "" } else { "capacity: 5, " });
    let text = more.to_owned() + &text.replace("workers: 1", "workers: 2");
    let house = House::open_with(directory, &text).await;
    let address = house.usher.address();
    let clients = [Client::connect(address).await, Client::connect(address).await];
    (house, clients)
}

/// A directory with `root` as `ca.pem`.
fn believing(root: &Authority) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    fs::write(directory.path().join("ca.pem"), root.root()).expect("it can be written");
    directory
}

fn get(target: &str, fields: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n")
}

/// The client asks with `fields`, and is answered on `line` and nowhere else.
async fn is_served_on(line: &mut Line, client: &mut Client, target: &str, fields: &str) {
    client.send(get(target, fields)).await;
    assert_eq!(line.read().await.target(), target);
    line.write(ok(target)).await;
    assert_eq!(client.answer().await.text(), target);
}

#[tokio::test]
async fn an_idle_connection_within_tls_serves_the_next_request_of_whichever_worker() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["127.0.0.1"]), None).await;
    let tls = ("", "tls: { roots: ca.pem }");
    let endpoint = vault.address.to_string();
    let (house, mut clients) = two_workers(believing(&root), &endpoint, tls).await;
    clients[0].send(get("/0", "")).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), "/0");
    line.write(ok("0")).await;
    assert_eq!(clients[0].answer().await.text(), "0");
    for turn in 1..8 {
        let target = format!("/{turn}");
        is_served_on(&mut line, &mut clients[turn % 2], &target, "").await;
    }
    // More than a record of TLS in each direction, read and written by another worker than shook
    // hands.
    let large = "x".repeat(200_000);
    let head = format!("Content-Length: {}\r\n", large.len());
    for client in &mut clients {
        client.send(get("/large", &head).replace("GET", "POST") + &large).await;
        assert_eq!(line.read().await.body, large.as_bytes());
        line.write(ok(&large)).await;
        assert_eq!(client.answer().await.body, large.as_bytes());
    }
    assert_eq!(vault.shaken().len(), 1, "hands were shaken once");
    drop(clients);
    let samples = house.usher.stop().await;
    assert_eq!((samples.get(FULL), samples.get(RESUMED)), (1.0, 0.0));
}

#[tokio::test]
async fn a_slot_that_goes_to_another_worker_takes_its_connection_within_tls_along() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["127.0.0.1"]), None).await;
    let tls = ("", "capacity: 1, queue: { wait: 20s }, tls: { roots: ca.pem }");
    let endpoint = vault.address.to_string();
    let (house, mut clients) = two_workers(believing(&root), &endpoint, tls).await;
    clients[0].send(get("/0", "")).await;
    let mut line = origin.accept().await;
    assert_eq!(line.read().await.target(), "/0");
    for turn in 1..8 {
        let target = format!("/{turn}");
        clients[turn % 2].send(get(&target, "")).await;
        house.usher.reaches(r#"usher_pool_queue_length{pool="rails"}"#, 1.0).await;
        line.write(ok("answered")).await;
        assert_eq!(line.read().await.target(), target);
        assert_eq!(clients[(turn + 1) % 2].answer().await.text(), "answered");
    }
    line.write(ok("last")).await;
    assert_eq!(clients[1].answer().await.text(), "last");
    assert_eq!(vault.shaken().len(), 1, "hands were shaken once");
    drop(clients);
    house.usher.stop().await;
}

#[tokio::test]
async fn one_within_tls_that_was_closed_while_another_worker_had_it_is_replaced() {
    let (root, origin) = (Authority::new("root"), Origin::start().await);
    let vault = Vault::open(&origin, &root.issue(&["127.0.0.1"]), None).await;
    let tls = ("", "tls: { roots: ca.pem }");
    let endpoint = vault.address.to_string();
    let (house, mut clients) = two_workers(believing(&root), &endpoint, tls).await;
    for turn in 0..4 {
        let client = &mut clients[turn % 2];
        client.send(get("/", "")).await;
        let mut line = origin.accept().await;
        line.read().await;
        line.write(ok("served")).await;
        assert_eq!(client.answer().await.text(), "served");
        drop(line);
    }
    drop(clients);
    let samples = house.usher.stop().await;
    assert_eq!(samples.sum("usher_requests_total", &["served"]), 4.0);
    assert_eq!(samples.get(FULL) + samples.get(RESUMED), 4.0);
}

#[tokio::test]
async fn one_that_names_its_client_stays_with_that_clients_connection_and_so_with_its_worker() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    let directory = tempfile::tempdir().expect("a directory");
    let pool = ("", "proxy_protocol: v2");
    let (house, mut clients) = two_workers(directory, &endpoint, pool).await;
    let mut lines = Vec::new();
    for client in &mut clients {
        // Idle ones lie on the other worker's shelf, and tell of somebody else.
        client.send(get("/first", "")).await;
        let mut line = origin.accept().await;
        let source = client.stream.local_addr().expect("one");
        let destination = house.usher.address();
        assert_eq!(header(&mut line).await, Source::Client { source, destination });
        line.read().await;
        line.write(ok("first")).await;
        assert_eq!(client.answer().await.text(), "first");
        lines.push(line);
    }
    for turn in 0..6 {
        let (line, client) = (&mut lines[turn % 2], &mut clients[turn % 2]);
        is_served_on(line, client, &format!("/{turn}"), "").await;
    }
    drop(clients);
    house.usher.stop().await;
}

#[tokio::test]
async fn one_that_names_a_client_behind_a_proxy_serves_that_client_at_whichever_worker() {
    let origin = Origin::start().await;
    let endpoint = origin.endpoint();
    let directory = tempfile::tempdir().expect("a directory");
    let pool = ("trusted_proxies: [127.0.0.0/8]\n", "proxy_protocol: v2");
    let (house, mut clients) = two_workers(directory, &endpoint, pool).await;
    let mut lines = Vec::new();
    // Both workers have connections of the proxy's, and both carry requests of both clients. A
    // port is not known of either.
    let people = ["192.0.2.7", "2001:db8::7"];
    for (person, proxy) in people.iter().zip(&mut clients) {
        proxy.send(get("/first", &format!("X-Forwarded-For: {person}\r\n"))).await;
        let mut line = origin.accept().await;
        let Source::Client { source, .. } = header(&mut line).await else { panic!("a client's") };
        assert_eq!((source.ip().to_string(), source.port()), ((*person).to_owned(), 0));
        line.read().await;
        line.write(ok("first")).await;
        assert_eq!(proxy.answer().await.text(), "first");
        lines.push(line);
    }
    for turn in 0..12 {
        let (person, proxy) = (turn / 2 % 2, turn % 2);
        let from = format!("X-Forwarded-For: {}\r\n", people[person]);
        is_served_on(&mut lines[person], &mut clients[proxy], &format!("/{turn}"), &from).await;
    }
    drop(clients);
    house.usher.stop().await;
}
