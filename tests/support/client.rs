//! A client that says exactly what it is given, and reads what comes.

use std::{future::poll_fn, net::SocketAddr, pin::Pin, task::Poll};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

use super::{
    origin::PATIENCE,
    wire::{self, Wire},
};

/// What an answer says of its connection that is the last one on it: over HTTP/2 nothing.
pub const CLOSE: Option<&str> = if wire::HTTP2 { None } else { Some("close") };

/// A connection to usher.
pub struct Client {
    pub stream: Wire,
    buffer: Vec<u8>,
}

/// An answer as it reached the client.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// Whether the body ended as it said it would.
    pub whole: bool,
}

// === impl Client ===

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::on(Wire::connect(address).await)
    }

    /// Connects without TLS, whatever this test binary speaks elsewhere: to a port of usher's own.
    pub async fn plain(address: SocketAddr) -> Self {
        Self::on(Wire::Plain(TcpStream::connect(address).await.expect("usher accepts")))
    }

    /// A client that speaks on `stream`.
    pub fn on(stream: Wire) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("usher reads");
    }

    /// Sends as much of `bytes` as goes out at once.
    pub async fn try_send(&mut self, bytes: &[u8]) {
        let stream = &mut self.stream;
        poll_fn(|cx| {
            let _ = Pin::new(&mut *stream).poll_write(cx, bytes);
            Poll::Ready(())
        })
        .await;
    }

    /// Sends `bytes` again and again, until something comes.
    pub async fn flood(&mut self, bytes: &[u8]) {
        let Self { stream, buffer } = self;
        let mut room = [0; 1024];
        let flooding = poll_fn(|cx| {
            let mut read = ReadBuf::new(&mut room);
            if Pin::new(&mut *stream).poll_read(cx, &mut read).is_ready() {
                buffer.extend_from_slice(read.filled());
                return Poll::Ready(());
            }
            while let Poll::Ready(Ok(_)) = Pin::new(&mut *stream).poll_write(cx, bytes) {}
            Poll::Pending
        });
        tokio::time::timeout(PATIENCE, flooding).await.expect("something comes in time");
    }

    /// Sends a GET of `target`, and reads the answer.
    pub async fn get(&mut self, target: &str) -> Answer {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: shop.example\r\n\r\n")).await;
        self.answer().await
    }

    /// The next answer, whole or as far as it got.
    pub async fn answer(&mut self) -> Answer {
        let read = tokio::time::timeout(PATIENCE, self.try_answer(false));
        read.await.expect("an answer comes in time").expect("an answer comes")
    }

    /// The next answer, to a HEAD.
    pub async fn answer_to_head(&mut self) -> Answer {
        let read = tokio::time::timeout(PATIENCE, self.try_answer(true));
        read.await.expect("an answer comes in time").expect("an answer comes")
    }

    /// The next answer, or `None` when usher has closed; waits for ever.
    pub async fn try_answer(&mut self, to_head: bool) -> Option<Answer> {
        let mut answer = self.head().await?;
        let empty = to_head || answer.status == 204 || answer.status == 304;
        if empty || answer.status < 200 {
            answer.whole = true;
        } else if let Some(length) = answer.field("content-length") {
            let length: usize = length.parse().expect("a length is a number");
            while self.buffer.len() < length && self.fill().await.is_some() {}
            answer.whole = self.buffer.len() >= length;
            answer.body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else if answer.field("transfer-encoding").is_some() {
            answer.whole = self.chunks(&mut answer.body).await.is_some();
        } else {
            while self.fill().await.is_some() {}
            answer.body = std::mem::take(&mut self.buffer);
            answer.whole = true;
        }
        Some(answer)
    }

    /// The head of the next answer; its body stays to be read.
    pub async fn head(&mut self) -> Option<Answer> {
        let head = self.until(b"\r\n\r\n").await?;
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().expect("a status line");
        let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let field = |field: &str| {
            let (name, value) = field.split_once(':').expect("a field has a colon");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Some(Answer {
            status: status.expect("a status"),
            fields: lines.map(field).collect(),
            body: Vec::new(),
            whole: false,
        })
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> Option<()> {
        loop {
            let size = String::from_utf8(self.until(b"\r\n").await?).expect("text");
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size is hex");
            if size == 0 {
                // Trailers, if there are any.
                while self.until(b"\r\n").await? != b"\r\n" {}
                return Some(());
            }
            while self.buffer.len() < size + 2 {
                if self.fill().await.is_none() {
                    body.append(&mut self.buffer);
                    return None;
                }
            }
            body.extend(self.buffer.drain(..size));
            self.buffer.drain(..2);
        }
    }

    /// Everything up to and with `end`.
    pub async fn until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            let filled = tokio::time::timeout(PATIENCE, self.fill());
            filled.await.expect("something comes in time")?;
        }
    }

    /// The next `length` bytes; none when it ends before.
    pub async fn exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            let filled = tokio::time::timeout(PATIENCE, self.fill());
            filled.await.expect("something comes in time")?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    /// Waits until something has come, or usher has closed. What has come stays to be read.
    pub async fn hears(&mut self) {
        if self.buffer.is_empty() {
            self.fill().await;
        }
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap_or(0);
        (read > 0).then_some(())
    }

    /// Waits until usher has closed, or has answered as far as it will.
    pub async fn closed_or_answered(&mut self) {
        let read = async {
            loop {
                match self.try_answer(false).await {
                    Some(answer) if answer.status < 200 => {}
                    _ => return,
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("usher answers or closes in time");
    }

    /// Closes with a reset, of the stream where there is one.
    pub fn reset(self) {
        self.stream.take_back();
    }

    /// Waits until usher has closed, and returns what came before.
    pub async fn closed(&mut self) -> Vec<u8> {
        let closed = async { while self.fill().await.is_some() {} };
        tokio::time::timeout(PATIENCE, closed).await.expect("usher closes in time");
        std::mem::take(&mut self.buffer)
    }
}

// === impl Answer ===

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

/// Waits until nobody accepts at `address`.
pub async fn refused(address: SocketAddr) {
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, refused).await.expect("it closes in time");
}
