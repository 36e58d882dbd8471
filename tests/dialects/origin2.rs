//! An endpoint over HTTP/2 that does exactly as it is told.

#![allow(clippy::disallowed_methods, reason = "tests wait with patience, and have no wheel")]

use std::net::SocketAddr;

use bytes::Bytes;
use h2::{
    RecvStream, SendStream,
    server::{self, SendResponse},
};
use http::{HeaderMap, Response};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};

use crate::support::origin::PATIENCE;

/// Listens, and hands each connection to the test.
pub struct Origin2(TcpListener);

/// A connection from usher.
pub struct Trunk {
    requests: mpsc::Receiver<Asked>,
    leave: mpsc::Sender<()>,
    driver: JoinHandle<()>,
}

/// A request as it reached the endpoint.
pub struct Asked {
    pub head: http::request::Parts,
    pub body: RecvStream,
    pub answer: SendResponse<Bytes>,
}

// === impl Origin2 ===

impl Origin2 {
    pub async fn start() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").await.expect("a free port"))
    }

    pub fn address(&self) -> SocketAddr {
        self.0.local_addr().expect("it is bound")
    }

    pub fn endpoint(&self) -> String {
        self.address().to_string()
    }

    pub async fn accept_socket(&self) -> TcpStream {
        let accepted = timeout(PATIENCE, self.0.accept()).await;
        accepted.expect("usher connects in time").expect("accepts").0
    }

    pub async fn accept(&self) -> Trunk {
        Trunk::on(self.accept_socket().await, 100).await
    }

    /// The next connection, on which so many requests may be at once.
    pub async fn accept_for(&self, streams: u32) -> Trunk {
        Trunk::on(self.accept_socket().await, streams).await
    }

    /// The next connection, through which WebSockets pass.
    pub async fn accept_admitting(&self, streams: u32) -> Trunk {
        Trunk::over(self.accept_socket().await, streams, true).await
    }

    /// Whether nobody is waiting to be accepted.
    pub async fn is_quiet(&self) -> bool {
        let none = std::future::ready(());
        tokio::select! {
            biased;
            _ = self.0.accept() => false,
            () = none => true,
        }
    }
}

// === impl Trunk ===

impl Trunk {
    async fn on(socket: TcpStream, streams: u32) -> Self {
        Self::over(socket, streams, false).await
    }

    async fn over(socket: TcpStream, streams: u32, websockets: bool) -> Self {
        socket.set_nodelay(true).expect("no delay");
        let mut builder = server::Builder::new();
        builder.max_concurrent_streams(streams);
        if websockets {
            builder.enable_connect_protocol();
        }
        let mut connection = builder.handshake(socket).await.expect("hands are shaken");
        let (told, requests) = mpsc::channel(100);
        let (leave, mut left) = mpsc::channel(100);
        let driver = tokio::spawn(async move {
            loop {
                tokio::select! {
                    Some(()) = left.recv() => connection.graceful_shutdown(),
                    accepted = connection.accept() => match accepted {
                        Some(Ok((request, answer))) => {
                            let (head, body) = request.into_parts();
                            let _ = told.send(Asked { head, body, answer }).await;
                        }
                        Some(Err(_)) | None => return,
                    },
                }
            }
        });
        Self { requests, leave, driver }
    }

    /// The next request.
    pub async fn read(&mut self) -> Asked {
        let read = timeout(PATIENCE, self.requests.recv());
        read.await.expect("a request comes in time").expect("a request comes")
    }

    /// Says GOAWAY, and finishes what has come.
    pub fn leave(&self) {
        let _ = self.leave.try_send(());
    }

    /// Closes the connection without a word.
    pub fn cut(self) {
        self.driver.abort();
    }

    /// Waits until usher has closed.
    pub async fn closed(self) {
        timeout(PATIENCE, self.driver).await.expect("usher closes in time").expect("no panic");
    }
}

// === impl Asked ===

impl Asked {
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The whole body, and what comes behind it.
    pub async fn read(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut body = Vec::new();
        while let Some(data) = self.body.data().await {
            let data = data.expect("a whole body");
            let _ = self.body.flow_control().release_capacity(data.len());
            body.extend_from_slice(&data);
        }
        (body, self.body.trailers().await.expect("a whole body"))
    }

    /// Answers with this body.
    pub fn ok(mut self, body: &str) {
        let head = Response::builder().header("content-length", body.len());
        let head = head.body(()).expect("a head");
        let mut stream = self.answer.send_response(head, body.is_empty()).expect("usher reads");
        if !body.is_empty() {
            stream.send_data(Bytes::copy_from_slice(body.as_bytes()), true).expect("usher reads");
        }
    }

    /// Begins an answer with this head.
    pub fn begin(&mut self, head: Response<()>) -> SendStream<Bytes> {
        self.answer.send_response(head, false).expect("usher reads")
    }

    pub fn reset(mut self, reason: h2::Reason) {
        self.answer.send_reset(reason);
    }
}

/// A request of a client of HTTP/1.1.
pub fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: shop.example\r\n{more}\r\n")
}

/// SETTINGS without any, and GOAWAY: the last stream that was looked at is 0, and nothing is wrong.
pub const REFUSE_ALL: &[u8] =
    &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

/// Says `answer` on `socket` once a request has been sent there, and nothing else.
pub async fn answer_raw(mut socket: TcpStream, answer: &[u8]) {
    let mut preface = [0; 24];
    socket.read_exact(&mut preface).await.expect("a preface");
    loop {
        let mut head = [0; 9];
        socket.read_exact(&mut head).await.expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        socket.read_exact(&mut payload).await.expect("a whole frame");
        if head[3] == 1 {
            break;
        }
    }
    socket.write_all(answer).await.expect("usher reads");
    let _ = socket.read_to_end(&mut Vec::new()).await;
}
