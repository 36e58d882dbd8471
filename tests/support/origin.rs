//! A monolith that does exactly as it is told.

use std::{net::SocketAddr, time::Duration};

use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// How long anything in a test may take before the test fails rather than hangs.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Listens, and hands each connection to the test.
pub struct Origin {
    listener: TcpListener,
}

/// A port that nobody else can have, and that refuses connections.
pub struct Closed(Socket);

/// A connection from usher.
pub struct Line {
    pub stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request as it reached the origin.
#[derive(Debug)]
pub struct Asked {
    /// The request line.
    pub line: String,
    /// The fields, names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// The fields after a chunked body, as they came.
    pub trailers: String,
}

// === impl Origin ===

impl Origin {
    pub async fn start() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("a free port") }
    }

    /// Origins at 127.0.0.1, 127.0.0.2 and so on that have one port, as what a name stands for has.
    pub async fn start_alike(count: u8) -> Vec<Self> {
        'another: loop {
            let mut origins = vec![Self::start().await];
            let port = origins[0].address().port();
            for last in 2..=count {
                let address = SocketAddr::from(([127, 0, 0, last], port));
                let Ok(listener) = TcpListener::bind(address).await else { continue 'another };
                origins.push(Self { listener });
            }
            return origins;
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("it is bound")
    }

    pub fn endpoint(&self) -> String {
        self.address().to_string()
    }

    /// The next connection, however long it takes.
    pub async fn accept_for_ever(&self) -> Line {
        let (stream, _) = self.listener.accept().await.expect("accepts");
        stream.set_nodelay(true).expect("no delay");
        Line { stream, buffer: Vec::new() }
    }

    /// The next connection.
    pub async fn accept(&self) -> Line {
        let accepted = tokio::time::timeout(PATIENCE, self.listener.accept());
        let (stream, _) = accepted.await.expect("usher connects in time").expect("accepts");
        stream.set_nodelay(true).expect("no delay");
        Line { stream, buffer: Vec::new() }
    }

    /// The next connection, however long it takes; `None` when there can be none.
    pub async fn try_accept(&self) -> Option<Line> {
        let (stream, _) = self.listener.accept().await.ok()?;
        Some(Line { stream, buffer: Vec::new() })
    }

    /// Answers every request on every connection with what `answer` says, for ever.
    pub fn serve(self, answer: impl Fn(&Asked) -> Vec<u8> + Send + Sync + 'static) {
        let answer = std::sync::Arc::new(answer);
        tokio::spawn(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let mut line = Line { stream, buffer: Vec::new() };
                    while let Some(asked) = line.try_read().await {
                        if line.stream.write_all(&answer(&asked)).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
    }
}

// === impl Closed ===

impl Closed {
    pub fn bind() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).expect("a free port");
        Self(socket)
    }

    pub fn endpoint(&self) -> String {
        let address = self.0.local_addr().expect("it is bound");
        address.as_socket().expect("an IP address").to_string()
    }

    /// Takes no connection any more and refuses none: whoever connects hears nothing, as behind
    /// a wall that swallows packets. The connections that fill it are given back.
    pub fn swallow(&self) -> Vec<Socket> {
        self.0.listen(0).expect("it listens");
        let address = self.0.local_addr().expect("it is bound");
        let connect = || {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.connect_timeout(&address, Duration::from_millis(200)).map(|()| socket)
        };
        std::iter::from_fn(|| connect().ok()).collect()
    }

    /// Listens from now on.
    pub fn open(self) -> Origin {
        self.0.listen(128).expect("it listens");
        self.0.set_nonblocking(true).expect("it can be told");
        Origin { listener: TcpListener::from_std(self.0.into()).expect("a listener") }
    }
}

// === impl Line ===

impl Line {
    /// The next request, whole.
    pub async fn read(&mut self) -> Asked {
        let read = tokio::time::timeout(PATIENCE, self.try_read());
        read.await.expect("a request comes in time").expect("a request comes")
    }

    /// The next request, or `None` when usher has closed.
    pub async fn try_read(&mut self) -> Option<Asked> {
        let head = self.read_until(b"\r\n\r\n").await?;
        let head = String::from_utf8(head).expect("a head is text");
        let mut lines = head.trim_end().split("\r\n");
        let line = lines.next().expect("a request line").to_owned();
        let fields: Vec<(String, String)> = lines
            .map(|field| {
                let (name, value) = field.split_once(':').expect("a field has a colon");
                (name.to_ascii_lowercase(), value.trim().to_owned())
            })
            .collect();
        let mut asked = Asked { line, fields, body: Vec::new(), trailers: String::new() };
        if let Some(length) = asked.field("content-length") {
            let length = length.parse().expect("a length is a number");
            asked.body = self.read_exactly(length).await?;
        } else if asked.field("transfer-encoding").is_some() {
            self.read_chunks(&mut asked).await?;
        }
        Some(asked)
    }

    async fn read_chunks(&mut self, asked: &mut Asked) -> Option<()> {
        loop {
            let size = String::from_utf8(self.read_until(b"\r\n").await?).expect("text");
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size is hex");
            if size == 0 {
                break;
            }
            asked.body.extend(self.read_exactly(size).await?);
            self.read_exactly(2).await?;
        }
        loop {
            let trailer = String::from_utf8(self.read_until(b"\r\n").await?).expect("text");
            if trailer == "\r\n" {
                return Some(());
            }
            asked.trailers += &trailer;
        }
    }

    pub async fn read_until(&mut self, end: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Some(self.buffer.drain(..at + end.len()).collect());
            }
            self.fill().await?;
        }
    }

    pub async fn read_exactly(&mut self, length: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Some(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> Option<()> {
        let read = self.stream.read_buf(&mut self.buffer).await.unwrap_or(0);
        (read > 0).then_some(())
    }

    pub async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("usher reads");
    }

    /// Bytes that came behind what has been read.
    pub fn ahead(&self) -> usize {
        self.buffer.len()
    }

    /// Writes as much as usher takes before it closes.
    pub async fn try_write(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Waits until usher has closed.
    pub async fn closed(mut self) {
        let closed = async { while self.fill().await.is_some() {} };
        tokio::time::timeout(PATIENCE, closed).await.expect("usher closes in time");
    }

    /// Closes with a reset.
    pub fn reset(self) {
        let stream = self.stream.into_std().expect("a plain socket");
        let socket = socket2::Socket::from(stream);
        socket.set_linger(Some(Duration::ZERO)).expect("lingers");
    }
}

// === impl Asked ===

impl Asked {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter().filter(|(known, _)| known == name);
        let found = fields.next().map(|(_, value)| &**value);
        assert!(fields.next().is_none(), "{name} stands twice");
        found
    }

    pub fn target(&self) -> &str {
        self.line.split(' ').nth(1).expect("a target")
    }
}

/// An answer with a body of known length.
pub fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
