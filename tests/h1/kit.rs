//! One connection with a service behind it, and a client that speaks bytes.
#![expect(clippy::disallowed_methods, reason = "a test that hangs must end")]

use std::{
    collections::VecDeque,
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinHandle,
};
use usher::{
    body::Body,
    deadline::Wheel,
    drain::{self, Drainer},
    edge::{
        Stream,
        h1::{self, Rules},
    },
    fault::Fault,
    peer::Peer,
    proxy::{Arrival, End, Incoming, Refusal, Settling},
    tls::{Certificate, Server, ServerSpec, UnknownName, Version},
};

use crate::support::{
    authority,
    wire::{self, Wire},
};

/// Everything that could go wrong here has gone wrong long before.
const PATIENCE: Duration = Duration::from_secs(120);

type Answering = Pin<Box<dyn Future<Output = Result<Response<Settling>, Infallible>> + Send>>;

/// What happened behind the door.
#[derive(Clone, Default)]
pub struct Book(Arc<Mutex<Pages>>);

#[derive(Default)]
struct Pages {
    requests: Vec<Seen>,
    faults: Vec<Fault>,
    refusals: Vec<Refused>,
    ends: Vec<End>,
}

/// A request that reached the service.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    pub line: String,
    pub headers: HeaderMap,
    pub body: Result<Vec<u8>, Fault>,
    pub trailers: Option<HeaderMap>,
}

/// A head that did not become a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Refused {
    pub fault: Fault,
    pub method: Option<String>,
    pub host: Option<String>,
    pub path: Option<String>,
}

/// A connection that is being served.
pub struct Served {
    pub client: Wire,
    pub book: Book,
    pub drainer: Drainer,
    pub task: JoinHandle<()>,
}

/// A service out of a closure.
pub struct Told<F>(F, Book);

/// Reads the body, notes everything, and answers `ok`.
pub async fn serve() -> Served {
    serve_with(Rules::default(), |request, book| async move { echo(request, &book).await }).await
}

/// As [`serve`], with `rules`.
pub async fn serve_by(rules: Rules) -> Served {
    serve_with(rules, |request, book| async move { echo(request, &book).await }).await
}

/// Serves one connection with `answer`.
pub async fn serve_with<F, A>(rules: Rules, answer: F) -> Served
where
    F: Fn(Request<Body>, Book) -> A + Send + Sync + Clone + 'static,
    A: Future<Output = Response<Settling>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let local = listener.local_addr().expect("an address");
    let (client, accepted) = tokio::join!(TcpStream::connect(local), listener.accept());
    let (socket, address) = accepted.expect("a connection");
    let client = client.expect("a connection");
    client.set_nodelay(true).expect("an option");
    let (client, stream) = match wire::TLS {
        true => tokio::join!(Wire::shake_hands(client), shake_hands(socket)),
        false => (Wire::Plain(client), Stream::plain(socket)),
    };
    let (address, listener) = (Some(address), local.into());
    let peer = Peer { address, local: Some(local), listener, trusted: false, tls: None };
    let peer = Arc::new(peer);
    let (drainer, drain) = drain::channel();
    let book = Book::default();
    let service = Told(answer, book.clone());
    let rules = Arc::new(rules);
    let serving = h1::serve(stream, peer, rules, Wheel::start(), drain, service);
    let task = tokio::spawn(async move {
        assert!(serving.await.is_none(), "nothing but HTTP/1.1 is spoken here");
    });
    Served { client, book, drainer, task }
}

/// The server's side of a handshake.
async fn shake_hands(socket: TcpStream) -> Stream {
    let read = |name| std::fs::read(authority::shared().join(name)).expect("a file");
    let certificate = Certificate::read(&read("shop.crt"), &read("shop.key")).expect("they fit");
    let spec = ServerSpec {
        certificates: vec![Arc::new(certificate)],
        unknown_name: UnknownName::First,
        lowest: Version::Tls12,
        clients: None,
        any_host: true,
    };
    let server = Server::new(&spec, None).expect("a server");
    let shaken = tokio_rustls::TlsAcceptor::from(server.config()).accept(socket).await;
    let (socket, session) = shaken.expect("hands are shaken").into_inner();
    Stream::encrypted(socket, session)
}

/// Notes the request with its body, and answers.
pub async fn echo(request: Request<Body>, book: &Book) -> Response<Settling> {
    match book.note(request).await {
        Ok(()) => answer(book, "ok"),
        Err(fault) => refusal(book, fault),
    }
}

/// `200` with a length.
pub fn answer(book: &Book, text: &'static str) -> Response<Settling> {
    let mut response = Response::new(book.settling(whole(text)));
    response.headers_mut().insert("content-length", text.len().into());
    response
}

/// The made-up answer for `fault`.
pub fn refusal(book: &Book, fault: Fault) -> Response<Settling> {
    let mut response = answer(book, fault.name());
    *response.status_mut() = fault.status();
    response
}

/// A body that is there at once.
pub fn whole(text: &'static str) -> Body {
    let mut frames = VecDeque::new();
    if !text.is_empty() {
        frames.push_back(Ok(Frame::data(Bytes::from_static(text.as_bytes()))));
    }
    Body::new(Script(frames))
}

/// A body of these frames, all ready.
pub fn scripted(frames: impl IntoIterator<Item = Result<Frame<Bytes>, Fault>>) -> Body {
    Body::new(Script(frames.into_iter().collect()))
}

/// A body whose frames come when the test sends them.
pub fn channel() -> (mpsc::Sender<Result<Frame<Bytes>, Fault>>, Body) {
    let (sender, receiver) = mpsc::channel(16);
    (sender, Body::new(Channel(receiver)))
}

struct Script(VecDeque<Result<Frame<Bytes>, Fault>>);

struct Channel(mpsc::Receiver<Result<Frame<Bytes>, Fault>>);

// === impl Served ===

impl Served {
    /// Sends bytes.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.write_all(bytes.as_ref()).await.expect("the connection is open");
    }

    /// Sends bytes one by one, each in a packet of its own as far as that can be had.
    pub async fn dribble(&mut self, bytes: impl AsRef<[u8]>) {
        for byte in bytes.as_ref() {
            if self.client.write_all(&[*byte]).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Reads until `end` has come.
    pub async fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let read = async {
            while !text.ends_with(end.as_bytes()) {
                match self.client.read_u8().await {
                    Ok(byte) => text.push(byte),
                    Err(_) => break,
                }
            }
        };
        let late = tokio::time::timeout(PATIENCE, read).await.is_err();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!late && text.ends_with(end), "no {end:?} in {text:?}");
        text
    }

    /// Reads until `end` has come, behind which nothing comes: not byte by byte.
    pub async fn read_last(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let read = async {
            while !text.ends_with(end.as_bytes()) {
                let read = self.client.read_buf(&mut text).await;
                if !read.is_ok_and(|read| read > 0) {
                    break;
                }
            }
        };
        let late = tokio::time::timeout(PATIENCE, read).await.is_err();
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(!late && text.ends_with(end), "no {end:?} behind {} bytes", text.len());
        text
    }

    /// Reads until the connection closes; a reset counts as such.
    pub async fn read_to_end(&mut self) -> String {
        let (text, _) = self.read_to_close().await;
        text
    }

    /// Reads until the connection closes, and whether that was by a reset.
    pub async fn read_to_close(&mut self) -> (String, bool) {
        let mut text = Vec::new();
        let read = tokio::time::timeout(PATIENCE, self.client.read_to_end(&mut text)).await;
        let reset = read.expect("the connection closes").is_err();
        (String::from_utf8_lossy(&text).into_owned(), reset)
    }

    /// Ready when the door has left the connection.
    pub async fn over(&mut self) {
        tokio::time::timeout(PATIENCE, &mut self.task).await.expect("in time").expect("no panic");
    }
}

// === impl Book ===

impl Book {
    /// Reads a request's body to its end and notes all of it.
    pub async fn note(&self, request: Request<Body>) -> Result<(), Fault> {
        let (parts, body) = request.into_parts();
        let line = format!("{} {}", parts.method, parts.uri);
        let (body, trailers) = match body.collect().await {
            Ok(all) => {
                let trailers = all.trailers().cloned();
                (Ok(all.to_bytes().to_vec()), trailers)
            }
            Err(fault) => (Err(fault), None),
        };
        let result = body.as_ref().map(|_| ()).map_err(|fault| *fault);
        self.0.lock().requests.push(Seen { line, headers: parts.headers, body, trailers });
        result
    }

    /// A body whose end is noted.
    pub fn settling(&self, body: Body) -> Settling {
        let book = self.clone();
        Settling::new(body, move |end| book.0.lock().ends.push(end))
    }

    /// The requests seen so far.
    pub fn requests(&self) -> Vec<Seen> {
        self.0.lock().requests.clone()
    }

    /// Their request lines, without version.
    pub fn lines(&self) -> Vec<String> {
        self.0.lock().requests.iter().map(|seen| seen.line.clone()).collect()
    }

    /// The faults of refused heads.
    pub fn faults(&self) -> Vec<Fault> {
        self.0.lock().faults.clone()
    }

    /// The refused heads.
    pub fn refusals(&self) -> Vec<Refused> {
        self.0.lock().refusals.clone()
    }

    /// How the answers ended.
    pub fn ends(&self) -> Vec<End> {
        self.0.lock().ends.clone()
    }

    fn refused(&self, refusal: &Refusal) -> Response<Settling> {
        let mut pages = self.0.lock();
        pages.faults.push(refusal.fault);
        pages.refusals.push(Refused {
            fault: refusal.fault,
            method: refusal.method.as_ref().map(ToString::to_string),
            host: refusal.host.clone(),
            path: refusal.path.clone(),
        });
        drop(pages);
        crate::kit::refusal(self, refusal.fault)
    }
}

// === impl Told ===

impl<F, A> tower::Service<Arrival> for Told<F>
where
    F: Fn(Request<Body>, Book) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Settling>> + Send + 'static,
{
    type Response = Response<Settling>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, arrival: Arrival) -> Answering {
        let book = self.1.clone();
        match arrival.request {
            Ok(incoming) => {
                let Incoming { head, lines, body } = *incoming;
                let mut request = Request::from_parts(head, body);
                lines.pour(request.headers_mut());
                request.extensions_mut().insert(arrival.contact);
                let answering = (self.0)(request, book);
                Box::pin(async move { Ok(answering.await) })
            }
            Err(refusal) => Box::pin(async move { Ok(book.refused(&refusal)) }),
        }
    }
}

// === impl Script ===

impl http_body::Body for Script {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        Poll::Ready(self.0.pop_front())
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }
}

// === impl Channel ===

impl http_body::Body for Channel {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        self.0.poll_recv(cx)
    }
}

/// The next frame of a body, as its data.
pub async fn next_data(body: &mut Body) -> Option<Result<Bytes, Fault>> {
    let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
}
