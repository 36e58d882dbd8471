//! What flows through the real usher to and from a real Puma: bodies larger than usher's memory,
//! events one by one, WebSockets, and everything that curl asks for.
//!
//! Nothing here waits by the clock, and nothing is left when it is over: each test ends when all
//! gauges are back at 0 and usher has stopped.
//!
//! Transport: HTTP/1.1 in plain text; this is about Puma. Bodies over all of them stand in `proxy`.

#![allow(clippy::unwrap_used)]
#![allow(clippy::print_stdout, reason = "the figures of docs/performance.md")]
#![allow(clippy::disallowed_methods, reason = "a test that hangs must end")]

#[path = "streams/curl.rs"]
mod curl;
#[path = "streams/large.rs"]
mod large;
#[path = "streams/live.rs"]
mod live;
#[path = "support/puma.rs"]
mod puma;
#[path = "streams/running.rs"]
mod running;
mod support;

use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};

use puma::Puma;
use running::Running;
use support::{origin::PATIENCE, usher::Samples};

/// A Puma, and usher in front of it.
struct Pair {
    puma: Puma,
    usher: Running,
}

// === impl Pair ===

impl Pair {
    /// A Puma of `threads` threads; `keys` are more keys of its pool.
    async fn start(threads: u32, keys: &str) -> Self {
        let puma = Puma::start("customer", threads, 0);
        // A machine that is busy with other tests makes nothing here too late.
        let keys = format!("    timeouts: {{ first_byte: 60s, total: 120s }}\n{keys}");
        let usher = Running::start(2, &puma.address, &keys).await;
        Self { puma, usher }
    }

    /// Where `path` is served by usher.
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.usher.0.clients)
    }

    /// Sends a request without a body on a connection of its own, and returns the answer's head.
    async fn open(&self, method: Method, path: &str) -> Response<Incoming> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "shop.example")
            .body(Empty::<bytes::Bytes>::new())
            .unwrap();
        let socket = TcpStream::connect(self.usher.0.clients).await.unwrap();
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await.unwrap();
        tokio::spawn(connection);
        let answer = timeout(PATIENCE, sender.send_request(request)).await;
        answer.expect("an answer begins in time").unwrap()
    }

    /// Sends a request without a body, and returns the whole answer as text.
    async fn text(&self, method: Method, path: &str) -> String {
        let answer = self.open(method, path).await;
        assert_eq!(answer.status(), 200, "{path}: {}", self.puma.log());
        let body = timeout(PATIENCE, answer.into_body().collect()).await;
        String::from_utf8(body.expect("it ends in time").unwrap().to_bytes().to_vec()).unwrap()
    }

    /// Stops usher when all clients have gone, and checks that nothing of them was left.
    async fn stop(self) -> Samples {
        self.usher.stop().await
    }
}
