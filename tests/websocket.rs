//! WebSockets as a real library speaks them, directly and through usher: both look the same.
//!
//! The cases are those of the Autobahn kind: messages of all sizes, fragments, pings, close codes,
//! text that is none, frames that are none, ends in the middle. `tests/run` installs the library.
//!
//! And as it sees usher stop: each connection is closed with 1012, and by nothing else.
//!
//! Transport: HTTP/1.1 in plain text; `http2_clients` asks for WebSockets over HTTP/2.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

#[path = "support/mod.rs"]
mod support;

use support::usher::{Usher, one_pool};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/websocket");

/// The echo origin, killed when the test ends.
struct Echo(Child);

impl Echo {
    /// Starts it, and where it listens.
    fn start() -> (Self, String) {
        let mut child = Command::new(PYTHON)
            .arg(format!("{SCRIPTS}/origin.py"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("tests/run has made target/python");
        let mut port = String::new();
        let stdout = child.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut port).expect("the origin says its port");
        (Self(child), format!("127.0.0.1:{}", port.trim()))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the client saw in each case, one line each.
#[expect(clippy::disallowed_methods, reason = "the client runs while usher's test waits")]
async fn verdicts(address: String) -> Vec<String> {
    let play = tokio::task::spawn_blocking(move || {
        Command::new(PYTHON)
            .arg(format!("{SCRIPTS}/client.py"))
            .arg(format!("ws://{address}"))
            .output()
            .expect("the client runs")
    });
    let output = play.await.expect("no panic");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_websocket_through_usher_looks_like_one_without_it() {
    let (echo, address) = Echo::start();
    let usher = Usher::start(&one_pool(std::slice::from_ref(&address), "")).await;
    let direct = verdicts(address).await;
    let through = verdicts(usher.address().to_string()).await;
    assert!(direct.len() > 130, "{} cases", direct.len());
    let differ = direct.iter().zip(&through).filter(|(one, other)| one != other);
    let differ: Vec<_> = differ.collect();
    assert!(differ.is_empty() && direct.len() == through.len(), "{differ:#?}");
    usher.reaches("usher_tunnels{audience=\"everyone\"}", 0.0).await;
    drop(echo);
    let samples = usher.stop().await;
    let closed = samples.sum("usher_tunnels_closed_total", &[]);
    assert_eq!(closed, samples.sum("usher_requests_total", &["\"101\""]));
    assert_eq!(samples.sum("usher_requests_total", &["served"]), direct.len() as f64);
}

#[tokio::test]
async fn when_usher_stops_a_real_client_sees_service_restart_and_no_broken_message() {
    const CONNECTIONS: usize = 40;
    let (echo, address) = Echo::start();
    let usher = Usher::start(&one_pool(&[address], "")).await;
    let mut client = Command::new(PYTHON)
        .arg(format!("{SCRIPTS}/drained.py"))
        .arg(format!("ws://{}/", usher.address()))
        .arg(CONNECTIONS.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the client runs");
    let mut lines = BufReader::new(client.stdout.take().expect("a pipe")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "open");
    let samples = usher.stop().await;
    let told: Vec<_> = lines.map(|line| line.expect("text")).collect();
    assert_eq!(told, vec!["1012 asked"; CONNECTIONS]);
    assert!(client.wait().expect("it is ours to wait for").success());
    drop(echo);
    let drained = samples.sum("usher_tunnels_closed_total", &["drained"]);
    assert_eq!(drained, CONNECTIONS as f64);
}
