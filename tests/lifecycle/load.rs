//! Clients that ask all the time, and to whom no request may fail.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use tokio::{runtime::Handle, task::JoinSet};

use crate::support::client::Client;

const GET: &str = "GET /orders HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// Clients that ask all the time.
pub struct Load {
    asking: JoinSet<()>,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    /// Requests whose connection was closed after it had been idle for long: on a machine that
    /// leaves this process waiting. Such a request is sent again, as every client does.
    repeated: Arc<AtomicU64>,
}

// === impl Load ===

impl Load {
    /// `kept` clients that keep their connections and `fresh` ones that open one for each request,
    /// on `aside`.
    pub fn begin(address: SocketAddr, (kept, fresh): (usize, usize), aside: &Handle) -> Self {
        let (stop, answers, repeated) = <(Arc<AtomicBool>, Arc<AtomicU64>, _)>::default();
        let mut load = Self { asking: JoinSet::new(), stop, answers, repeated };
        for _ in 0..kept {
            let (stop, answers) = (load.stop.clone(), load.answers.clone());
            let asking = keep_asking(address, stop, answers, load.repeated.clone());
            load.asking.spawn_on(asking, aside);
        }
        for _ in 0..fresh {
            let asking = ask_anew(address, load.stop.clone(), load.answers.clone());
            load.asking.spawn_on(asking, aside);
        }
        load
    }

    /// How many answers there were.
    pub fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    /// Waits until `more` requests have been answered.
    pub async fn goes_on(&mut self, more: u64) {
        let enough = self.answers() + more;
        while self.answers() < enough {
            // One that has ended has failed.
            if let Some(ended) = self.asking.try_join_next() {
                ended.expect("no request fails");
                panic!("a client has ended");
            }
            tokio::task::yield_now().await;
        }
    }

    /// Stops asking; every request that was ever sent has been answered. Returns how many answers
    /// there were, and how many requests were sent again.
    pub async fn end(mut self) -> (u64, u64) {
        self.stop.store(true, Relaxed);
        while let Some(ended) = self.asking.join_next().await {
            ended.expect("no request fails");
        }
        (self.answers(), self.repeated.load(Relaxed))
    }
}

/// One request after the other on a connection, and on another one once that says that it closes.
async fn keep_asking(
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    repeated: Arc<AtomicU64>,
) {
    let mut client = Client::connect(address).await;
    let mut idle_since = Instant::now();
    while !stop.load(Relaxed) {
        let was_idle = idle_since.elapsed();
        let asked = tokio::io::AsyncWriteExt::write_all(&mut client.stream, GET.as_bytes()).await;
        let answer = match asked {
            Ok(()) => client.try_answer(false).await,
            Err(_) => None,
        };
        idle_since = Instant::now();
        let Some(answer) = answer else {
            assert!(was_idle > Duration::from_millis(500), "cut after {was_idle:?}");
            repeated.fetch_add(1, Relaxed);
            client = Client::connect(address).await;
            continue;
        };
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        answers.fetch_add(1, Relaxed);
        if answer.field("connection") == Some("close") {
            client = Client::connect(address).await;
            idle_since = Instant::now();
        }
    }
}

/// One request a connection.
async fn ask_anew(address: SocketAddr, stop: Arc<AtomicBool>, answers: Arc<AtomicU64>) {
    while !stop.load(Relaxed) {
        let mut client = Client::connect(address).await;
        client.send(GET).await;
        let answer = client.answer().await;
        assert!(answer.status == 200 && answer.whole, "{answer:?}");
        answers.fetch_add(1, Relaxed);
    }
}
