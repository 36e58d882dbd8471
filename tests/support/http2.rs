//! A client over HTTP/2 that does as it is told, on the `h2` crate.

use std::{future::poll_fn, net::SocketAddr};

use bytes::{Bytes, BytesMut};
use h2::{
    RecvStream, SendStream,
    client::{Builder, ResponseFuture, SendRequest},
};
use http::{HeaderMap, Request, Response};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

use super::{
    origin::PATIENCE,
    wire::{self, Wire},
};

/// A connection to usher.
pub struct Http2 {
    send: SendRequest<Bytes>,
    driver: Driver,
}

/// What moves the connection. Dropping it closes it.
struct Driver(JoinHandle<Result<(), h2::Error>>);

/// A request that has been sent.
pub struct Sent {
    pub answer: ResponseFuture,
    pub body: SendStream<Bytes>,
}

/// An answer as it reached the client.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
    pub trailers: Option<HeaderMap>,
}

/// What this test binary's clients ask by.
pub fn scheme() -> &'static str {
    if wire::TLS { "https" } else { "http" }
}

/// A request for `path`, as a browser would name it.
pub fn get(path: &str) -> Request<()> {
    asked("GET", path)
}

/// A request with `method` for `path`.
pub fn asked(method: &str, path: &str) -> Request<()> {
    let uri = format!("{}://shop.example{path}", scheme());
    Request::builder().method(method).uri(uri).body(()).expect("a request")
}

// === impl Http2 ===

impl Http2 {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::connect_with(address, &Builder::new()).await
    }

    /// A connection with settings of the test's own.
    pub async fn connect_with(address: SocketAddr, builder: &Builder) -> Self {
        Self::on(Wire::connect_http2(address).await, builder).await
    }

    /// A connection on `stream`.
    pub async fn on(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        builder: &Builder,
    ) -> Self {
        let (send, connection) = builder.handshake(stream).await.expect("a connection");
        Self { send, driver: Driver(tokio::spawn(connection)) }
    }

    /// Begins a request; its body, unless `ends`, is still to come.
    pub async fn begin(&mut self, request: Request<()>, ends: bool) -> Sent {
        let ready = tokio::time::timeout(PATIENCE, self.send.clone().ready());
        self.send = ready.await.expect("in time").expect("usher takes requests");
        let (answer, body) = self.send.send_request(request, ends).expect("a request");
        Sent { answer, body }
    }

    /// Begins a request without a body, unless usher takes none.
    pub async fn try_begin(&mut self, request: Request<()>) -> Result<Sent, h2::Error> {
        self.send = within(self.send.clone().ready()).await?;
        let (answer, body) = self.send.send_request(request, true)?;
        Ok(Sent { answer, body })
    }

    /// The answer to a GET of `path`.
    pub async fn get(&mut self, path: &str) -> Answer {
        self.ask(get(path)).await
    }

    /// The answer to a request without a body.
    pub async fn ask(&mut self, request: Request<()>) -> Answer {
        self.begin(request, true).await.answer().await
    }

    /// The answer to a request with a body.
    pub async fn send(&mut self, request: Request<()>, body: &[u8]) -> Answer {
        let mut sent = self.begin(request, false).await;
        sent.send(body, true).await;
        sent.answer().await
    }

    /// How many more requests usher lets be open.
    pub fn streams_max(&self) -> usize {
        self.send.current_max_send_streams()
    }

    /// Whether usher knows extended CONNECT.
    pub fn knows_extended_connect(&self) -> bool {
        self.send.is_extended_connect_protocol_enabled()
    }

    /// Waits until usher has ended the connection although this client would go on.
    pub async fn ended(&mut self) -> Result<(), h2::Error> {
        within(&mut self.driver.0).await.expect("no panic")
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

// === impl Sent ===

impl Sent {
    /// Sends a piece of the body.
    pub async fn send(&mut self, piece: &[u8], ends: bool) {
        let mut piece = Bytes::copy_from_slice(piece);
        while !piece.is_empty() {
            self.body.reserve_capacity(piece.len());
            let room = within(poll_fn(|cx| self.body.poll_capacity(cx))).await;
            let room = room.expect("the stream is open").expect("the stream is open");
            let part = piece.split_to(room.min(piece.len()));
            let last = ends && piece.is_empty();
            self.body.send_data(part, last).expect("the stream is open");
            if last {
                return;
            }
        }
        if ends {
            self.body.send_data(Bytes::new(), true).expect("the stream is open");
        }
    }

    /// Reads the answer to its end.
    pub async fn answer(self) -> Answer {
        self.try_answer().await.expect("an answer comes whole")
    }

    /// Reads the answer to its end, good or bad.
    pub async fn try_answer(self) -> Result<Answer, h2::Error> {
        let response = within(self.answer).await?;
        within(read(response)).await
    }
}

// === impl Answer ===

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let first = values.next().map(|value| value.to_str().expect("text"));
        assert!(values.next().is_none(), "{name} stands twice");
        first
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is text")
    }
}

async fn read(response: Response<RecvStream>) -> Result<Answer, h2::Error> {
    let (head, mut stream) = response.into_parts();
    let mut body = BytesMut::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?;
    let (status, headers) = (head.status.as_u16(), head.headers);
    Ok(Answer { status, headers, body: body.freeze(), trailers })
}

/// What `work` brings, in time.
pub async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work).await.expect("in time")
}
