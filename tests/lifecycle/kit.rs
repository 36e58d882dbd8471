//! A monolith that serves whatever comes, WebSockets included, and clients of it.

use std::{
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::support::{
    binary::{PORTS, lives},
    client::Client,
    gateway::accept,
    origin::PATIENCE,
    usher::listener_tls,
    wire,
};

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// The close that usher sends.
pub const SERVICE_RESTART: [u8; 4] = [0x88, 2, 0x03, 0xf4];

/// What a client answers, with a mask of zeros.
const ANSWERED: [u8; 8] = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xf4];

/// A monolith that says its name, and opens every WebSocket.
#[derive(Clone)]
pub struct Shop {
    pub address: SocketAddr,
    served: Arc<AtomicU64>,
}

// === impl Shop ===

impl Shop {
    /// Starts it; each answer says `name`, and what audience the request came with.
    pub async fn open(name: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let served = Arc::new(AtomicU64::new(0));
        let counted = served.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, name, counted.clone()));
            }
        });
        Self { address, served }
    }

    /// How many requests it has answered, those for WebSockets aside.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }
}

async fn serve(mut socket: TcpStream, name: &str, served: Arc<AtomicU64>) {
    let mut buffer = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if socket.read_buf(&mut buffer).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head: Vec<u8> = buffer.drain(..end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
        };
        if let Some(key) = field("sec-websocket-key") {
            return hold(socket, key).await;
        }
        served.fetch_add(1, Ordering::Relaxed);
        let body = format!("{name} for {}", field("x-audience").unwrap_or("nobody"));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Agrees to the handshake with `key`, and holds the WebSocket until it is closed.
async fn hold(mut socket: TcpStream, key: &str) {
    let agreed = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    );
    let _ = socket.write_all(agreed.as_bytes()).await;
    let mut frame = [0; 8];
    // Nothing else comes on these than the close of who leaves: 1001, with a mask.
    if socket.read_exact(&mut frame).await.is_ok() {
        let close = [0x88, 2, frame[6] ^ frame[2], frame[7] ^ frame[3]];
        let _ = socket.write_all(&close).await;
    }
}

/// A WebSocket that is open and idle.
pub async fn open_socket(address: SocketAddr) -> Client {
    let mut client = Client::connect(address).await;
    let asked = format!(
        "GET /cable HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n{KEY}\r\n\r\n"
    );
    client.send(asked).await;
    assert_eq!(client.head().await.expect("an answer").status, 101);
    client
}

/// Answers the close that has come on an idle WebSocket, and hears it end.
pub async fn part(mut client: Client) {
    assert_eq!(client.exactly(4).await.expect("a close, and not an end"), SERVICE_RESTART);
    client.send(ANSWERED).await;
    assert!(client.closed().await.is_empty());
}

/// What a listener of this test binary says, so that clients may speak HTTP/2 there.
pub fn spoken() -> String {
    if wire::TLS { listener_tls() } else { ", h2c: on".to_owned() }
}

/// [`PORTS`], and clients may speak HTTP/2 there, as this test binary does.
pub fn ports_with_http2() -> String {
    PORTS.replacen("bind: 127.0.0.1:0", &format!("bind: 127.0.0.1:0{}", spoken()), 1)
}

/// Puts standard input where systemd puts the first socket, says so, and becomes the command.
const HAND_IN: &str = r#"exec 3<&0 </dev/null; LISTEN_PID=$$ exec "$0" "$@""#;

/// A command that starts `program` with `socket` handed in.
pub fn handed(program: &Path, socket: &impl AsFd) -> Command {
    let socket: OwnedFd = socket.as_fd().try_clone_to_owned().expect("a descriptor");
    let mut command = Command::new("sh");
    command.args(["-c", HAND_IN]).arg(program).stdin(socket);
    command.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", "http");
    command
}

/// Waits until `pid` has ended.
pub async fn gone(pid: Pid) {
    let gone = async {
        while lives(pid) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.expect("it ends in time");
}

/// Stops `pid` at once.
pub async fn stopped(pid: Pid) {
    kill_process(pid, Signal::TERM).expect("it runs");
    kill_process(pid, Signal::INT).expect("it runs");
    gone(pid).await;
}
