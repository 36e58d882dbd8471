//! `usher demo` and `usher run --upstream`, as somebody starts them who has nothing but usher.

#![allow(clippy::unwrap_used)]

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Command, Output},
};

use regex::Regex;

/// Runs `usher` with `arguments` and without the configuration of whoever runs the tests.
fn usher(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_usher"));
    command.args(arguments).env_remove("USHER_CONFIG").env_remove("USHER_LOG");
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A loopback address that only this process uses.
fn own_address() -> Ipv4Addr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, 100 + high, middle, low.clamp(2, 254))
}

/// Every `127.0.0.1:PORT` in `text`.
fn addresses(text: &str) -> Vec<SocketAddr> {
    let address = Regex::new(r"127\.0\.0\.1:\d+").unwrap();
    address.find_iter(text).map(|found| found.as_str().parse().unwrap()).collect()
}

#[test]
fn a_demo_of_two_seconds_adds_up_and_leaves_nothing_behind() {
    let output = usher(&["demo", "--for", "2s"]);
    let (told, log) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{:?}\n{told}\n{log}", output.status);
    assert!(told.contains("The counters of /metrics add up: "), "{told}");
    assert!(!told.contains('\u{1b}'), "escape codes without a terminal:\n{told}");
    let row = Regex::new(r"(?m)^(admin|driver|restaurant|customer) +(\d+) +(\d+) ").unwrap();
    let rows: Vec<_> = row.captures_iter(&told).collect();
    assert_eq!(rows.len(), 4, "{told}");
    for row in rows {
        let (sent, counted): (u64, u64) = (row[2].parse().unwrap(), row[3].parse().unwrap());
        assert!(sent > 0, "{} did not ask\n{told}", &row[1]);
        assert_eq!(sent, counted, "{}\n{told}", &row[1]);
    }
    let addresses = addresses(&told);
    assert!(addresses.len() >= 3, "{told}");
    for address in addresses {
        assert!(TcpStream::connect(address).is_err(), "{address} is still open");
    }
}

#[test]
fn two_demos_at_once_find_ports_for_both() {
    let (one, other) = std::thread::scope(|scope| {
        let run = || usher(&["demo", "--for", "1s"]);
        let (one, other) = (scope.spawn(run), scope.spawn(run));
        (one.join().unwrap(), other.join().unwrap())
    });
    for output in [&one, &other] {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let first = |output: &Output| addresses(&text(&output.stdout))[0];
    assert_ne!(first(&one), first(&other));
}

#[test]
fn the_demos_configuration_is_one_to_start_from() {
    let output = usher(&["demo", "--print-config"]);
    assert!(output.status.success());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("usher.yaml");
    std::fs::write(&file, &output.stdout).unwrap();
    let checked = usher(&["check", "--config", file.to_str().unwrap()]);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
}

#[test]
fn a_port_that_is_taken_is_named_with_what_to_do() {
    let address = own_address();
    let bind = address.to_string();
    let taken = TcpListener::bind((address, 9900)).unwrap();
    let output = usher(&["run", "--upstream", "127.0.0.1:1", "--bind", &bind]);
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert!(log.contains(&taken.local_addr().unwrap().to_string()), "{log}");
    assert!(log.contains("--bind"), "{log}");
}

#[test]
fn an_upstream_that_is_no_address_is_wrong() {
    let output = usher(&["run", "--upstream", "127.0.0.1:http"]);
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
}
