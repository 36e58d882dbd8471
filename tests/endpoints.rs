//! Real endpoints that want more than plain HTTP/1.1: Puma with TLS, and with the PROXY protocol;
//! `nghttpd`, which speaks HTTP/2 alone.
//!
//! Transport: HTTP/1.1 in plain text; this is about endpoints. `dialects` has all of them.

#[path = "support/puma.rs"]
mod puma;
mod support;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
};

use puma::Plan;
use support::{authority::Authority, client::Client, usher::Usher};

const UP: &str = r#"usher_pool_endpoints{pool="rails",state="up"}"#;

/// usher in front of `endpoint`, with more of the pool's keys in `pool`; files are in `directory`.
async fn started(directory: &Path, endpoint: &str, pool: &str) -> Usher {
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}]\n\
         control: off\nmetrics: off\naccess_log: off\nworkers: 1\n\
         drain: {{ grace: 0s, requests: 5s, tunnels: 5s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5, {pool} }} }}\n"
    );
    let path = directory.join("usher.yaml");
    std::fs::write(&path, text).expect("it can be written");
    Usher::start_at(&path).await
}

#[tokio::test]
async fn a_puma_that_speaks_tls_and_asks_who_is_calling() {
    let (root, directory) = (Authority::new("root"), tempfile::tempdir().expect("a directory"));
    let at = directory.path();
    std::fs::write(at.join("ca.pem"), root.root()).expect("it can be written");
    root.issue(&["rails.internal"]).write(at, "rails");
    root.issue_client("usher").write(at, "usher");
    let shown = at.display();
    let options = format!(
        "cert={shown}/rails.crt&key={shown}/rails.key&ca={shown}/ca.pem&verify_mode=force_peer"
    );
    let puma = Plan::new("customer", 2, 0).env("TLS", &options).start();
    let pool = "tls: { roots: ca.pem, name: rails.internal, \
                certificate: { cert: usher.crt, key: usher.key } }, \
                health: { path: /echo, interval: 200ms }";
    let usher = started(at, &puma.address, pool).await;
    usher.reaches(UP, 1.0).await;
    let mut client = Client::connect(usher.address()).await;
    for _ in 0..3 {
        let answer = client.get("/echo").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert!(answer.text().contains("\"scheme\":\"https\""), "{}", answer.text());
    }
    // A session that a check had may be resumed, if one was first.
    let shaken =
        |result| usher.samples().sum("usher_upstream_tls_handshakes_total", &["\"rails\"", result]);
    assert_eq!(shaken("\"full\"") + shaken("\"resumed\""), 1.0, "its connection is kept");
    assert_eq!(shaken("\"failed\""), 0.0);
    drop(client);
    usher.stop().await;
    let stranger = started(at, &puma.address, "tls: { roots: ca.pem, name: rails.internal }").await;
    let mut client = Client::connect(stranger.address()).await;
    let answer = client.get("/echo").await;
    assert!((502..=503).contains(&answer.status), "{}: {}", answer.status, answer.text());
    drop(client);
    stranger.stop().await;
}

#[tokio::test]
async fn a_puma_that_reads_proxy_headers_knows_the_client() {
    let directory = tempfile::tempdir().expect("a directory");
    let puma = Plan::new("customer", 2, 0).env("PROXY_PROTOCOL", "v1").start();
    let pool = "proxy_protocol: v1, health: { path: /echo, interval: 200ms }";
    let text = "trusted_proxies: [127.0.0.1]\n";
    let usher = started(directory.path(), &puma.address, pool).await;
    // Read before a request is made, so that the check alone has shown it to be well.
    usher.reaches(UP, 1.0).await;
    let path = directory.path().join("usher.yaml");
    let known = std::fs::read_to_string(&path).expect("it is there");
    std::fs::write(&path, format!("{text}{known}")).expect("it can be written");
    usher.reaches("usher_config_reloads_total{result=\"applied\"}", 1.0).await;
    for client_ip in ["192.0.2.7", "2001:db8::7", "192.0.2.7"] {
        let mut client = Client::connect(usher.address()).await;
        let asked = format!(
            "GET /echo HTTP/1.1\r\nHost: shop.example\r\nX-Forwarded-For: {client_ip}\r\n\r\n"
        );
        client.send(asked).await;
        let answer = client.answer().await;
        let peer = format!("\"peer\":\"{client_ip}\"");
        assert!(answer.text().contains(&peer), "{}", answer.text());
        drop(client);
    }
    usher.stop().await;
}

/// An `nghttpd` that serves the files of `directory`. Dropping it kills it.
struct Nghttpd(Child);

impl Drop for Nghttpd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts it with `options`, and returns once it listens.
async fn nghttpd(directory: &Path, options: &[&str]) -> (Nghttpd, String) {
    // It cannot be asked for any free port: one is found, given back and taken at once.
    loop {
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = port.local_addr().expect("it is bound");
        drop(port);
        // Debian puts it where not everybody looks.
        let mut command = Command::new("/usr/sbin/nghttpd");
        command.args(["--address=127.0.0.1", "--workers=1", "-d"]).arg(directory);
        command.args(options.iter().filter(|it| it.starts_with('-')));
        command.arg(address.port().to_string());
        command.args(options.iter().filter(|it| !it.starts_with('-')));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut server = Nghttpd(command.spawn().expect("tests/run has installed it"));
        while server.0.try_wait().expect("it is ours").is_none() {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return (server, address.to_string());
            }
            tokio::task::yield_now().await;
        }
    }
}

/// So many requests are asked of `nghttpd`.
const REQUESTS: usize = 400;

/// A client that asks for an eighth of them.
async fn visit(address: SocketAddr, visitor: usize, large: Arc<str>) {
    let mut client = Client::connect(address).await;
    for request in 0..REQUESTS / 8 {
        let of_large = (visitor + request).is_multiple_of(10);
        let answer = client.get(if of_large { "/large" } else { "/small" }).await;
        let expected = if of_large { &*large } else { "small" };
        assert!(answer.text() == expected, "{}: {:?}", answer.status, answer.fields);
    }
}

#[tokio::test]
async fn an_nghttpd_is_asked_over_few_connections_with_tls_and_without() {
    let (root, directory) = (Authority::new("root"), tempfile::tempdir().expect("a directory"));
    let at = directory.path();
    std::fs::write(at.join("ca.pem"), root.root()).expect("it can be written");
    root.issue(&["nghttpd.internal"]).write(at, "server");
    let large: String = (0..200_000).map(|number: u32| format!("{number} ")).collect();
    let large: Arc<str> = large.into();
    std::fs::write(at.join("large"), &*large).expect("it can be written");
    std::fs::write(at.join("small"), "small").expect("it can be written");
    let (key, cert) = (at.join("server.key"), at.join("server.crt"));
    let (key, cert) = (key.display().to_string(), cert.display().to_string());
    for (options, pool) in [
        (vec!["--no-tls"], "protocol: h2c"),
        (vec![&*key, &*cert], "protocol: h2, tls: { roots: ca.pem, name: nghttpd.internal }"),
    ] {
        let (server, endpoint) = nghttpd(at, &options).await;
        let pool = format!("{pool}, health: {{ path: /small, interval: 200ms }}");
        let usher = started(at, &endpoint, &pool).await;
        usher.reaches(UP, 1.0).await;
        let address = usher.address();
        let mut visits = tokio::task::JoinSet::new();
        (0..8).for_each(|visitor| drop(visits.spawn(visit(address, visitor, large.clone()))));
        visits.join_all().await;
        if pool.contains("tls") {
            let samples = usher.samples();
            let shaken = "usher_upstream_tls_handshakes_total";
            assert!(samples.sum(shaken, &[r#"pool="rails""#]) <= 2.0, "few connections");
        }
        let samples = usher.stop().await;
        let served = samples.sum("usher_requests_total", &[r#"status="200""#]);
        assert_eq!(served, REQUESTS as f64);
        drop(server);
    }
}
