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

use crate::support::{
    client::{Answer, Client},
    http2::{self, Http2, get},
    wire,
};

const GET: &str = "GET /orders HTTP/1.1\r\nHost: shop.example\r\n\r\n";

/// How many requests are open at once on a connection that carries many.
const AT_ONCE: usize = 5;

/// How many clients of which kind.
#[derive(Clone, Copy)]
pub struct Crowd {
    /// Those that keep their connections, and ask as this test binary does.
    pub kept: usize,
    /// Those that open one for each request.
    pub fresh: usize,
    /// Those that have many requests open at once on a connection over HTTP/2.
    pub many: usize,
}

/// Clients that ask all the time.
pub struct Load {
    asking: JoinSet<()>,
    tally: Arc<Tally>,
}

/// What clients have come to.
#[derive(Default)]
struct Tally {
    stop: AtomicBool,
    answers: AtomicU64,
    /// Requests over HTTP/1.1 whose connection was closed after it had been idle for long: on a
    /// machine that leaves this process waiting. And those over HTTP/2 that usher, when it left,
    /// said it had not looked at. Such a request is sent again, as every client does.
    repeated: AtomicU64,
}

// === impl Crowd ===

impl Crowd {
    /// How many connections they have open at most.
    pub fn connections(&self) -> usize {
        self.kept + self.fresh + self.many
    }
}

// === impl Load ===

impl Load {
    /// Begins to ask, on `aside`.
    pub fn begin(address: SocketAddr, crowd: Crowd, aside: &Handle) -> Self {
        let mut load = Self { asking: JoinSet::new(), tally: Arc::default() };
        let Crowd { kept, fresh, many } = crowd;
        let tally = &load.tally;
        for _ in 0..kept {
            match wire::HTTP2 {
                true => load.asking.spawn_on(ask_many(address, 1, tally.clone()), aside),
                false => load.asking.spawn_on(keep_asking(address, tally.clone()), aside),
            };
        }
        for _ in 0..fresh {
            load.asking.spawn_on(ask_anew(address, tally.clone()), aside);
        }
        for _ in 0..many {
            load.asking.spawn_on(ask_many(address, AT_ONCE, tally.clone()), aside);
        }
        load
    }

    /// How many answers there were.
    pub fn answers(&self) -> u64 {
        self.tally.answers.load(Relaxed)
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
        self.tally.stop.store(true, Relaxed);
        while let Some(ended) = self.asking.join_next().await {
            ended.expect("no request fails");
        }
        (self.answers(), self.tally.repeated.load(Relaxed))
    }
}

// === impl Tally ===

impl Tally {
    fn goes_on(&self) -> bool {
        !self.stop.load(Relaxed)
    }

    fn answered(&self, status: u16, whole: bool) {
        assert!(status == 200 && whole, "{status}, whole: {whole}");
        self.answers.fetch_add(1, Relaxed);
    }
}

/// One request after the other on a connection, and on another one once that says that it closes.
async fn keep_asking(address: SocketAddr, tally: Arc<Tally>) {
    let mut client = Client::connect(address).await;
    let mut idle_since = Instant::now();
    while tally.goes_on() {
        let was_idle = idle_since.elapsed();
        let asked = tokio::io::AsyncWriteExt::write_all(&mut client.stream, GET.as_bytes()).await;
        let answer = match asked {
            Ok(()) => client.try_answer(false).await,
            Err(_) => None,
        };
        idle_since = Instant::now();
        let Some(answer) = answer else {
            assert!(was_idle > Duration::from_millis(500), "cut after {was_idle:?}");
            tally.repeated.fetch_add(1, Relaxed);
            client = Client::connect(address).await;
            continue;
        };
        tally.answered(answer.status, answer.whole);
        if answer.field("connection") == Some("close") {
            client = Client::connect(address).await;
            idle_since = Instant::now();
        }
    }
}

/// One request a connection.
async fn ask_anew(address: SocketAddr, tally: Arc<Tally>) {
    while tally.goes_on() {
        let answer = ask(address).await;
        tally.answered(answer.status, answer.whole);
    }
}

/// So many requests at once on a connection over HTTP/2 and then as many again, and on another one
/// once usher says that it leaves.
async fn ask_many(address: SocketAddr, at_once: usize, tally: Arc<Tally>) {
    while tally.goes_on() {
        let mut client = Http2::connect(address).await;
        let mut stays = true;
        while stays && tally.goes_on() {
            let mut open = Vec::new();
            while stays && open.len() < at_once {
                match client.try_begin(get("/orders")).await {
                    Ok(sent) => open.push(sent),
                    Err(error) => stays = !leaves(&error),
                }
            }
            for sent in open {
                match sent.try_answer().await {
                    Ok(answer) => tally.answered(answer.status, true),
                    Err(error) => {
                        stays = !leaves(&error);
                        tally.repeated.fetch_add(1, Relaxed);
                    }
                }
            }
        }
    }
}

/// The answer to one request on a connection of its own. Over HTTP/2, where usher may say that it
/// leaves before it is asked, on the next that does not.
pub async fn ask(address: SocketAddr) -> Answer {
    if !wire::HTTP2 {
        let mut client = Client::connect(address).await;
        client.send(GET).await;
        return client.answer().await;
    }
    loop {
        let mut client = Http2::connect(address).await;
        let answer = match client.try_begin(get("/orders")).await {
            Ok(sent) => sent.try_answer().await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => return as_over_http1(&answer),
            Err(error) => assert!(leaves(&error)),
        }
    }
}

fn as_over_http1(answer: &http2::Answer) -> Answer {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.to_str().expect("text").to_owned())
    };
    Answer {
        status: answer.status,
        fields: answer.headers.iter().map(field).collect(),
        body: answer.body.to_vec(),
        whole: true,
    }
}

/// Whether usher has said that it leaves, and that it has not looked at the request: all else is a
/// request that was lost.
fn leaves(error: &h2::Error) -> bool {
    let leaves = error.is_go_away() && error.is_remote();
    assert!(leaves && error.reason() == Some(h2::Reason::NO_ERROR), "lost: {error}");
    leaves
}
