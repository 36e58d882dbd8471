//! HTTP/1.1 spoken over HTTP/2: what a test says as bytes of HTTP/1.1 goes to usher as a request
//! over HTTP/2, and the answer comes back as those bytes. So a test that is written once holds for
//! both.
//!
//! It stands in the test's process and is as strict as the tests need: what cannot be said over
//! HTTP/2 is a panic, since such a test belongs to `http1`. One request at a time is under way.
//!
//! | HTTP/1.1 | HTTP/2 |
//! |---|---|
//! | the test drops its client | the connection ends |
//! | it resets | the stream is reset, and the connection ends in order |
//! | it closes its half | nothing in front of an answer; within a tunnel END_STREAM |
//! | usher closes | the stream was reset, or usher has left |

use std::{future::poll_fn, ops::ControlFlow, pin::pin};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes, BytesMut};
use h2::{
    Reason, RecvStream, SendStream,
    client::{ResponseFuture, SendRequest},
    ext::Protocol,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use sha1::{Digest, Sha1};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    net::TcpStream,
    task::{AbortHandle, JoinHandle},
};

use super::wire::Wire;

mod said;

use said::{Framing, Key, Said};

/// How much waits between the test and its connection.
const WAITING_BYTES_MAX: usize = 16 * 1024;

/// The test's side.
pub struct Gateway {
    pub near: DuplexStream,
    /// The connection's own socket, to be asked and told.
    pub socket: TcpStream,
    tasks: Vec<AbortHandle>,
}

/// What is spoken on behalf of the test.
struct Speaker {
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    /// What the test has said ahead.
    said: BytesMut,
    usher: SendRequest<Bytes>,
    driver: JoinHandle<()>,
}

// === impl Gateway ===

impl Gateway {
    /// On a connection that carries HTTP/2.
    pub async fn on(wire: Wire) -> Self {
        // Not for processes that the test starts.
        let socket = rustix::io::fcntl_dupfd_cloexec(&*wire, 0).expect("a descriptor");
        let socket = TcpStream::from_std(socket.into()).expect("a socket");
        let (usher, connection) = h2::client::handshake(wire).await.expect("a connection");
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        let (near, far) = tokio::io::duplex(WAITING_BYTES_MAX);
        let (reader, writer) = tokio::io::split(far);
        let driving = driver.abort_handle();
        let speaker = Speaker { reader, writer, said: BytesMut::new(), usher, driver };
        let speaking = tokio::spawn(speaker.speak()).abort_handle();
        Self { near, socket, tasks: vec![speaking, driving] }
    }

    /// Takes back what was asked, and lets the connection end in order.
    pub fn take_back(mut self) {
        let driving = self.tasks.pop();
        drop(self);
        drop(driving);
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

// === impl Speaker ===

impl Speaker {
    async fn speak(mut self) {
        while let Some(head) = self.head().await {
            if self.ask(&head).await.is_break() {
                break;
            }
        }
        // The test reads an end; what was asked is taken back with the handles.
        let _ = self.writer.shutdown().await;
    }

    /// The next head; `None` once the test has said all, or usher has left.
    async fn head(&mut self) -> Option<String> {
        loop {
            let end = self.said.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.said.split_to(end + 4);
                let head = head.iter().map(|&byte| char::from(byte)).collect();
                return Some(head);
            }
            let Self { reader, said, driver, .. } = self;
            let read = tokio::select! {
                biased;
                read = reader.read_buf(said) => read.ok()?,
                _ = driver => return None,
            };
            if read == 0 {
                return None;
            }
        }
    }

    /// Asks for what `head` says; whether another may follow on the connection.
    async fn ask(&mut self, head: &str) -> ControlFlow<()> {
        let Said { mut request, framing, key, is_last } = said::read(head);
        if key.is_some() {
            while !self.usher.is_extended_connect_protocol_enabled() {
                if self.driver.is_finished() {
                    return ControlFlow::Break(());
                }
                tokio::task::yield_now().await;
            }
            request.extensions_mut().insert(Protocol::from_static("websocket"));
        }
        let head_only = request.method() == Method::HEAD;
        let Ok(usher) = self.usher.clone().ready().await else { return ControlFlow::Break(()) };
        self.usher = usher;
        let ends = framing == Framing::Length(0) && key.is_none();
        let sent = self.usher.send_request(request, ends);
        let Ok((answer, mut body)) = sent else { return ControlFlow::Break(()) };
        let Self { reader, writer, said, .. } = self;
        let key = match key {
            None => {
                let upload = async {
                    match ends || upload(reader, said, framing, &mut body).await.is_some() {
                        true => true,
                        false => {
                            body.send_reset(Reason::CANCEL);
                            false
                        }
                    }
                };
                let ended = converse(upload, answer_to(writer, answer, head_only)).await;
                return if is_last { ControlFlow::Break(()) } else { ended };
            }
            Some(key) => key,
        };
        let Some(switched) = switch(writer, answer, &key, &mut body).await else {
            return ControlFlow::Break(());
        };
        let Some(mut from) = switched else { return ControlFlow::Continue(()) };
        let up = async {
            while !said.is_empty() || reader.read_buf(said).await.unwrap_or(0) > 0 {
                send(&mut body, said.split().freeze(), false).await?;
            }
            send(&mut body, Bytes::new(), true).await
        };
        let down = async {
            while let Some(Ok(data)) = from.data().await {
                let _ = from.flow_control().release_capacity(data.len());
                writer.write_all(&data).await.ok()?;
            }
            writer.shutdown().await.ok()
        };
        tokio::join!(up, down);
        ControlFlow::Break(())
    }
}

/// Uploads while the answer is read, which may end first; whether both ended whole.
async fn converse(
    upload: impl Future<Output = bool>,
    answer: impl Future<Output = Option<()>>,
) -> ControlFlow<()> {
    let (mut upload, mut answer) = (pin!(upload), pin!(answer));
    let mut uploaded = None;
    let answered = loop {
        tokio::select! {
            biased;
            ended = &mut upload, if uploaded.is_none() => uploaded = Some(ended),
            answered = &mut answer => break answered,
        }
    };
    match answered.is_some() && uploaded == Some(true) {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    }
}

/// Sends the body of a request on; `None` when the test, or usher, broke it off.
async fn upload(
    reader: &mut ReadHalf<DuplexStream>,
    said: &mut BytesMut,
    framing: Framing,
    body: &mut SendStream<Bytes>,
) -> Option<()> {
    if let Framing::Length(mut left) = framing {
        while left > 0 {
            while said.is_empty() {
                fill(reader, said).await?;
            }
            let piece = said.split_to(left.min(said.len())).freeze();
            left -= piece.len();
            send(body, piece, left == 0).await?;
        }
        return Some(());
    }
    loop {
        let size = line(reader, said).await?;
        let size = usize::from_str_radix(&size, 16);
        let size = size.unwrap_or_else(|_| panic!("HTTP/2 cannot say a chunk that is none"));
        if size == 0 {
            break;
        }
        let mut left = size;
        while left > 0 {
            while said.is_empty() {
                fill(reader, said).await?;
            }
            let piece = said.split_to(left.min(said.len())).freeze();
            left -= piece.len();
            send(body, piece, false).await?;
        }
        assert_eq!(line(reader, said).await?, "", "HTTP/2 cannot say a chunk that is none");
    }
    let mut trailers = HeaderMap::new();
    loop {
        let line = line(reader, said).await?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(':').expect("a field");
        let name: HeaderName = name.parse().expect("a name");
        trailers.append(name, value.trim().parse().expect("a value"));
    }
    match trailers.is_empty() {
        true => send(body, Bytes::new(), true).await,
        false => body.send_trailers(trailers).ok(),
    }
}

async fn line(reader: &mut ReadHalf<DuplexStream>, said: &mut BytesMut) -> Option<String> {
    loop {
        if let Some(end) = said.windows(2).position(|window| window == b"\r\n") {
            let line = said.split_to(end);
            said.advance(2);
            return Some(String::from_utf8_lossy(&line).into_owned());
        }
        fill(reader, said).await?;
    }
}

async fn fill(reader: &mut ReadHalf<DuplexStream>, said: &mut BytesMut) -> Option<()> {
    let read = reader.read_buf(said).await.unwrap_or(0);
    (read > 0).then_some(())
}

/// Sends `piece` as usher makes room for it; `None` when it takes no more.
async fn send(body: &mut SendStream<Bytes>, mut piece: Bytes, ends: bool) -> Option<()> {
    while !piece.is_empty() {
        body.reserve_capacity(piece.len());
        let room = poll_fn(|cx| body.poll_capacity(cx)).await?.ok()?;
        let part = piece.split_to(room.min(piece.len()));
        let last = ends && piece.is_empty();
        body.send_data(part, last).ok()?;
        if last {
            return Some(());
        }
    }
    if ends { body.send_data(Bytes::new(), true).ok() } else { Some(()) }
}

/// Writes the answer as HTTP/1.1 has it; `None` when it broke off.
async fn answer_to(
    writer: &mut WriteHalf<DuplexStream>,
    mut answer: ResponseFuture,
    head_only: bool,
) -> Option<()> {
    let response = final_answer(writer, &mut answer).await?;
    pass_on(writer, response, head_only).await
}

/// The answer, behind those with 1xx.
async fn final_answer(
    writer: &mut WriteHalf<DuplexStream>,
    answer: &mut ResponseFuture,
) -> Option<Response<RecvStream>> {
    while let Some(interim) = poll_fn(|cx| answer.poll_informational(cx)).await {
        let interim = interim.ok()?;
        write_head(writer, interim.status(), interim.headers(), "").await?;
    }
    answer.await.ok()
}

async fn pass_on(
    writer: &mut WriteHalf<DuplexStream>,
    response: Response<RecvStream>,
    head_only: bool,
) -> Option<()> {
    let (head, mut body) = response.into_parts();
    let empty = head_only || head.status == 204 || head.status == 304;
    let chunked = !empty && !head.headers.contains_key("content-length");
    let framing = if chunked { "transfer-encoding: chunked\r\n" } else { "" };
    write_head(writer, head.status, &head.headers, framing).await?;
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        if chunked && !data.is_empty() {
            writer.write_all(format!("{:x}\r\n", data.len()).as_bytes()).await.ok()?;
        }
        writer.write_all(&data).await.ok()?;
        let _ = body.flow_control().release_capacity(data.len());
        if chunked && !data.is_empty() {
            writer.write_all(b"\r\n").await.ok()?;
        }
    }
    let trailers = body.trailers().await.ok()?.unwrap_or_default();
    if chunked {
        let trailers = lines(&trailers);
        writer.write_all(&[&b"0\r\n"[..], &trailers, b"\r\n"].concat()).await.ok()?;
    }
    Some(())
}

/// The answer to a handshake: what comes through the tunnel if it was agreed to, nothing if it was
/// not and the answer has been passed on.
async fn switch(
    writer: &mut WriteHalf<DuplexStream>,
    mut answer: ResponseFuture,
    key: &Key,
    body: &mut SendStream<Bytes>,
) -> Option<Option<RecvStream>> {
    let response = final_answer(writer, &mut answer).await?;
    if response.status() != StatusCode::OK {
        pass_on(writer, response, false).await?;
        body.send_reset(Reason::CANCEL);
        return Some(None);
    }
    let (head, from) = response.into_parts();
    let more = format!(
        "connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: {}\r\n",
        accept(&key.0)
    );
    write_head(writer, StatusCode::SWITCHING_PROTOCOLS, &head.headers, &more).await?;
    Some(Some(from))
}

async fn write_head(
    writer: &mut WriteHalf<DuplexStream>,
    status: StatusCode,
    headers: &HeaderMap,
    more: &str,
) -> Option<()> {
    let line = format!("HTTP/1.1 {} -\r\n", status.as_str());
    let head = [line.as_bytes(), &lines(headers), more.as_bytes(), b"\r\n"].concat();
    writer.write_all(&head).await.ok()
}

fn lines(headers: &HeaderMap) -> Vec<u8> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
    };
    headers.iter().flat_map(line).collect()
}

/// What agrees to a handshake with this key (RFC 6455 §1.3).
pub fn accept(key: &str) -> String {
    const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}
