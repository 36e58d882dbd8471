//! The clients: each has one connection that it keeps, asks, reads the answer whole, and pauses.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout_at},
};

use super::{
    cast::{CAST, FLOODED, Page, Part},
    nap,
};

/// How many clients a flood has.
pub const FLOOD_CLIENTS: usize = 18;

/// How long a flood asks for more.
pub const FLOOD_FOR: Duration = Duration::from_secs(5);

/// How long requests that are under way when the traffic ends may take.
const END_WAIT: Duration = Duration::from_secs(10);

/// How long a client waits before it tries to connect again.
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

/// Numbers in paths are below this.
const NUMBERS: u32 = 5_000;

/// What an audience's clients have seen.
#[derive(Debug, Default)]
pub struct Tally {
    /// Requests that were sent.
    sent: AtomicU64,
    /// Of those, the ones that brought no answer.
    lost: AtomicU64,
}

/// All clients.
pub struct Traffic {
    at: SocketAddr,
    tallies: Arc<[Tally]>,
    clients: JoinSet<()>,
    ending: watch::Sender<bool>,
}

/// One client.
struct Client {
    part: &'static Part,
    at: SocketAddr,
    tallies: Arc<[Tally]>,
    tally: usize,
    pause_ms: u64,
    connection: Option<Connection>,
}

/// A connection to usher, and the task that drives it, which ends with it.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    _driver: JoinSet<()>,
}

/// A request under way; dropped before it was answered, it is lost.
struct Asking<'a>(&'a Tally);

// === impl Tally ===

impl Tally {
    /// One for each part.
    pub fn of_all() -> Arc<[Tally]> {
        CAST.iter().map(|_| Tally::default()).collect()
    }

    /// Requests that were sent.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Requests that brought no answer.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    fn ask(&self) -> Asking<'_> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Asking(self)
    }
}

// === impl Asking ===

impl Asking<'_> {
    fn answered(self) {
        std::mem::forget(self);
    }

    /// It never left.
    fn unsent(self) {
        self.0.sent.fetch_sub(1, Ordering::Relaxed);
        std::mem::forget(self);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        self.0.lost.fetch_add(1, Ordering::Relaxed);
    }
}

// === impl Traffic ===

impl Traffic {
    /// Starts every part's clients, which ask usher at `at`.
    pub fn start(at: SocketAddr, tallies: Arc<[Tally]>) -> Self {
        let (ending, _) = watch::channel(false);
        let mut traffic = Self { at, tallies, clients: JoinSet::new(), ending };
        for (index, part) in CAST.iter().enumerate() {
            for _ in 0..part.clients {
                traffic.add(index, part.pause_ms, None);
            }
        }
        traffic
    }

    /// More people of the part that is flooded, who do not pause, for a while.
    pub fn flood(&mut self) {
        // Those of an earlier flood have gone.
        while self.clients.try_join_next().is_some() {}
        for _ in 0..FLOOD_CLIENTS {
            self.add(FLOODED, 0, Some(Instant::now() + FLOOD_FOR));
        }
    }

    /// Lets what is under way come to its end, and ends all clients.
    pub async fn end(&mut self) {
        self.ending.send_replace(true);
        let all = async { while self.clients.join_next().await.is_some() {} };
        // What is cut here counts as lost.
        let _ = timeout_at(Instant::now() + END_WAIT, all).await;
        self.clients.shutdown().await;
    }

    fn add(&mut self, part: usize, pause_ms: u64, until: Option<Instant>) {
        let tallies = self.tallies.clone();
        let at = self.at;
        let client =
            Client { part: &CAST[part], at, tallies, tally: part, pause_ms, connection: None };
        let mut ending = self.ending.subscribe();
        self.clients.spawn(async move {
            let until = until.unwrap_or_else(|| Instant::now() + super::FOREVER);
            client.live(&mut ending, until).await;
        });
    }
}

// === impl Client ===

impl Client {
    async fn live(mut self, ending: &mut watch::Receiver<bool>, until: Instant) {
        while Instant::now() < until && !*ending.borrow() {
            let pause_ms = fastrand::u64(self.pause_ms / 2..=self.pause_ms * 3 / 2);
            // Neither arm loses anything when the other comes first.
            tokio::select! {
                _ = ending.wait_for(|ending| *ending) => return,
                () = nap(Duration::from_millis(pause_ms)) => {}
            }
            if self.ask().await.is_none() {
                self.connection = None;
                nap(RECONNECT_AFTER).await;
            }
        }
    }

    /// One request and its whole answer; none when the connection is of no use any more.
    async fn ask(&mut self) -> Option<()> {
        let page = self.page();
        let request = self.request(page)?;
        let mut connection = match self.connection.take() {
            Some(connection) if !connection.sender.is_closed() => connection,
            _ => Connection::open(self.at).await?,
        };
        connection.sender.ready().await.ok()?;
        let asking = self.tallies[self.tally].ask();
        let response = match connection.sender.send_request(request).await {
            Ok(response) => response,
            Err(error) => {
                // usher may close a connection that is idle just as it is used again.
                if error.is_canceled() {
                    asking.unsent();
                }
                return None;
            }
        };
        let mut body = response.into_body();
        // Large answers are thrown away as they come.
        while let Some(frame) = body.frame().await {
            frame.ok()?;
        }
        asking.answered();
        self.connection = Some(connection);
        Some(())
    }

    fn request(&self, page: &Page) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(page.method)
            .uri(page.target(fastrand::u32(1..NUMBERS)))
            .header(header::HOST, self.at.to_string())
            .header(header::USER_AGENT, "usher-demo")
            .header(header::ACCEPT, "application/json");
        if let Some(app) = page.app {
            request = request.header("x-app", app);
        }
        let body = Bytes::from("x".repeat(page.sent_bytes));
        request.body(Full::new(body)).ok()
    }

    fn page(&self) -> &'static Page {
        let pages = self.part.pages;
        let shares: u32 = pages.iter().map(|page| page.share).sum();
        let mut drawn = fastrand::u32(..shares);
        for page in pages {
            match drawn.checked_sub(page.share) {
                Some(rest) => drawn = rest,
                None => return page,
            }
        }
        &pages[0]
    }
}

// === impl Connection ===

impl Connection {
    async fn open(at: SocketAddr) -> Option<Self> {
        let socket = TcpStream::connect(at).await.ok()?;
        socket.set_nodelay(true).ok()?;
        let io = TokioIo::new(socket);
        let (sender, connection) =
            http1::Builder::new().max_buf_size(64 * 1024).handshake(io).await.ok()?;
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // What ends it, the sender says as well.
            let _ = connection.await;
        });
        Some(Self { sender, _driver: driver })
    }
}
