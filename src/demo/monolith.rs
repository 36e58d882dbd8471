//! The stand-in for the monolith: endpoints with, like Puma, a fixed number of threads each.
//!
//! A request that finds all threads busy would wait inside; usher, which knows how many there are,
//! has it wait at the pool instead. Unlike Puma, an endpoint
//! stops working on a request whose connection has gone.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, Response, StatusCode, body::Incoming, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use super::{cast::CAST, nap};

/// The largest body that an endpoint takes.
const BODY_BYTES_MAX: usize = 1 << 20;

/// How long a connection may take to send a head.
const HEAD_WAIT: Duration = Duration::from_secs(30);

/// The whole monolith: its endpoints, a list for each part.
pub struct Monolith {
    pools: Vec<Vec<Endpoint>>,
}

/// One address, and whoever serves there.
struct Endpoint {
    address: SocketAddr,
    /// Bound and not served yet.
    listener: Option<StdListener>,
    puma: Arc<Puma>,
    /// Nobody serves when it is empty.
    serving: JoinSet<()>,
}

/// What answers at an endpoint.
struct Puma {
    part: usize,
    address: SocketAddr,
    threads: Semaphore,
    /// By how much longer everything takes.
    slowness: AtomicU32,
}

// === impl Monolith ===

impl Monolith {
    /// Takes free ports on loopback; serves nothing yet.
    pub fn bind() -> io::Result<Self> {
        let pool = |part: usize| (0..CAST[part].endpoints).map(|_| Endpoint::bind(part)).collect();
        let pools = (0..CAST.len()).map(pool).collect::<io::Result<_>>()?;
        Ok(Self { pools })
    }

    /// Where its endpoints are, a list for each part.
    pub fn addresses(&self) -> Vec<Vec<SocketAddr>> {
        let addresses = |pool: &Vec<Endpoint>| pool.iter().map(|it| it.address).collect();
        self.pools.iter().map(addresses).collect()
    }

    /// Starts to serve wherever nobody does.
    pub fn open(&mut self) -> io::Result<()> {
        self.pools.iter_mut().flatten().try_for_each(Endpoint::open)
    }

    /// Ends the first endpoint of `part` with all of its connections, as `kill -9` would.
    pub async fn kill(&mut self, part: usize) {
        if let Some(endpoint) = self.pools[part].first_mut() {
            endpoint.serving.shutdown().await;
        }
    }

    /// Everything takes `times` as long at the endpoints of `part`.
    pub fn slow_down(&self, part: usize, times: u32) {
        for endpoint in &self.pools[part] {
            endpoint.puma.slowness.store(times, Ordering::Relaxed);
        }
    }

    /// Ends all endpoints.
    pub async fn close(mut self) {
        for endpoint in self.pools.iter_mut().flatten() {
            endpoint.serving.shutdown().await;
        }
    }
}

// === impl Endpoint ===

impl Endpoint {
    fn bind(part: usize) -> io::Result<Self> {
        let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let threads = Semaphore::new(CAST[part].threads);
        let puma = Puma { part, address, threads, slowness: AtomicU32::new(1) };
        let (puma, serving) = (Arc::new(puma), JoinSet::new());
        Ok(Self { address, listener: Some(listener), puma, serving })
    }

    fn open(&mut self) -> io::Result<()> {
        if !self.serving.is_empty() {
            return Ok(());
        }
        let listener = match self.listener.take() {
            Some(listener) => listener,
            None => StdListener::bind(self.address)?,
        };
        listener.set_nonblocking(true)?;
        self.serving.spawn(serve(TcpListener::from_std(listener)?, self.puma.clone()));
        Ok(())
    }
}

// === impl Puma ===

impl Puma {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        // As Puma does, the request is read whole before a thread takes it.
        if Limited::new(body, BODY_BYTES_MAX).collect().await.is_err() {
            return answer(StatusCode::BAD_REQUEST, "unreadable", Bytes::new());
        }
        let part = &CAST[self.part];
        let page = part.pages.iter().find(|page| page.is_at(&head.method, head.uri.path()));
        let page = page.unwrap_or(&part.pages[0]);
        // The semaphore is never closed.
        let _thread = self.threads.acquire().await.ok();
        let (least, most) = page.work_ms;
        let times = u64::from(self.slowness.load(Ordering::Relaxed));
        nap(Duration::from_millis(fastrand::u64(least..=most) * times)).await;
        let told = serde_json::json!({
            "pool": part.name,
            "endpoint": self.address.to_string(),
            "path": head.uri.path(),
        });
        let mut text = told.to_string();
        text.extend(std::iter::repeat_n(' ', page.answer_bytes.saturating_sub(text.len() + 1)));
        text.push('\n');
        let status = StatusCode::from_u16(page.status).unwrap_or(StatusCode::OK);
        answer(status, part.name, text.into())
    }
}

// === free functions ===

async fn serve(listener: TcpListener, puma: Arc<Puma>) {
    let mut connections = JoinSet::new();
    loop {
        // Neither arm loses anything when the other comes first.
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, _)) => {
                    connections.spawn(attend(socket, puma.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "an endpoint of the stand-in has given up");
                    return;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

async fn attend(socket: TcpStream, puma: Arc<Puma>) {
    let service = hyper::service::service_fn(move |request| {
        let puma = puma.clone();
        async move { Ok::<_, Infallible>(puma.answer(request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_WAIT);
    if let Err(error) = server.serve_connection(TokioIo::new(socket), service).await {
        tracing::debug!(%error, "a connection of the stand-in ended");
    }
}

fn answer(status: StatusCode, pool: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert("content-type", http::HeaderValue::from_static("application/json"));
    headers.insert("x-pool", http::HeaderValue::from_static(pool));
    response
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;
    use crate::demo::cast::{FLOODED, KILLED};

    /// The status line of what `address` answers; nothing where nobody serves.
    async fn ask(address: SocketAddr, path: &str) -> String {
        let Ok(mut socket) = TcpStream::connect(address).await else { return String::new() };
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.expect("it takes a request");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.expect("it answers as text");
        answer.lines().next().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn a_killed_endpoint_is_gone_until_it_is_revived_at_the_same_address() {
        let mut monolith = Monolith::bind().expect("there are free ports");
        let addresses = monolith.addresses();
        monolith.open().expect("it opens");
        let [killed, other] = addresses[KILLED][..] else { panic!("two endpoints") };
        assert_eq!(ask(killed, "/orders/7").await, "HTTP/1.1 200 OK");
        monolith.kill(KILLED).await;
        assert_eq!(ask(killed, "/orders/7").await, "");
        assert_eq!(ask(other, "/orders/7").await, "HTTP/1.1 200 OK");
        monolith.open().expect("it opens again");
        assert_eq!(ask(killed, "/orders/7").await, "HTTP/1.1 200 OK");
        monolith.close().await;
        assert_eq!(ask(other, "/orders/7").await, "", "something is left");
    }

    #[tokio::test]
    async fn more_requests_than_threads_wait_inside() {
        let mut monolith = Monolith::bind().expect("there are free ports");
        monolith.open().expect("it opens");
        let address = monolith.addresses()[FLOODED][0];
        let threads = CAST[FLOODED].threads;
        let (least, _) = CAST[FLOODED].pages[0].work_ms;
        let began = std::time::Instant::now();
        let mut asking = JoinSet::new();
        for _ in 0..threads * 2 {
            asking.spawn(ask(address, "/admin/reports/7"));
        }
        let answers = asking.join_all().await;
        assert!(answers.iter().all(|answer| answer == "HTTP/1.1 200 OK"), "{answers:?}");
        assert!(began.elapsed() >= Duration::from_millis(least * 2), "they did not wait");
        monolith.close().await;
    }
}
