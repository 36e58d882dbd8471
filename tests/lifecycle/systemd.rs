//! What systemd hands in and is told, with a test in its place.
//!
//! Transport: HTTP/1.1 in plain text; sockets are handed in whatever is spoken on them.

use std::{
    fs,
    net::TcpListener,
    os::{
        fd::OwnedFd,
        unix::{
            fs::PermissionsExt,
            net::{UnixDatagram, UnixListener},
        },
    },
    path::PathBuf,
    process::Command,
};

use rustix::process::{Pid, Signal, kill_process};

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

/// A process that is killed with this.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Puts what it has as its standard files where systemd puts sockets, and becomes the command.
const HAND_IN_THREE: &str = r#"exec 3<&0 4<&1 5<&2 </dev/null >/dev/null 2>"$LOG"
    LISTEN_PID=$$ exec "$0" "$@""#;

#[tokio::test]
async fn every_port_may_be_handed_in_and_all_of_them_at_once() {
    let shop = Shop::open("shop").await;
    let directory = tempfile::tempdir().expect("a directory");
    let sockets = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a port"));
    let [clients, control, metrics] =
        sockets.each_ref().map(|socket| socket.local_addr().expect("an address"));
    let text = config(&clients.to_string(), &shop.address.to_string())
        .replace("control: { bind: 127.0.0.1:0 }", &format!("control: {{ bind: {control} }}"))
        .replace("metrics: { bind: 127.0.0.1:0 }", &format!("metrics: {{ bind: {metrics} }}"));
    let (path, log) = (directory.path().join("usher.yaml"), directory.path().join("log"));
    fs::write(&path, text).expect("it can be written");
    let [first, second, third] = sockets.each_ref().map(|it| it.try_clone().expect("another"));
    let mut command = Command::new("sh");
    command.args(["-c", HAND_IN_THREE, env!("CARGO_BIN_EXE_usher"), "run", "--config"]).arg(path);
    command.env("LISTEN_FDS", "3").env("LISTEN_FDNAMES", "metrics:control:http").env("LOG", &log);
    // The order is systemd's own.
    command.stdin(OwnedFd::from(third)).stdout(OwnedFd::from(second)).stderr(OwnedFd::from(first));
    let mut usher = Child(command.spawn().expect("it runs"));
    let ready = async {
        // The system takes whoever comes before usher does.
        while Client::plain(metrics).await.get("/ready").await.status != 200 {}
    };
    let ready = tokio::time::timeout(PATIENCE, ready).await;
    ready.unwrap_or_else(|_| panic!("{}", fs::read_to_string(&log).unwrap_or_default()));
    let mut operator = Client::plain(control).await;
    operator.send("GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert_eq!(operator.answer().await.status, 200);
    assert_eq!(Client::connect(clients).await.get("/").await.status, 200);
    let pid = i32::try_from(usher.0.id()).ok().and_then(Pid::from_raw).expect("a process id");
    kill_process(pid, Signal::TERM).expect("it runs");
    gone(pid).await;
    assert_eq!(usher.0.wait().expect("it is ours").code(), Some(0));
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
