//! What systemd hands in and is told, with a test in its place.
//!
//! Transport: HTTP/1.1 in plain text; sockets are handed in whatever is spoken on them.

use std::{
    fs,
    net::TcpListener,
    os::unix::{
        fs::PermissionsExt,
        net::{UnixDatagram, UnixListener},
    },
    path::PathBuf,
    process::Command,
};

use rustix::process::{Signal, kill_process};

use crate::{
    kit::{Shop, gone, handed},
    support::{binary::Binary, client::Client, origin::PATIENCE},
    unix::over_unix,
};

/// A configuration with one listener at `address`.
fn config(address: &str, endpoint: &str) -> String {
    format!(
        "listeners: [{{ bind: \"{address}\" }}]\n\
         control: {{ bind: 127.0.0.1:0 }}\nmetrics: {{ bind: 127.0.0.1:0 }}\n\
         access_log: off\nworkers: 1\n\
         drain: {{ grace: 0s, requests: 10s, tunnels: 2s }}\n\
         audiences: [{{ name: everyone, pool: rails }}]\n\
         pools: {{ rails: {{ endpoints: [{endpoint}], capacity: 5 }} }}\n"
    )
}

/// What the manager of services hears.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: tempfile::TempDir,
}

// === impl Manager ===

impl Manager {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        Self { socket, path, _directory: directory }
    }

    /// The next thing it hears that is no sign of life.
    fn hears(&self) -> String {
        loop {
            let mut datagram = [0; 4096];
            let read = self.socket.recv(&mut datagram).expect("something is said in time");
            let text = String::from_utf8_lossy(&datagram[..read]).into_owned();
            if text != "WATCHDOG=1\n" {
                return text;
            }
        }
    }
}

#[tokio::test]
async fn a_socket_that_is_handed_in_is_the_listeners_and_stays_open_when_usher_has_gone() {
    let shop = Shop::open("shop").await;
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    let text = config(&address.to_string(), &shop.address.to_string());
    let first = Binary::start_by(&text, |program| handed(program, &socket)).await;
    let mut first = first.expect("it starts");
    assert_eq!(first.clients, address);
    assert_eq!(Client::connect(address).await.get("/").await.status, 200);
    first.signal(Signal::TERM);
    assert_eq!(first.ended().code(), Some(0), "{}", first.log());
    // The system takes it, and whoever comes next serves it.
    let mut waiting = Client::connect(address).await;
    waiting.send("GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n").await;
    let second = Binary::start_by(&text, |program| handed(program, &socket)).await;
    let mut second = second.expect("it starts");
    assert_eq!(waiting.answer().await.status, 200);
    second.signal(Signal::TERM);
    assert_eq!(second.ended().code(), Some(0), "{}", second.log());
}

#[tokio::test]
async fn unix_sockets_are_handed_in_as_well_and_their_files_are_systemds() {
    let shop = Shop::open("shop").await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("usher.sock");
    let socket = UnixListener::bind(&path).expect("a socket");
    let text = format!(
        "listeners: [{{ bind: 127.0.0.1:0 }}, {{ bind: \"unix:{}\" }}]\n{}",
        path.display(),
        config("x", &shop.address.to_string()).split_once('\n').expect("lines").1
    );
    let started = Binary::start_by(&text, |program| handed(program, &socket)).await;
    let mut usher = started.expect("it starts");
    assert_eq!(over_unix(&path).await, "HTTP/1.1 200");
    let heir = usher.upgrade().expect("the same binary serves");
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    assert_eq!(over_unix(&path).await, "HTTP/1.1 200");
    kill_process(heir, Signal::TERM).expect("it runs");
    gone(heir).await;
    assert!(path.exists(), "whoever has made it takes it away");
}

#[tokio::test]
async fn a_control_socket_of_systemds_that_everybody_may_use_asks_for_tokens() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    let socket = UnixListener::bind(&path).expect("a socket");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).expect("it is ours");
    let control = format!("control: {{ bind: \"unix:{}\" }}", path.display());
    let text = config("127.0.0.1:0", "127.0.0.1:1");
    let text = text.replace("control: { bind: 127.0.0.1:0 }", &control);
    let started = Binary::start_by(&text, |program| handed(program, &socket)).await;
    let log = started.err().expect("it does not start");
    assert!(log.contains("it asks for no token, and everybody on this machine may"), "{log}");
}

#[tokio::test]
async fn a_socket_that_nobody_would_serve_is_an_error() {
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = socket.local_addr().expect("an address");
    let text = config("127.0.0.1:0", "127.0.0.1:1");
    let started = Binary::start_by(&text, |program| handed(program, &socket)).await;
    let log = started.err().expect("it does not start");
    let wanted = format!(
        "the socket on {address} (http) was handed in (LISTEN_FDS), and neither a listener nor \
         control nor metrics has that address"
    );
    assert!(log.contains(&wanted), "{log}");
}

#[tokio::test]
async fn the_manager_of_services_is_told_how_far_usher_is() {
    let manager = Manager::new();
    let shop = Shop::open("shop").await;
    let text = config("127.0.0.1:0", &shop.address.to_string());
    let path = manager.path.clone();
    let started = Binary::start_by(&text, |program| {
        let mut command = Command::new(program);
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", "200000");
        command
    });
    let mut usher = started.await.expect("it starts");
    assert_eq!(manager.hears(), "READY=1\n");
    let mut datagram = [0; 64];
    let read = manager.socket.recv(&mut datagram).expect("a sign of life");
    assert_eq!(&datagram[..read], b"WATCHDOG=1\n");
    usher.signal(Signal::HUP);
    let reloading = manager.hears();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(manager.hears(), "READY=1\n");
    let heir = usher.upgrade().expect("the same binary serves");
    let (mut told, main) = (Vec::new(), format!("MAINPID={}\n", heir.as_raw_nonzero()));
    // The new process is ready before or after the old one has said that it is the main one.
    told.extend([manager.hears(), manager.hears()]);
    told.sort();
    assert_eq!(told, [main, "READY=1\n".to_owned()]);
    assert_eq!(usher.first_ended().await.code(), Some(0), "{}", usher.log());
    rustix::process::kill_process(heir, Signal::TERM).expect("it runs");
    assert_eq!(manager.hears(), "STOPPING=1\n");
}

#[test]
fn systemd_understands_the_units() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/systemd");
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        // `tests/run` installs it; without it the units are only read.
        for unit in ["usher.service", "usher.socket"] {
            let text = std::fs::read_to_string(format!("{folder}/{unit}")).expect("it is there");
            assert!(text.contains("[Install]"), "{unit}");
        }
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    for unit in ["usher.service", "usher.socket"] {
        let text = std::fs::read_to_string(format!("{folder}/{unit}")).expect("it is there");
        // The binary need not be installed here.
        let text = text.replace("/usr/local/bin/usher", env!("CARGO_BIN_EXE_usher"));
        std::fs::write(directory.path().join(unit), text).expect("it can be written");
    }
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no"])
        .args(["usher.service", "usher.socket"].map(|unit| directory.path().join(unit)))
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("usher.")).collect();
    assert!(verified.status.success() && ours.is_empty(), "{said}");
}
