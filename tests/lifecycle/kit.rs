//! A monolith that serves whatever comes, WebSockets included, and clients of it.

use std::{
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UnixStream},
};

use crate::support::client::Client;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

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
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        if head.contains("upgrade: websocket") {
            return hold(socket).await;
        }
        served.fetch_add(1, Ordering::Relaxed);
        let audience = head.lines().find_map(|line| line.strip_prefix("x-audience: "));
        let body = format!("{name} for {}", audience.unwrap_or("nobody"));
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Holds a WebSocket until it is closed.
async fn hold(mut socket: TcpStream) {
    let agreed = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         {ACCEPT}\r\n\r\n"
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

/// The beginning of what is answered at the Unix socket of this path; of how connecting fails.
pub async fn over_unix(path: &Path) -> String {
    let mut stream = match UnixStream::connect(path).await {
        Ok(stream) => stream,
        Err(error) => return error.kind().to_string(),
    };
    let asked = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    stream.write_all(asked).await.expect("usher reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.chars().take(12).collect()
}

/// Answers the close that has come on an idle WebSocket, and hears it end.
pub async fn part(mut client: Client) {
    assert_eq!(client.exactly(4).await.expect("a close, and not an end"), SERVICE_RESTART);
    client.send(ANSWERED).await;
    assert!(client.closed().await.is_empty());
}
